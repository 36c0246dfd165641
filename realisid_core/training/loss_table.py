"""Losses over the steps of a run, as a table that a resumed run continues."""

import csv
import os
from pathlib import Path


class LossTable:
    """A CSV file with a line for each step noted. What is noted later than the rest has empty cells before."""

    def __init__(self, path: Path):
        self.path = path

    def note(self, step: int, **values: float | str) -> None:
        row = {"step": step, **values}
        columns = self._columns()
        if not row.keys() <= set(columns):
            columns = list(dict.fromkeys([*columns, *row]))
            self._rewrite(columns, self._rows())
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, columns).writerow(row)

    def forget_after(self, step: int) -> None:
        """Lines of steps that a resumed run takes again go."""
        if self.path.exists():
            self._rewrite(self._columns(), [row for row in self._rows() if int(row["step"]) <= step])

    def _columns(self) -> list[str]:
        if not self.path.exists():
            return []
        with open(self.path, newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with open(self.path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _rewrite(self, columns: list[str], rows: list[dict[str, str]]) -> None:
        unfinished = self.path.with_suffix(".csv.part")
        with open(unfinished, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(unfinished, self.path)
