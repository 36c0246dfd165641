"""Makes the second miniature, 384 × 384 pixels and 16 latent channels (`python -m research.recipe.second COMMAND`).

Every part draws its own pictures while it trains: no picture is seen twice and nothing is kept on disk but states.
"""
