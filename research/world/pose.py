"""How somebody holds and moves their face."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pose:
    """Degrees as the viewer sees them: yaw > 0 turns the nose to the right, pitch > 0 lifts it, roll > 0 leans the head
    clockwise. Expression runs over 0..1, brows over -1 (frown) .. 1 (raised)."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    jaw: float = 0.0
    smile: float = 0.0
    blink_left: float = 0.0
    blink_right: float = 0.0
    brows: float = 0.0

    def rotation(self) -> np.ndarray:
        """[3, 3] from the head's axes (x right, y up, z towards the viewer) to the viewer's: pitch, yaw, then roll."""
        yaw, pitch, roll = np.radians((self.yaw, self.pitch, self.roll))
        c, s = np.cos, np.sin
        nod = np.array(((1, 0, 0), (0, c(pitch), s(pitch)), (0, -s(pitch), c(pitch))))
        turn = np.array(((c(yaw), 0, s(yaw)), (0, 1, 0), (-s(yaw), 0, c(yaw))))
        lean = np.array(((c(roll), s(roll), 0), (-s(roll), c(roll), 0), (0, 0, 1)))
        return lean @ turn @ nod


def sample_pose(rng: np.random.Generator) -> Pose:
    """Any pose within yaw ±40°, pitch ±20°, roll ±25°; eyes mostly open, mouths mostly shut, as in photographs."""
    yaw, pitch, roll = rng.uniform(-1, 1, 3) * (40, 20, 25)
    jaw, smile, blink, wink = rng.uniform(0, 1, 4) * (rng.random(4) < (0.4, 0.5, 0.3, 0.1))
    left, right = (blink, wink) if rng.random() < 0.5 else (wink, blink)
    if rng.random() < 0.6:
        left = right = max(left, right)
    values = (yaw, pitch, roll, jaw, smile, left, right, rng.uniform(-1, 1))
    return Pose(*(round(float(value), 3) for value in values))
