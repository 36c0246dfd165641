"""What a step costs, on SDXL's own architecture: `python benchmarks/cost.py --help`.

Contenders run in turn, round after round, in one process, each for a few steps of the host's sampler. Medians, ratios
and how much memory each takes beyond the weights are printed and written to the end of docs/performance.md. Weights are
random, in bfloat16: time does not depend on the values.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

PACK = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PACK))

from realisid_core.bootstrap import find_host  # noqa: E402

find_host()

import comfy.model_management  # noqa: E402
import comfy.sample  # noqa: E402
import torch  # noqa: E402
from torch.profiler import ProfilerActivity, profile  # noqa: E402

from benchmarks.sdxl import controlnet, people, realisid, sdxl, text  # noqa: E402
from realisid_core.methods.realisid import global_branch, local_branch  # noqa: E402
from realisid_core.sampling.apply import Settings, apply_branch  # noqa: E402
from realisid_core.sampling.guidance import IdentityGuidance  # noqa: E402
from realisid_core.sampling.rows import IdentityMode, with_identity  # noqa: E402

MEASURED = "## What a step costs"
CFG = 7.5
RUN = 25  # steps of the run that is charged for what is computed once a run
UNET, CONTROLNET = 1.0, 0.42  # passes; a ControlNet costs 0.42 of the UNet at any size

Contender = Callable[[], list[float]]
"""Samples a few steps; the seconds of the first one and the mean of the others'."""


class Bench:
    """The models, and each contender as a short run of the host's sampler at `side` pixels."""

    def __init__(self, side: int):
        self.side = side
        self.model = sdxl(torch.bfloat16)
        self.realisid = realisid(torch.bfloat16, local_size=side // 16)
        self.literal_realisid = replace(self.realisid, config=replace(self.realisid.config, local_size=side // 8))
        self.stock = controlnet(torch.bfloat16, 3)
        self.prompts = text(self.model, 1), text(self.model, 2)
        self.latent = torch.zeros(1, 4, side // 8, side // 8)
        self.noise = torch.randn(self.latent.shape)

    def sample(self, model, positive, negative, cfg: float = CFG, steps: int = 2) -> list[float]:
        times = [time.perf_counter()]

        def note(_, denoised, *others):
            denoised.flatten()[0].item()  # waits for the device
            times.append(time.perf_counter())

        options = {"latent_image": self.latent, "callback": note, "disable_pbar": True}
        comfy.sample.sample(model, self.noise, steps, cfg, "euler", "normal", positive, negative, **options)
        return [times[1] - times[0], (times[-1] - times[1]) / (steps - 1)]

    def plain(self) -> list[float]:
        return self.sample(self.model, *self.prompts)

    def stock_controlnets(self, number: int) -> Contender:
        """The stock ControlNet node once a person, on both rows, with the ID embedding as context."""
        from nodes import ControlNetApplyAdvanced  # the host's

        conds = self.prompts
        for person in people(number, self.realisid.config.clip_tokens, self.side):
            conds = tuple(
                [[c, {**o, "cross_attn_controlnet": person.tokens}] for c, o in conditioning] for conditioning in conds
            )
            hint = torch.rand(1, self.side, self.side, 3)
            conds = ControlNetApplyAdvanced().apply_controlnet(*conds, self.stock, hint, 1.0, 0.0, 1.0)
        return lambda: self.sample(self.model, *conds)

    def literal(self, number: int) -> Contender:
        """Three predictions one after the other, each with both branches at the latent's own size, person by person."""
        conds = self.prompts
        for person in people(number, self.realisid.config.clip_tokens, self.side):
            for branch in (global_branch(self.literal_realisid), local_branch(self.literal_realisid)):
                conds = apply_branch(branch, *conds, [person])
        positive, negative = conds
        rows = [
            [[tokens, with_identity(options, identity)] for tokens, options in conditioning]
            for conditioning, identity in (
                (negative, IdentityMode.NULL),
                (positive, IdentityMode.NULL),
                (positive, IdentityMode.GIVEN),
            )
        ]

        def run() -> list[float]:
            times = [self.sample(self.model, row, negative, 1.0) for row in rows]
            return [sum(parts) for parts in zip(*times, strict=True)]

        return run

    def ours(self, number: int, guidance: IdentityGuidance, one_pass: bool = False, reuse: int = 1) -> Contender:
        conds = self.prompts
        persons = people(number, self.realisid.config.clip_tokens, self.side)
        for branch in (global_branch(self.realisid, one_pass=one_pass), local_branch(self.realisid)):
            conds = apply_branch(branch, *conds, persons, Settings(reuse=reuse))
        model = guidance.patch(self.model)
        return lambda: self.sample(model, *conds, steps=1 + reuse)  # after the first, one in `reuse` computes them


def contenders(bench: Bench, numbers: list[int]) -> dict[str, tuple[Contender, float]]:
    """name → (what to run, its count of UNet passes a step)."""
    two, off = IdentityGuidance(CFG, IdentityMode.OFF), IdentityGuidance(5.0, IdentityMode.OFF)
    three = IdentityGuidance(5.0, IdentityMode.NULL)
    small = CONTROLNET * 1.25  # both branches for one row; the local one at a quarter of the area
    listed = {"plain SDXL": (bench.plain, 2 * UNET)}
    for n in numbers:
        listed |= {
            f"stock ControlNets, {n}": (bench.stock_controlnets(n), 2 + 2 * n * CONTROLNET),
            f"literal RealisID, {n}": (bench.literal(n), 3 + 6 * n * CONTROLNET),
            f"two passes, off, {n}": (bench.ours(n, two), 2 + n * small),
            f"two passes, null identity, {n}": (bench.ours(n, IdentityGuidance(CFG)), 2 + 2 * n * small),
            f"three passes, off, {n}": (bench.ours(n, off), 3 + n * small),
            f"three passes, null identity, {n}": (bench.ours(n, three), 3 + 2 * n * small),
            f"two passes, off, one_pass, {n}": (bench.ours(n, two, one_pass=True), 2 + (n * 0.25 + 1) * CONTROLNET),
            f"two passes, off, one_pass, reuse 3, {n}": (
                bench.ours(n, two, one_pass=True, reuse=3),
                2 + (n * 0.25 + 1) * CONTROLNET / 3,
            ),
        }
    return listed


TARGETS = (
    ("two passes, off, 1", "stock ControlNets, 1", 0.92),
    ("three passes, null identity, 1", "literal RealisID, 1", 0.75),
    ("two passes, off, 4", "stock ControlNets, 4", 0.80),
    ("two passes, off, one_pass, 4", "stock ControlNets, 4", 0.60),
    ("two passes, off, one_pass, reuse 3, 1", "plain SDXL", 1.20),
)


def main() -> None:
    gpu = torch.accelerator.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024 if gpu else 512, help="pixels (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contender (default: %(default)s)")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--machine", default=platform.processor() or platform.machine(), help="its name in the table")
    options = parser.parse_args()

    listed = contenders(Bench(options.side), options.people)
    memory = {}
    for name, (run, _) in listed.items():  # also warms up
        memory[name] = peak_memory(run)
        print(f"{name:<44} {memory[name]:7.0f} MiB", flush=True)
    seconds = {name: [] for name in listed}
    for turn in range(options.rounds):
        for name, (run, _) in listed.items():
            first, later = run()
            seconds[name].append((first + (RUN - 1) * later) / RUN)
            print(f"round {turn + 1}: {name:<44} {first:7.2f} s, then {later:7.2f} s", flush=True)
    report(options, listed, seconds, memory)


def peak_memory(run: Contender) -> float:
    """MiB that a run has allocated at its highest, beyond what was there before."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(accumulate(changes)) / 2**20


def report(
    options: argparse.Namespace, listed: dict, seconds: dict[str, list[float]], memory: dict[str, float]
) -> None:
    median = {name: statistics.median(values) for name, values in seconds.items()}
    unit = median["plain SDXL"] / 2
    counts = " ".join(map(str, options.people))
    lines = [
        f"{MEASURED}\n\nSDXL's architecture with random weights in bfloat16, at {options.side}² pixels, on "
        f"{options.machine}. Each number is the median of {options.rounds} interleaved runs:\n\n```\n"
        f"python benchmarks/cost.py --side {options.side} --rounds {options.rounds} --people {counts}\n```\n",
        "| word | means |\n| --- | --- |\n"
        f"| s a step | the mean step of a run of {RUN}; the first also makes what is computed once a run |\n"
        "| U | one pass of the UNet: half a step of plain SDXL |\n"
        "| peak MiB | the most that the tensors of a run take beyond the weights |\n"
        "| stock ControlNets | the host's ControlNet once for each person, with the ID embedding as its prompt |\n"
        "| literal RealisID | the three predictions of Eq. 8 one after another, person by person, the local branch at "
        "the latent's full size |\n| off, null identity | what `without_identity` is set to |\n",
        "| contender, people | s a step | spread | U measured | U counted | peak MiB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, (_, counted) in listed.items():
        values = seconds[name]
        spread = f"{min(values):.2f} – {max(values):.2f}"
        measured = f"{median[name]:.2f} | {spread} | {median[name] / unit:.2f} | {counted:.2f} | {memory[name]:.0f}"
        lines.append(f"| {name} | {measured} |")
    lines.append("\n| ratio | target | counted | measured | in single rounds |\n| --- | --- | --- | --- | --- |")
    for ours, theirs, target in TARGETS:
        if ours in median and theirs in median:
            counted, measured = listed[ours][1] / listed[theirs][1], median[ours] / median[theirs]
            rounds = [a / b for a, b in zip(seconds[ours], seconds[theirs], strict=True)]
            reached = f"{measured:.2f} | {min(rounds):.2f} – {max(rounds):.2f}"
            lines.append(f"| {ours} / {theirs} | ≤ {target:.2f} | {counted:.2f} | {reached} |")
    text = "\n".join(lines) + "\n"
    print(text)
    page = PACK / "docs" / "performance.md"
    advice = page.read_text(encoding="utf-8").split(MEASURED)[0]
    page.write_text(advice + text, encoding="utf-8")


if __name__ == "__main__":
    main()
