"""The face proper: the canonical mesh bent into an identity and an expression, eyes and the inside of the mouth."""

from functools import cache
from typing import NamedTuple

import numpy as np

from realisid_core.canonical_face import canonical_face

from .canonical_face import INNER_LIPS, LEFT_EYE, RIGHT_EYE
from .identity import Identity
from .mesh import Mesh, grid, grid_triangles
from .pose import Pose

LIDS = {"right": (246, 161, 160, 159, 158, 157, 173), "left": (466, 388, 387, 386, 385, 384, 398)}
LOWER_LIDS = {"right": (7, 163, 144, 145, 153, 154, 155), "left": (249, 390, 373, 374, 380, 381, 382)}
CREASES = {"right": (247, 30, 29, 27, 28, 56, 190), "left": (467, 260, 259, 257, 258, 286, 414)}
UPPER_LIP = (
    (191, 80, 81, 82, 13, 312, 311, 310, 415),
    (183, 42, 41, 38, 12, 268, 271, 272, 407),
    (184, 74, 73, 72, 11, 302, 303, 304, 408),
    (185, 40, 39, 37, 0, 267, 269, 270, 409),
)
LOWER_LIP = (
    (95, 88, 178, 87, 14, 317, 402, 318, 324),
    (96, 89, 179, 86, 15, 316, 403, 319, 325),
    (77, 90, 180, 85, 16, 315, 404, 320, 307),
    (146, 91, 181, 84, 17, 314, 405, 321, 375),
)
LIP_CORNERS = (61, 76, 62, 78, 291, 306, 292, 308)
EYEBALL = 1.9  # cm, larger than life: the iris must still show in small faces
IRIS = 0.72  # cm
LASH = np.array((0.0, 1.0, 0.25))  # where the lashes of the upper lid point, as far as they show
LIFE = 1.16  # eyes this much taller and wider than the canonical ones


class Face(NamedTuple):
    skin: np.ndarray  # [468, 3] in the head's axes, cm
    eyes: np.ndarray  # [2, 3] the centre of each iris: the right eye, the left
    iris: np.ndarray  # [10, 3] MediaPipe's points 468..477


def _near(
    points: np.ndarray, centre: tuple[float, float, float], spread: float | tuple[float, float, float]
) -> np.ndarray:
    return np.exp(-0.5 * (((points - np.array(centre)) / np.array(spread)) ** 2).sum(1))


def _ramp(x: np.ndarray, start: float, end: float) -> np.ndarray:
    t = np.clip((x - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


@cache
def _neutral() -> np.ndarray:
    """The canonical vertices with the mouth shut and the eyes opened a little wider."""
    points = canonical_face().vertices.astype(np.float64)
    upper, lower = points[list(UPPER_LIP[0]), 1], points[list(LOWER_LIP[0]), 1]
    seam = (upper + lower) / 2
    for rows, line, gap in ((UPPER_LIP, upper, 0.03), (LOWER_LIP, lower, -0.03)):
        for row, share in zip(rows, (1.0, 0.7, 0.3, 0.0), strict=True):
            points[list(row), 1] += share * (seam + gap - line)
    for side in (-1, 1):
        centre = (side * 3.17, 2.62, 3.8)
        weight = _near(points, centre, (2.0, 0.8, 2.0))[:, None]
        points += weight * (points - np.array(centre)) * (LIFE - 1, (LIFE - 1) * 2.6, 0)
    return points


@cache
def _weights() -> dict[str, np.ndarray]:
    """How much each vertex of the neutral face takes part in each measure; of each side's eye, cheek and brow two."""
    points = _neutral()
    sides = (-1, 1)
    eyes = [(side * 3.17, 2.62, 3.8) for side in sides]
    return {
        "eyes": [_near(points, eye, 1.6) for eye in eyes],
        "eye places": [_near(points, eye, 1.9) for eye in eyes],
        "cheeks": [_near(points, (side * 5.6, -1.6, 1.5), 2.3) for side in sides],
        "brows": [_near(points, (side * 3.4, 4.7, 4.4), (2.6, 0.9, 3)) for side in sides],
        "cheekbones": [_near(points, (side * 5.4, 0.9, 2.2), (1.8, 1.3, 2.5)) for side in sides],
        "gonions": [_near(points, (side * 6.0, -4.8, 0.5), (1.9, 1.9, 3)) for side in sides],
        "temples": [_near(points, (side * 6.3, 5.6, 1.0), (2.2, 2.4, 3)) for side in sides],
        "corners": [_near(points, (side * 2.4, -4.3, 4.5), (1.0, 0.9, 2)) for side in sides],
        "nose": _near(points, (0, -1.2, 6.3), (2.0, 1.1, 2.2)),
        "tip": _near(points, (0, -1.3, 6.6), (1.7, 1.4, 2.5)),
        "tip itself": _near(points, (0, -0.9, 7.0), (1.1, 0.7, 1.2)),
        "bridge": _near(points, (0, 1.6, 5.5), (1.1, 1.6, 2)),
        "bridge sides": _near(points, (0, 1.4, 5.2), (1.3, 1.6, 1.6)),
        "mouth": _near(points, (0, -4.3, 5), (3.2, 1.5, 3)),
        "mouth place": _near(points, (0, -4.4, 5), (3.4, 1.3, 3)),
        "lips": _near(points, (0, -4.3, 5.3), (2.4, 0.9, 2)),
        "lips middle": _near(points, (0, -4.3, 5.3), (1.8, 0.9, 2)),
        "jaw": _ramp(points[:, 1], -1.5, -7.5),
        "chin": _ramp(points[:, 1], -5.2, -9.2),
        "chin sides": _near(points, (0, -8.3, 3.8), (3.2, 1.6, 3.5)),
    }


def _identity(points: np.ndarray, who: Identity) -> np.ndarray:
    p, near = points.copy(), _weights()
    for index, side in enumerate((-1, 1)):
        centre = np.array((side * 3.17, 2.62, 3.8))
        weight = near["eyes"][index][:, None]
        offset = points - centre
        p += weight * offset * (0.20, 0.26, 0) * who.eye_size
        p[:, 0] += side * 0.32 * who.eye_spacing * near["eye places"][index]
        p[:, 1] += weight[:, 0] * offset[:, 0] * side * 0.20 * who.eye_tilt
        p += near["cheeks"][index][:, None] * np.array((side * 0.75, -0.1, 0.35)) * who.cheeks
        p[:, 1] += 0.38 * who.brow_height * near["brows"][index]
        p[:, 1] += weight[:, 0] * offset[:, 1] * 0.16 * who.eye_height
        p += near["cheekbones"][index][:, None] * np.array((side * 0.45, 0.1, 0.3)) * who.cheekbones
        p += near["gonions"][index][:, None] * np.array((side * 0.55, -0.35, 0.1)) * who.jaw_angle
        p[:, 0] += side * 0.42 * who.temples * near["temples"][index]
        p[:, 1] += 0.28 * who.mouth_tilt * near["corners"][index]
    nose = near["nose"]
    p[:, 0] += points[:, 0] * 0.34 * who.nose_width * nose
    tip = near["tip"]
    p[:, 1] -= 0.65 * who.nose_length * tip
    p[:, 2] += (0.45 * who.nose_length + 0.2 * who.nose_width) * tip
    p[:, 1] += 0.42 * who.nose_tip * near["tip itself"]
    p[:, 2] += 0.5 * who.nose_bridge * near["bridge"]
    p[:, 0] += points[:, 0] * 0.26 * who.bridge_width * near["bridge sides"]
    mouth = near["mouth"]
    p[:, 0] += points[:, 0] * 0.19 * who.mouth_width * mouth
    lips = (points[:, 1] + 4.27) * near["lips"]
    p[:, 1] += lips * 0.42 * who.lip_fullness
    p[:, 2] += 0.25 * who.lip_fullness * near["lips middle"]
    p[:, 1] += lips * np.where(points[:, 1] > -4.27, 0.3, -0.3) * who.upper_lip
    p[:, 1] += 0.32 * who.mouth_height * near["mouth place"]
    p[:, 0] *= 1 + 0.14 * who.jaw_width * near["jaw"]
    p[:, 0] += points[:, 0] * 0.22 * who.chin_width * near["chin sides"]
    p[:, 1] -= 0.95 * who.chin_length * near["chin"]
    return p * (1 + 0.075 * who.head_width, 1 + 0.06 * who.head_length, 1)


@cache
def _jaw_weights() -> np.ndarray:
    points = _neutral()
    weight = _ramp(points[:, 1], -3.6, -5.6) * (1 - 0.35 * _ramp(np.abs(points[:, 0]), 4.5, 7.5))
    weight += 0.5 * _near(points, (0, -5, 4), (4, 1.2, 3)) * (points[:, 1] < -4.2) * (1 - weight)
    for row in UPPER_LIP:
        weight[list(row)] = 0.0
    for row in LOWER_LIP:
        weight[list(row)] = np.interp(points[list(row), 0], (-2.4, -1.2, 1.2, 2.4), (0.5, 1.0, 1.0, 0.5))
    weight[list(LIP_CORNERS)] = 0.35
    return weight


def _expression(points: np.ndarray, pose: Pose) -> np.ndarray:
    rest = _neutral()
    p = points.copy()
    for side in (-1, 1):
        corner = _near(rest, (side * 2.5, -4.35, 4.4), (1.3, 1.0, 1.6))
        p += corner[:, None] * np.array((side * 0.95, 1.0, -0.4)) * pose.smile
        cheek = _near(rest, (side * 4.2, -0.8, 3.8), (1.6, 1.6, 2))
        p += cheek[:, None] * np.array((side * 0.1, 0.45, 0.25)) * pose.smile
        brow = _near(rest, (side * 3.2, 4.8, 4.5), (2.6, 1.1, 3))
        p[:, 1] += brow * (0.95 if pose.brows > 0 else 0.7) * pose.brows
        if pose.brows < 0:
            p[:, 0] += side * 0.35 * pose.brows * _near(rest, (side * 1.6, 4.6, 5), (1, 1, 2))
    p[:, 1] -= 0.25 * pose.smile * _near(rest, (0, -4.6, 5.5), (1.2, 0.8, 2))
    for name, blink in (("right", pose.blink_right), ("left", pose.blink_left)):
        blink = blink**0.8  # even steps to MediaPipe's eye
        upper, lower, crease = (list(rows[name]) for rows in (LIDS, LOWER_LIDS, CREASES))
        gap = p[upper] - p[lower]
        p[upper] -= 0.92 * blink * gap
        p[lower] += 0.10 * blink * gap
        p[upper, 2] += 0.15 * blink
        p[crease] -= 0.45 * blink * gap * (0.3, 1, 0)
    angle = np.radians(19 * pose.jaw) * _jaw_weights()
    hinge = np.array((0.5, -2.0))  # y, z below the ears
    y, z = p[:, 1] - hinge[0], p[:, 2] - hinge[1]
    p[:, 1] = hinge[0] + y * np.cos(angle) - z * np.sin(angle)
    p[:, 2] = hinge[1] + z * np.cos(angle) + y * np.sin(angle)
    return p


def shape_face(who: Identity, pose: Pose) -> Face:
    """The face in the head's axes: deformed, not yet turned."""
    still = _identity(_neutral(), who)
    moved = _expression(still, pose)
    eyes = np.stack([still[list(ring)].mean(0) + np.array((0, 0.04, 0.25)) for ring in (RIGHT_EYE, LEFT_EYE)])
    turn = np.array(((0, 0, 0), (1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, -1, 0)), float) * IRIS
    iris = (eyes[:, None] + turn[None] - (0, 0, 0.1)).reshape(10, 3)
    return Face(moved, eyes, iris)


def _funnel(ring: np.ndarray, depth: np.ndarray, steps: tuple[float, ...]) -> np.ndarray:
    """[len(steps), n, 3]: the ring drawn in towards its middle, `depth` cm back per step."""
    middle = ring.mean(0)
    inward = np.stack([middle + (ring - middle) * (1 - step) for step in steps])
    inward[..., 2] += depth[:, None]
    return inward


def _fill(points: np.ndarray, uv: np.ndarray, clockwise: bool, **options) -> Mesh:
    rings, n = points.shape[:2]
    triangles = grid_triangles(rings, n, closed=True)
    return Mesh(points.reshape(-1, 3), uv, triangles[:, ::-1] if clockwise else triangles, two_sided=True, **options)


def face_fillings(face: Face, patches: dict[str, tuple[float, float, float, float]]) -> list[Mesh]:
    """What shows through the holes of the skin, both eyes and the inside of the mouth, and the lashes over them."""

    def place(patch: str, uv: np.ndarray) -> np.ndarray:
        u0, v0, u1, v1 = patches[patch]
        return np.array((u0, v0)) + np.clip(uv, 0.01, 0.99) * (u1 - u0, v1 - v0)

    meshes = []
    steps = (0.0, 0.3, 0.6, 0.85, 0.999)
    for ring, centre in ((RIGHT_EYE, face.eyes[0]), (LEFT_EYE, face.eyes[1])):
        points = _funnel(face.skin[list(ring)], np.array((-0.02, 0.02, 0.05, 0.07, 0.08)), steps)
        offset = (points[..., :2] - centre[:2]) / EYEBALL
        uv = place("eye", (offset * (1, -1) + 1).reshape(-1, 2) / 2)
        meshes.append(_fill(points, uv, ring is RIGHT_EYE, face=True, bias=-0.3))
        lid = face.skin[list(ring[:9])]
        width = 0.17 * np.sin(np.linspace(0.35, 2.9, 9))[:, None]
        strip = np.stack((lid + width * LASH, lid - 0.2 * width * LASH))
        meshes.append(grid(strip, patches["lash"], face=True, bias=0.3, two_sided=True))
    lips = face.skin[list(INNER_LIPS)]
    points = _funnel(lips, np.array((-0.25, -0.5, -0.7, -0.8)), (0.0, 0.35, 0.7, 0.999))
    upper = face.skin[13]
    across = (points[..., 0] - upper[0]) / 6.0 + 0.5
    down = (upper[1] - points[..., 1]) / 4.5 + 0.1
    uv = place("mouth", np.stack((across, down), -1).reshape(-1, 2))
    meshes.append(_fill(points, uv, True, face=True, bias=-0.4))
    return meshes
