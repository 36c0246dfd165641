"""What each person's own words cost a step on SDXL's architecture: `python benchmarks/own_words.py --help`.

Operations are counted on the meta device, where nothing is computed, so the figures depend on no machine. With
`--rounds`, a call of the UNet is also timed in CPU seconds, plain and with words in turn.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

PACK = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PACK))

from realisid_core.bootstrap import find_host  # noqa: E402

find_host()

import torch  # noqa: E402
from comfy.ldm.modules.attention import attention_pytorch  # noqa: E402
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel  # noqa: E402
from comfy.ops import disable_weight_init  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from benchmarks.sdxl import TOKENS, UNET, randomise  # noqa: E402
from realisid_core.attention.unet_layers import cross_attentions  # noqa: E402
from realisid_core.geometry import FaceBox  # noqa: E402
from realisid_core.sampling.rows import IdentityMode  # noqa: E402
from realisid_core.sampling.unet_call import Reading, Row, UnetCall  # noqa: E402


class Bench:
    """One call of the UNet for a prompt and a negative one, at `side` pixels, plain and with people's words."""

    def __init__(self, side: int, device: str, dtype: torch.dtype):
        self.options = {"device": device, "dtype": dtype}
        self.unet = UNetModel(**{**UNET, **self.options, "operations": disable_weight_init})
        if device != "meta":
            randomise(self.unet)
        self.x = torch.zeros(2, 4, side // 8, side // 8, **self.options)
        self.context = torch.zeros(2, TOKENS, UNET["context_dim"], **self.options)
        self.y = torch.zeros(2, UNET["adm_in_channels"], **self.options)
        self.timesteps = torch.ones(2, **self.options)
        self.made: dict[int, dict] = {}  # of a run with so many people

    @torch.inference_mode()
    def call(self, people: int = 0) -> None:
        options = dict(PYTORCH)
        if people:
            boxes = tuple(FaceBox(0.05 + 0.9 * i / people, 0.3, 0.1, 0.1) for i in range(people))
            rows = [Row(boxes, reads, IdentityMode.OFF) for reads in (True, False)]
            words = [torch.zeros(1, TOKENS, UNET["context_dim"], **self.options)] * people
            call = UnetCall(rows, words, Reading(), None, self.x, self.made.setdefault(people, {}))
            options = call.added_to(options, cross_attentions(self.unet))
        self.unet(self.x, self.timesteps, self.context, self.y, transformer_options=options)


def _pytorch(_, *args, **kwargs) -> torch.Tensor:
    """PyTorch's attention, which runs on the meta device too."""
    return attention_pytorch(*args, **kwargs)


PYTORCH = {"cond_or_uncond": [0, 1], "optimized_attention_override": _pytorch}


def operations(run: Callable[[], None]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024], help="pixels (default: %(default)s)")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--rounds", type=int, default=0, help="calls to time of each (default: none)")
    options = parser.parse_args()
    print("| pixels | people | operations of a step | more than plain |\n| --- | --- | --- | --- |")
    for side in options.sides:
        bench = Bench(side, "meta", torch.float32)
        plain = operations(bench.call)
        print(f"| {side} | 0 | {plain / 1e12:.2f} T | |")
        for people in options.people:
            with_words = operations(lambda: bench.call(people))  # noqa: B023  run at once
            print(f"| {side} | {people} | {with_words / 1e12:.2f} T | {with_words / plain - 1:.2%} |")
    if options.rounds:
        bench, seconds = Bench(options.sides[0], "cpu", torch.float32), {}
        for _ in range(options.rounds + 1):  # the first warms up
            for people in (0, 2):
                start = time.process_time()
                bench.call(people)
                seconds.setdefault(people, []).append(time.process_time() - start)
        plain, two = (statistics.median(values[1:]) for values in seconds.values())
        print(
            f"\n{bench.x.shape[-1] * 8}², CPU seconds: plain {plain:.2f}, two people {two:.2f} ({two / plain - 1:+.1%})"
        )


if __name__ == "__main__":
    main()
