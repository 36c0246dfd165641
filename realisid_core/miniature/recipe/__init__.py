"""How the miniature's VAE, encoders and base model were trained: `python -m realisid_core.miniature.recipe`.

`data` draws the pictures, `vae` and `encoder` train on them, `latents` encodes them, `base` trains the text encoder
and the UNet together, `export` writes the weights that the pack ships and `grid` samples them through the host. The
RealisID branches are then trained on the result by `python -m realisid_core.training`.
"""
