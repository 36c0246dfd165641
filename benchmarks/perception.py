"""How long detection, parsing and landmarks of one photo take: `python benchmarks/perception.py [edge]`."""

import sys
import time
from pathlib import Path
from statistics import median

PACK = Path(__file__).resolve().parent.parent
RUNS = 30


def timed(steps: dict, runs: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and processor milliseconds of every run of every step, in turn, each step fed the results so far."""
    times = {name: [] for name in steps}
    for _ in range(runs):
        results = {}
        for name, step in steps.items():
            wall, processor = time.perf_counter(), time.process_time()
            results[name] = step(results)
            times[name].append((1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - processor)))
    return times


def main(edge: int) -> None:
    sys.path.append(str(PACK))
    from realisid_core.bootstrap import find_host

    find_host()
    import numpy as np
    import torch
    from PIL import Image

    from realisid_core import perception

    picture = Image.open(PACK / "portraits" / "astronaut.jpg").convert("RGB").resize((edge, edge))
    image = torch.from_numpy(np.array(picture)).float()[None] / 255
    steps = {
        "detection (yunet)": lambda done: perception.detect_faces(image),
        "parsing (landmark outline)": lambda done: perception.parse_faces(done["detection (yunet)"], "landmarks"),
        "landmarks": lambda done: perception.face_landmarks(done["detection (yunet)"]),
    }
    drawings = {
        f"pose-expression image, {size}": lambda done, size=size: perception.pose_expression_image(face, size)
        for size in (256, 512, 1024)
    }
    timed(steps, 3)
    face = perception.face_landmarks(perception.detect_faces(image))["frames"][0][0]
    times = timed(steps, RUNS)
    times["all three"] = [tuple(map(sum, zip(*run, strict=True))) for run in zip(*times.values(), strict=True)]
    times |= timed(drawings, RUNS)
    print(f"One {edge}×{edge} photo, {torch.get_num_threads()} threads, {RUNS} runs after warm-up, milliseconds")
    for name, values in times.items():
        wall, processor = zip(*values, strict=True)
        print(f"{name:30} least {min(wall):7.1f}   median {median(wall):7.1f}   processor, least {min(processor):7.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1024)
