"""Does memory stay flat? Twenty runs in a row with changing boxes and persons: `python benchmarks/memory.py`.

Prints the server's resident memory after each run, and run 20 against run 3.
"""

import json
import sys
import tempfile
from pathlib import Path

import psutil

PACK = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PACK))

from headless.client import Client  # noqa: E402
from headless.server import running_server  # noqa: E402
from realisid_core.bootstrap import host_path  # noqa: E402

RUNS = 20


def changed(run: int) -> dict:
    """One to three persons in boxes that move from run to run."""
    name = ("one_person", "two_people", "three_people")[run % 3]
    workflow = json.loads((PACK / "workflows" / "api" / f"{name}_miniature.json").read_text("utf-8"))
    boxes = json.loads(workflow["boxes"]["inputs"]["boxes"])
    for box in boxes["boxes"]:
        box["x"] += 0.003 * run
    workflow["boxes"]["inputs"]["boxes"] = json.dumps(boxes)
    workflow["sample"]["inputs"] |= {"steps": 4, "seed": run}
    return workflow


def main() -> None:
    with tempfile.TemporaryDirectory() as home, running_server(host_path(), Path(home), "--cpu") as server:
        client = Client(server.address)
        for photo in sorted((PACK / "portraits").iterdir()):
            if photo.suffix in (".jpg", ".png"):
                client.upload(photo)
        process, resident = psutil.Process(server.process.pid), []
        for run in range(1, RUNS + 1):
            client.run(changed(run))
            resident.append(process.memory_info().rss / 2**20)
            print(f"run {run:2}: {resident[-1]:7.1f} MiB", flush=True)
    print(f"run {RUNS} / run 3: {resident[-1] / resident[2]:.4f}")


if __name__ == "__main__":
    main()
