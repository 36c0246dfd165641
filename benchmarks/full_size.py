"""Does the full-size architecture run on a CPU? 256², two steps, one person: `python benchmarks/full_size.py`.

Random weights in bfloat16. Prints the time and the peak of resident memory.
"""

import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from realisid_core.bootstrap import find_host

find_host()

import comfy.sample  # noqa: E402
import torch  # noqa: E402

from benchmarks.sdxl import people, realisid, sdxl, text  # noqa: E402
from realisid_core.methods.realisid import global_branch, local_branch  # noqa: E402
from realisid_core.sampling.apply import apply_branch  # noqa: E402
from realisid_core.sampling.guidance import IdentityGuidance  # noqa: E402

SIDE, STEPS = 256, 2


def main() -> None:
    model, branches = sdxl(torch.bfloat16), realisid(torch.bfloat16, local_size=SIDE // 16)
    persons = people(1, branches.config.clip_tokens, SIDE)
    conds = text(model, 1), text(model, 2)
    for branch in (global_branch(branches), local_branch(branches)):
        conds = apply_branch(branch, *conds, persons)
    latent = torch.zeros(1, 4, SIDE // 8, SIDE // 8)
    noise = comfy.sample.prepare_noise(latent, 0)
    guided = IdentityGuidance(5.0).patch(model)
    began = time.perf_counter()
    picture = comfy.sample.sample(guided, noise, STEPS, 7.5, "euler", "normal", *conds, latent, disable_pbar=True)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{SIDE}², {STEPS} steps, one person: {seconds:.1f} s, peak {peak:.1f} GiB, {tuple(picture.shape)}")


if __name__ == "__main__":
    main()
