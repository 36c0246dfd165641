"""How the miniature's VAE, encoders and base model were trained. In this order, each going on where it stopped:

    recipe="python -m research.recipe"
    $recipe data scenes                  # 12,000 pictures, seed 1
    $recipe data crops                   # 12,000 masked face crops, two of each identity, seed 1
    $recipe vae
    $recipe export                       # the VAE whose latents the base learns
    $recipe latents
    $recipe encoder
    $recipe base
    $recipe export --weights realisid_core/miniature/weights
    $recipe grid                         # pictures of held-out captions, through the host's sampler

Pictures, states and logs go to `runs/miniature`. Everything depends on the seeds alone; a step's randomness is drawn
from its number. Where other work shares the CPU, `--threads 1` is many times faster than more threads, which wait for
each other. The RealisID branches are then trained on the result by `python -m realisid_core.training`.
"""
