"""Scenes to pictures: triangles in painter's order, texture and light per pixel, drawn at twice the resolution."""

from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from realisid_core.canonical_face import normals

from .background import paint_background
from .body import limbs, torso
from .face import face_fillings, shape_face
from .hair import hair
from .head import ears, glasses, neck, skin
from .mesh import Mesh
from .scene import STUDIO, Light, Person, Scene
from .style import apply_style
from .texture import PATCHES, paint

PIVOT = np.array((0.0, -5.0, -4.0))  # where the head turns on the neck
CAMERA = 95.0  # cm from the head's centre
OVERSAMPLING = 2
VIEWER = np.array((0.0, 0.0, 1.0))
LIGHT = np.array((-0.42, 0.52, 0.74)) / np.linalg.norm((-0.42, 0.52, 0.74))
HALF = (LIGHT + VIEWER) / np.linalg.norm(LIGHT + VIEWER)
SLIVER = 4.0  # twice the area in oversampled pixels below which a triangle has one texture place and light
ROW = 256  # covered pixels that are shaded as one row of a picture
SHADE = 180.0  # the light value that leaves a texture as it is, in the 8-bit light map


@dataclass(frozen=True)
class Rendered:
    image: np.ndarray  # [H, W, 3] uint8 RGB
    landmarks: list[np.ndarray]  # per person [478, 2] float32 px, MediaPipe's order
    masks: list[np.ndarray]  # per person [H, W] uint8 0 or 1: what is seen of face and hair
    boxes: list[tuple[float, float, float, float]]  # per person x0, y0, x1, y1 px


@dataclass(frozen=True)
class Projected:
    """One person's triangles on the picture, farthest first: corners [T, 3, 2] px, attributes [T, 3, 3] u, v, light."""

    corners: np.ndarray
    attributes: np.ndarray
    face: np.ndarray
    landmarks: np.ndarray


def _project(points: np.ndarray) -> np.ndarray:
    """[n, 3] cm to [n, 2] on the picture plane, y downwards."""
    return points[:, :2] * (1, -1) / (1 - points[:, 2:] / CAMERA)


def _light(normal: np.ndarray, gloss: np.ndarray, light: Light = STUDIO) -> np.ndarray:
    """Brightness per vertex, 1 leaves the texture as it is: a key light, sky, a soft highlight.

    The key light comes from the upper left in the studio. Where it is weaker the surroundings are brighter.
    """
    towards, half, strength = LIGHT, HALF, light[2]
    if light != STUDIO:
        right, up = np.radians(light[:2])
        towards = np.array((np.cos(up) * np.sin(right), np.sin(up), np.cos(up) * np.cos(right)))
        half = (towards + VIEWER) / np.linalg.norm(towards + VIEWER)
    key = np.clip((normal @ towards + 0.25) / 1.25, 0, 1)
    sky = 0.5 + 0.5 * normal[:, 1]
    shine = np.clip(normal @ half, 0, 1) ** 18
    return 0.46 + 0.4 * (1 - strength) + 0.58 * strength * key + 0.07 * sky + gloss * shine


@cache
def _body(short_sleeves: bool) -> tuple[list[Mesh], Mesh]:
    """What everybody shares: torso and limbs, and the neck."""
    return [torso(PATCHES), *limbs(PATCHES, short_sleeves)], neck(PATCHES)


def _meshes(person: Person) -> tuple[list[Mesh], np.ndarray]:
    """Everything of one person in the viewer's axes, and the 478 landmarks [478, 3]."""
    who, pose = person.identity, person.pose
    face = shape_face(who, pose)
    head = [skin(face.skin, who, PATCHES), *face_fillings(face, PATCHES), *ears(who, PATCHES)]
    head += [*hair(who, PATCHES), *glasses(face.skin, who, PATCHES)]
    rotation = pose.rotation()
    body_yaw = replace(pose, yaw=0.3 * pose.yaw, pitch=0.0, roll=0.0).rotation()
    neck_turn = replace(pose, yaw=0.5 * pose.yaw, pitch=0.3 * pose.pitch, roll=0.3 * pose.roll).rotation()
    body, throat = _body(person.shirt[1] == "t-shirt")
    meshes = [mesh.moved(body_yaw, PIVOT) for mesh in body]
    meshes += [throat.moved(neck_turn, np.array((0.0, -14.0, -5.0)))]
    meshes += [mesh.moved(rotation, PIVOT) for mesh in head]
    landmarks = (np.concatenate((face.skin, face.iris)) - PIVOT) @ rotation.T + PIVOT
    return meshes, landmarks


def project_person(person: Person, size: int, lamp: Light = STUDIO) -> Projected:
    """Scaled and placed so that the square round the landmarks is the person's box, exactly."""
    meshes, points = _meshes(person)
    flat = _project(points)
    low, high = flat[:468].min(0), flat[:468].max(0)
    x, y, side = (value * size for value in person.box)
    scale = side / (high - low).max()
    shift = np.array((x, y)) + side / 2 - scale * (low + high) / 2
    meshes = [mesh for mesh in meshes if _touches(_project(mesh.vertices) * scale + shift, size)] or meshes[:1]

    vertices = np.concatenate([mesh.vertices for mesh in meshes])
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    triangles = np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts, strict=True)])
    gloss = np.repeat([mesh.gloss for mesh in meshes], [len(mesh.vertices) for mesh in meshes])
    bias, face, two_sided = (
        np.repeat([getattr(mesh, name) for mesh in meshes], [len(mesh.triangles) for mesh in meshes])
        for name in ("bias", "face", "two_sided")
    )
    corners = (_project(vertices) * scale + shift)[triangles]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    inside = (np.minimum(np.minimum(a, b), c) < size).all(1) & (np.maximum(np.maximum(a, b), c) > 0).all(1)
    seen = np.flatnonzero(inside & ((area < -1e-4) | (two_sided & (area > 1e-4))))
    depth = vertices[:, 2][triangles[seen]].mean(1) + bias[seen]
    seen = seen[np.argsort(depth, kind="stable")]
    light = _light(normals(vertices, triangles), gloss, lamp)
    attributes = np.concatenate((np.concatenate([mesh.uv for mesh in meshes]), light[:, None]), 1)
    return Projected(corners[seen], attributes[triangles[seen]], face[seen], (flat * scale + shift).astype(np.float32))


def _touches(points: np.ndarray, size: int) -> bool:
    """Whether the rectangle round points [n, 2] px and the picture overlap."""
    return bool((points.min(0) < size).all() and (points.max(0) > 0).all())


def _planes(corners: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """[T, 3, 3]: per attribute its slope in x, in y and its value at the origin of the picture.

    Slivers are of one value: OpenCV paints pixels past their edges, where slopes would lead far astray.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    e, f = b - a, c - a
    area = e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0]
    p, q = attributes[:, 1] - attributes[:, 0], attributes[:, 2] - attributes[:, 0]
    dx = (p * f[:, 1:] - q * e[:, 1:]) / area[:, None]
    dy = (q * e[:, :1] - p * f[:, :1]) / area[:, None]
    dx, dy = (np.where(np.abs(area)[:, None] < SLIVER, 0, slope) for slope in (dx, dy))
    middle, value = corners.mean(1), attributes.mean(1)
    return np.stack((dx, dy, value - dx * middle[:, :1] - dy * middle[:, 1:]), -1).astype(np.float32)


def _tint() -> np.ndarray:
    """[256, 1, 3]: light to multipliers: shadows are warm."""
    light = np.arange(256) / SHADE
    powers = np.array((0.86, 1.06, 1.10))
    return np.clip(light[:, None] ** powers * SHADE, 0, 255).astype(np.uint8)[:, None]


TINT = _tint()


def _draw(ids: np.ndarray, corners: np.ndarray, first: int) -> None:
    for index, triangle in enumerate(np.round(corners * 16).astype(np.int32), first):
        cv2.fillConvexPoly(ids, triangle, index, cv2.LINE_8, 4)


def _atlas(person: Person, pixels: float) -> np.ndarray:
    """The atlas whose face texture has about the resolution that a face of `pixels` (oversampled) needs."""
    side = int(np.clip(2 ** np.ceil(np.log2(pixels * 2)), 256, 1024))
    return paint(person.identity, *person.shirt, side)


def render(scene: Scene, size: int = 256) -> Rendered:
    """The picture of a scene with everything that is known about it. Larger faces stand in front."""
    full = size * OVERSAMPLING
    order = sorted(range(len(scene.people)), key=lambda index: scene.people[index].box[2])
    projected = [project_person(person, size, scene.light) for person in scene.people]
    colour = np.zeros((full, full, 3), np.uint8)
    cover = np.zeros((full, full), np.uint8)
    owner = np.zeros((full, full), np.uint8)
    for index in order:
        person, drawn = scene.people[index], projected[index]
        if not len(drawn.corners):
            continue  # wholly outside of the picture
        corners = drawn.corners * OVERSAMPLING - 0.5
        low = np.clip(np.floor(corners.min((0, 1))), 0, full - 1).astype(int)
        high = np.clip(np.ceil(corners.max((0, 1))) + 1, 1, full).astype(int)
        ids = np.zeros((high[1] - low[1], high[0] - low[0]), np.int32)
        corners = corners - low
        _draw(ids, corners, 1)
        if not ids.any():
            continue  # its triangles lie between the pixels
        planes = np.concatenate((np.zeros((1, 3, 3), np.float32), _planes(corners, drawn.attributes)))
        atlas = _atlas(person, person.box[2] * full)
        shaded = _shade(ids, planes, atlas)
        window = np.s_[low[1] : high[1], low[0] : high[0]]
        seen = (ids > 0).view(np.uint8)
        cv2.copyTo(shaded, seen, colour[window])
        cover[window] |= seen
        face = np.concatenate(((False,), drawn.face)).astype(np.uint8) * (index + 1)
        cv2.copyTo(face[ids], seen, owner[window])
    image = _compose(scene, colour, cover, size)
    masks = [_shrink((owner == index + 1).view(np.uint8) * 255, size) >= 128 for index in range(len(scene.people))]
    return Rendered(
        apply_style(image, scene.style, scene.seed),
        [drawn.landmarks for drawn in projected],
        [mask.view(np.uint8) for mask in masks],
        [tuple(size * v for v in (x, y, x + side, y + side)) for x, y, side in (person.box for person in scene.people)],
    )


def _shade(ids: np.ndarray, planes: np.ndarray, atlas: np.ndarray) -> np.ndarray:
    """Colours [h, w, 3] of the pixels that a triangle covers (id > 0), zero elsewhere."""
    covered = np.flatnonzero(ids)
    lacking = -len(covered) % ROW  # OpenCV takes pictures: the covered pixels are laid in rows, the last one filled up
    places = np.concatenate((covered, covered[:1].repeat(lacking)))
    own = planes.reshape(-1, 9).take(ids.ravel().take(places), axis=0).T
    y, x = (axis.astype(np.float32) for axis in np.divmod(places, ids.shape[1]))
    u, v, light = ((own[i] * x + own[i + 1] * y + own[i + 2]).reshape(-1, ROW) for i in (0, 3, 6))
    side = atlas.shape[0]
    texture = cv2.remap(atlas, u * side - 0.5, v * side - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    level = cv2.convertScaleAbs(light, alpha=SHADE)
    shaded = np.zeros((ids.size, 3), np.uint8)
    shaded[places] = cv2.multiply(texture, TINT[level, 0], scale=1 / SHADE).reshape(-1, 3)
    return shaded.reshape(*ids.shape, 3)


def _shrink(image: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def _compose(scene: Scene, colour: np.ndarray, cover: np.ndarray, size: int) -> np.ndarray:
    behind = paint_background(*scene.background, scene.seed, size)
    front = _shrink(colour, size)
    alpha = _shrink(cover * 255, size)[..., None].astype(np.uint16)
    return (front + (behind * (255 - alpha) + 127) // 255).clip(0, 255).astype(np.uint8)
