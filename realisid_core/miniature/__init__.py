"""The miniature: a small, complete instance of the whole system, and the procedural face world it was trained on.

`networks` says what it is made of, `loading` reads it, `world` draws its faces, `recipe` trains it.
"""
