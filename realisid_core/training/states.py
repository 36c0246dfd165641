"""The states of a run on disk: written whole or not at all, the newest two kept."""

import json
import shutil
from pathlib import Path

STATES_KEPT = 2
PROGRESS = "progress.json"


def states_in(folder: Path) -> list[Path]:
    """The states of a run in its folder, the newest last."""
    return sorted(path for path in folder.glob("state-*") if path.suffix != ".part")


def progress_of(state: Path) -> dict:
    """How far a state is, and the settings of its run."""
    return json.loads((state / PROGRESS).read_text(encoding="utf-8"))


def unfinished_state(folder: Path, step: int) -> Path:
    """Where to write the state of a step before it is `finish_state`d."""
    return folder / f"state-{step:08d}.part"


def finish_state(unfinished: Path, progress: dict) -> None:
    """Give a written state its name, and let the oldest go."""
    (unfinished / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")
    state = unfinished.with_suffix("")
    shutil.rmtree(state, ignore_errors=True)
    unfinished.rename(state)
    for old in states_in(unfinished.parent)[:-STATES_KEPT]:
        shutil.rmtree(old)


def newest_state(folder: Path, run: dict) -> Path:
    """The state to go on from.

    Raises:
        ValueError: there is none, or it is of a run with other settings than `run`; names them.
    """
    if not (states := states_in(folder)):
        raise ValueError(f"There is no state in {folder} to resume from. Start without --resume.")
    newest = states[-1]
    theirs = progress_of(newest)["run"]
    if differing := [key for key in run if run[key] != theirs.get(key)]:
        raise ValueError(
            f"{newest.name} is of a run with another {', '.join(differing)}; give the same to resume exactly."
        )
    return newest
