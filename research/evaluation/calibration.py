"""What detectors that nobody here trained say of true pictures of the face world: the best any generator can reach.

`python -m research.evaluation.calibration [COUNT]` prints it for COUNT pictures of one person.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from realisid_core.geometry import square
from realisid_core.metrics.place import FOUND, overlap
from realisid_core.metrics.pose import ANGLES, BLENDSHAPES, expression
from realisid_core.perception.faces import to_image

from ..world import Pose, Scene, render, sample_scene


@dataclass
class Calibration:
    """One entry a face in the lists, of those faces that were found."""

    faces: int = 0
    overlaps: list[float] = field(default_factory=list)  # of YuNet's square and the face box
    errors: list[float] = field(default_factory=list)  # mean distance of MediaPipe's points to the true ones, in boxes
    true: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in (*ANGLES, *BLENDSHAPES)})
    read: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in (*ANGLES, *BLENDSHAPES)})

    @property
    def detected(self) -> float:
        return len(self.overlaps) / self.faces

    @property
    def landmarked(self) -> float:
        return len(self.errors) / self.faces

    def correlation(self, name: str) -> float:
        """Pearson's, of what MediaPipe reads with what was drawn."""
        return float(np.corrcoef(self.true[name], self.read[name])[0, 1])


def calibrate(scenes: Sequence[Scene], size: int = 512) -> Calibration:
    """Draw the scenes at `size` and read every face back: YuNet on the picture, MediaPipe in the enlarged face box."""
    from realisid_core.perception import detect_faces, face_landmarks, faces_from_boxes

    result = Calibration()
    for scene in scenes:
        drawn = render(scene, size)
        image = to_image(drawn.image)
        squares = [square(*face.found) for face in detect_faces(image, required=False).faces[0]]
        for person, box, points in zip(scene.people, drawn.boxes, drawn.landmarks, strict=True):
            result.faces += 1
            best = max((overlap(found, box) for found in squares), default=0.0)
            if best > FOUND:
                result.overlaps.append(best)
            x0, y0, x1, y1 = box
            boxes = [{"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}]
            for face in face_landmarks(faces_from_boxes(image, boxes), skip=True)["frames"][0]:
                error = np.linalg.norm(face["landmarks_xy"] - points, axis=1).mean() / (x1 - x0)
                result.errors.append(float(error))
                _compare(result, person.pose, face)
    return result


def _compare(result: Calibration, pose: Pose, face: dict) -> None:
    from realisid_core.perception import head_pose

    matrix = np.eye(4)
    matrix[:3, :3] = pose.rotation()
    true, read = head_pose({"transformation_matrix": matrix}), head_pose(face)
    for name, there, here in zip(ANGLES, true, read, strict=True):
        result.true[name].append(there)
        result.read[name].append(here)
    for name, value in expression(face).items():
        result.true[name].append(getattr(pose, name))
        result.read[name].append(value)


def main(count: int) -> None:
    rng = np.random.default_rng(7)
    result = calibrate([sample_scene(rng, people=1) for _ in range(count)])
    print(f"{count} pictures of one person at 512², faces 1/7 to 1/2 of the edge, all styles")
    print(f"found by YuNet {result.detected:.1%}, mean overlap with the face box {np.mean(result.overlaps):.3f}")
    print(
        f"landmarked by MediaPipe {result.landmarked:.1%}, points off by {np.mean(result.errors):.1%} of the box's side"
    )
    for name in result.true:
        slope = np.polyfit(result.true[name], result.read[name], 1)[0]
        print(f"{name:12} correlation {result.correlation(name):.3f}, slope {slope:.2f}")


if __name__ == "__main__":
    from realisid_core.bootstrap import find_host

    find_host()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
