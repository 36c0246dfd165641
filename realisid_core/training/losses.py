"""Losses over the steps of a run, as a table that a resumed run continues."""

import csv
from pathlib import Path


class LossTable:
    """A CSV file with a line for each step noted; the first column is the step."""

    def __init__(self, path: Path, *columns: str):
        self.path, self.columns = path, ("step", *columns)

    def note(self, step: int, *values: float | str) -> None:
        new = not self.path.exists()
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(self.columns)
            writer.writerow((step, *values))

    def forget_after(self, step: int) -> None:
        """Lines of steps that a resumed run takes again go."""
        if self.path.exists():
            head, *lines = self.path.read_text(encoding="utf-8").splitlines()
            lines = [line for line in lines if int(line.partition(",")[0]) <= step]
            self.path.write_text("\n".join([head, *lines, ""]), encoding="utf-8")
