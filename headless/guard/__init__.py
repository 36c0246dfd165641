"""Tries to break the pack on a real server: random graphs, interrupts, many runs, damaged files.

`python -m headless.guard --help`; docs/reliability.md says what it found. Every trial has a seed and can be repeated.
"""
