"""What everybody's face tokens cost a step on SDXL's architecture: `python benchmarks/family.py --help`.

A step is one call of the UNet for a prompt and a negative one, with 50 tokens a face in every cross-attention.
Operations are counted on the meta device, where nothing is computed, so the figures depend on no machine. With
`--rounds`, calls are also timed in CPU seconds, for the numbers of people in turn.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

PACK = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PACK))

from realisid_core.bootstrap import find_host  # noqa: E402

find_host()

import torch  # noqa: E402

from benchmarks.own_words import PYTORCH, Bench, operations  # noqa: E402
from realisid_core.attention.decoupled import Identities  # noqa: E402
from realisid_core.attention.unet_layers import cross_attentions  # noqa: E402
from realisid_core.geometry import FaceBox  # noqa: E402
from realisid_core.sampling.rows import IdentityMode  # noqa: E402
from realisid_core.sampling.unet_call import Reading, Row, UnetCall  # noqa: E402

TOKENS = 50


class Family(Bench):
    """The same call with a stack of faces, whose keys and values are made before any sampling."""

    def identities(self, people: int) -> Identities:
        def one() -> dict:
            layers = cross_attentions(self.unet).items()
            return {
                place: tuple(torch.zeros(1, TOKENS, layer.to_k.out_features, **self.options) for _ in range(2))
                for place, layer in layers
            }

        return Identities([one()] * people, one(), stacked=True)

    @torch.inference_mode()
    def step(self, people: int) -> None:
        boxes = tuple(FaceBox(0.05 + 0.9 * i / people, 0.3, 0.1, 0.1) for i in range(people))
        rows = [Row(boxes, False, identity) for identity in (IdentityMode.GIVEN, IdentityMode.NULL)]
        made = self.made.setdefault(people, {})
        if "identities" not in made:
            made["identities"] = self.identities(people)
        call = UnetCall(rows, [None] * people, Reading(), made["identities"], self.x, made)
        options = call.added_to(dict(PYTORCH), cross_attentions(self.unet))
        self.unet(self.x, self.timesteps, self.context, self.y, transformer_options=options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024, help="pixels of the picture (default: %(default)s)")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--rounds", type=int, default=0, help="calls to time of each (default: none)")
    parser.add_argument("--timed-side", type=int, default=512, help="pixels where timed (default: %(default)s)")
    options = parser.parse_args()
    bench = Family(options.side, "meta", torch.float32)
    plain = operations(bench.call)
    print("| people | operations of a step | of plain | of one person |\n| --- | --- | --- | --- |")
    print(f"| 0 | {plain / 1e12:.3f} T | 1.000 | |")
    counted = {people: operations(lambda: bench.step(people)) for people in options.people}  # noqa: B023  at once
    one = counted[options.people[0]]
    for people, count in counted.items():
        print(f"| {people} | {count / 1e12:.3f} T | {count / plain:.3f} | {count / one:.3f} |")
    if options.rounds:
        bench, seconds = Family(options.timed_side, "cpu", torch.bfloat16), {}
        for _ in range(options.rounds + 1):  # the first warms up
            for people in options.people:
                start = time.process_time()
                bench.step(people)
                seconds.setdefault(people, []).append(time.process_time() - start)
        medians = {people: statistics.median(values[1:]) for people, values in seconds.items()}
        first = medians[options.people[0]]
        print(f"\nCPU seconds at {options.timed_side}², bfloat16:")
        for people, median in medians.items():
            print(f"{people} people: {median:.2f}, {median / first:.3f} times one")


if __name__ == "__main__":
    main()
