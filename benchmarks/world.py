"""How long one picture of the face world takes: `python benchmarks/world.py [size]`."""

import sys
import time
from pathlib import Path

PACK = Path(__file__).resolve().parent.parent
COUNT = 100


def main(size: int) -> None:
    sys.path.append(str(PACK))
    import cv2
    import numpy as np

    from research.world import render, sample_scene

    cv2.setNumThreads(1)
    for people in (1, 2, 4):
        rng = np.random.default_rng(0)
        scenes = [sample_scene(rng, people) for _ in range(COUNT)]
        render(scenes[0], size)
        wall, processor = time.perf_counter(), time.process_time()
        for scene in scenes:
            render(scene, size)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        print(f"{people} at {size}²: processor {1e3 * processor / COUNT:.1f} ms, wall {1e3 * wall / COUNT:.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 256)
