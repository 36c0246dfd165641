"""How well it works, in numbers: what is measured, on what, and the tables."""
