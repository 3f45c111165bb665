"""Silhouettes of the demo scenes, drawn on a canvas finer than the picture so that their edges have sub-pixel truth.

A canvas is a uint8 array (SCALE * H, SCALE * W), 0 or 1. Positions and lengths are in picture pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bpr_cli.typing import Size

SCALE = 4
"""Sub-pixels a pixel, along each axis."""
SHIFT = 4
"""Binary digits behind the point in the coordinates given to OpenCV."""

Canvas = NDArray[np.uint8]
Point = tuple[float, float]


def blank(size: Size) -> Canvas:
    """An empty canvas for a picture of (H, W) pixels."""
    return np.zeros((size[0] * SCALE, size[1] * SCALE), dtype=np.uint8)


def fill_polygon(canvas: Canvas, points: ArrayLike, value: int = 1) -> None:
    """Fill a polygon given by (x, y) corners in pixels, 0 being the outer edge of the first pixel."""
    # OpenCV counts from the centre of the first sub-pixel, half a sub-pixel further in.
    corners = (np.asarray(points, dtype=np.float64) * SCALE - 0.5) * (1 << SHIFT)
    cv2.fillPoly(canvas, [np.round(corners).astype(np.int32)], value, lineType=cv2.LINE_8, shift=SHIFT)


def fill_disc(canvas: Canvas, centre: Point, radius: float, value: int = 1) -> None:
    """Fill a disc."""
    fill_polygon(canvas, ellipse_points(centre, (radius, radius)), value)


def coverage(canvas: Canvas) -> NDArray[np.float32]:
    """Share of each pixel's sub-pixels that are set: float32, (H, W)."""
    height, width = (extent // SCALE for extent in canvas.shape)
    fine = (canvas > 0).astype(np.float32)
    return np.asarray(cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float32)


def majority(ids: Canvas, count: int) -> NDArray[np.intp]:
    """What covers most of each pixel, of the ids 0 to ``count - 1`` on a canvas: (H, W)."""
    return np.asarray(np.argmax(np.stack([coverage(ids == i) for i in range(count)]), axis=0))


def ellipse_points(centre: Point, radii: Point, count: int = 72) -> NDArray[np.float64]:
    """Points on an upright ellipse: (count, 2)."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([centre[0] + radii[0] * np.cos(angle), centre[1] + radii[1] * np.sin(angle)], axis=1)


def fill_bone(canvas: Canvas, start: Point, end: Point, radii: Point) -> None:
    """Fill a limb: a bar with round ends whose half width goes from ``radii[0]`` to ``radii[1]``."""
    ends = [ellipse_points(centre, (radius, radius), 24) for centre, radius in ((start, radii[0]), (end, radii[1]))]
    hull = cv2.convexHull(np.concatenate(ends).astype(np.float32))
    fill_polygon(canvas, hull[:, 0])


def blob_points(centre: Point, radius: float, rng: np.random.Generator, roughness: float = 0.12) -> NDArray[np.float64]:
    """A smooth closed curve around a centre, (240, 2): a circle with a few random waves on it."""
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    wave = np.ones_like(angle)
    for k in range(2, 9):
        wave += roughness / (k - 1) * rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    reach = radius * np.clip(wave, 0.4, 1.6)
    return np.stack([centre[0] + reach * np.cos(angle), centre[1] + 0.85 * reach * np.sin(angle)], axis=1)


def star_points(centre: Point, radius: float, spikes: int, inner: float, turn: float) -> NDArray[np.float64]:
    """Corners of a star (2 * spikes, 2); ``inner`` is the radius of its notches as a share of ``radius``."""
    angle = turn + np.arange(2 * spikes) * np.pi / spikes
    reach = np.where(np.arange(2 * spikes) % 2 == 0, radius, radius * inner)
    return np.stack([centre[0] + reach * np.sin(angle), centre[1] - reach * np.cos(angle)], axis=1)


def arrow_points(centre: Point, radius: float, turn: float) -> NDArray[np.float64]:
    """Corners of an arrow that points right, turned clockwise by ``turn`` radians: (7, 2)."""
    outline = np.array([(-1, -0.35), (0.2, -0.35), (0.2, -0.75), (1, 0), (0.2, 0.75), (0.2, 0.35), (-1, 0.35)])
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.asarray(outline @ rotation * radius + centre)


def fill_wheel(canvas: Canvas, centre: Point, radius: float, rng: np.random.Generator, spokes: int = 7) -> None:
    """Fill a wheel: a rim, a hub and thin spokes, with holes between them."""
    fill_disc(canvas, centre, radius)
    fill_disc(canvas, centre, radius * 0.78, 0)
    fill_disc(canvas, centre, radius * 0.2)
    width = max(1.6, radius * 0.045)
    for angle in rng.uniform(0, 2 * np.pi) + np.arange(spokes) * 2 * np.pi / spokes:
        tip = (centre[0] + 0.85 * radius * np.cos(angle), centre[1] + 0.85 * radius * np.sin(angle))
        fill_bone(canvas, centre, tip, (width, width))


@dataclass(frozen=True)
class Build:
    """Proportions of an animal, in units of its body length.

    Attributes:
        neck: length of the neck.
        leg: length of the legs.
        tail: length of the tail.
        antlers: whether it carries antlers.
    """

    neck: float
    leg: float
    tail: float
    antlers: bool = False


HORSE = Build(neck=0.52, leg=0.66, tail=0.62)
STAG = Build(neck=0.45, leg=0.7, tail=0.16, antlers=True)
GIRAFFE = Build(neck=1.15, leg=0.88, tail=0.45)
DOG = Build(neck=0.26, leg=0.48, tail=0.5)


def fill_animal(canvas: Canvas, foot: Point, length: float, build: Build, rng: np.random.Generator) -> None:
    """Fill an animal seen from the side, in a random stride, facing left or right.

    Args:
        canvas: where to draw.
        foot: (x, y) on the ground below the middle of its body.
        length: length of its body in pixels.
        build: its proportions.
        rng: decides on the pose.
    """
    facing = 1 if rng.random() < 0.5 else -1
    for start, end, radii in _bones(build, rng):
        ends = [(foot[0] + facing * x * length, foot[1] + (y - 0.02) * length) for x, y in (start, end)]
        fill_bone(canvas, ends[0], ends[1], (radii[0] * length, radii[1] * length))
    # Closing rounds the sharp inner corners where limbs meet the body.
    side = max(3, int(length * 0.05 * SCALE) | 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    cv2.morphologyEx(canvas, cv2.MORPH_CLOSE, disc, dst=canvas)


Bone = tuple[Point, Point, Point]


def _bones(build: Build, rng: np.random.Generator) -> list[Bone]:
    """All bones as (start, end, half widths) in body lengths, facing right, feet at y = 0, up is negative."""
    back = -build.leg - 0.14
    chest, rump = (0.36, back), (-0.38, back - 0.02)
    bones: list[Bone] = [(rump, chest, (0.19, 0.2)), (rump, (0, back + 0.03), (0.17, 0.19))]
    for hip, phase in ((rump, -1), (rump, 1), (chest, -1), (chest, 1)):
        bones += _leg((hip[0], hip[1] + 0.08), build.leg, phase * rng.uniform(0.12, 0.4), rng)
    bones += _chain((rump[0] - 0.12, rump[1] - 0.08), rng.uniform(2.5, 3.1), build.tail, 0.45, (0.035, 0.02))
    return bones + _head(chest, build, rng)


def _leg(hip: Point, length: float, swing: float, rng: np.random.Generator) -> list[Bone]:
    """Thigh, shank and hoof; ``swing`` is the angle of the thigh in radians, forward positive."""
    bend = swing - rng.uniform(0.05, 0.35)
    knee = (hip[0] + 0.5 * length * np.sin(swing), hip[1] + 0.5 * length * np.cos(swing))
    ankle = (knee[0] + 0.5 * length * np.sin(bend), min(-0.02, knee[1] + 0.5 * length * np.cos(bend)))
    toe = (ankle[0] + 0.06, ankle[1])
    return [(hip, knee, (0.1, 0.055)), (knee, ankle, (0.05, 0.032)), (ankle, toe, (0.036, 0.03))]


def _head(chest: Point, build: Build, rng: np.random.Generator) -> list[Bone]:
    """Neck, skull, ears and, where the build has them, antlers."""
    lean = rng.uniform(0.35, 0.7)
    root = (chest[0] + 0.06, chest[1] - 0.06)
    poll = (root[0] + build.neck * np.sin(lean), root[1] - build.neck * np.cos(lean))
    nose = (poll[0] + 0.27, poll[1] + rng.uniform(0.06, 0.16))
    bones: list[Bone] = [(root, poll, (0.15, 0.085)), (poll, nose, (0.095, 0.05))]
    for ear in (-0.12, 0.02):
        bones.append((poll, (poll[0] + ear, poll[1] - 0.2), (0.04, 0.012)))
    if build.antlers:
        for angle in (1.2, 1.9):
            beam = _chain((poll[0], poll[1] - 0.08), angle, 0.5, 0.25, (0.022, 0.014))
            tines = [(bone[1], (bone[1][0] + 0.1, bone[1][1] - 0.12), (0.014, 0.009)) for bone in beam[:2]]
            bones += beam + tines
    return bones


def _chain(start: Point, angle: float, length: float, curl: float, radii: Point) -> list[Bone]:
    """Three bones in a curve; ``angle`` from the x axis upwards, ``curl`` added at every joint, in radians."""
    bones: list[Bone] = []
    widths = np.linspace(radii[0], radii[1], 4)
    for step in range(3):
        heading = angle + curl * step
        end = (start[0] + length / 3 * np.cos(heading), start[1] - length / 3 * np.sin(heading))
        bones.append((start, end, (float(widths[step]), float(widths[step + 1]))))
        start = end
    return bones


def ridge_points(size: Size, heights: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    """Outline of everything below a skyline given by its y at equal distances over the width."""
    x = np.linspace(0, size[1], len(heights))
    skyline = np.stack([x, np.asarray(heights, dtype=np.float64)], axis=1)
    return np.concatenate([skyline, [(size[1], size[0]), (0, size[0])]])
