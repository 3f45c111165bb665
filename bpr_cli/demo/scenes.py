"""Made-up pictures with exact ground truth.

Every silhouette is drawn at ``SCALE`` times the resolution of the picture; the share of its sub-pixels is the opacity
of a pixel, so edges are antialiased as in a photograph, and a pixel's true label is what covers most of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.demo import shapes
from bpr_cli.demo.textures import (
    Colour,
    FloatArray,
    bulge,
    colourise,
    noise,
    photo_detail,
    smooth_step,
)
from bpr_cli.typing import BoolArray, Size

SIZE: Size = (480, 640)
LABEL_DIVISOR = 1000
"""A panoptic id is category id * LABEL_DIVISOR, plus the running number for things."""


@dataclass(frozen=True)
class Category:
    """A class of the demo.

    Attributes:
        id: label in semantic maps and category id in JSON files.
        name: what it is.
        is_thing: whether it is counted (an instance) or not (stuff).
        colour: RGB of its label in palettes and panoptic JSON files.
    """

    id: int
    name: str
    is_thing: bool
    colour: Colour


CATEGORIES = (
    Category(1, "sky", is_thing=False, colour=(120, 180, 230)),
    Category(2, "hills", is_thing=False, colour=(90, 120, 110)),
    Category(3, "field", is_thing=False, colour=(150, 190, 100)),
    Category(4, "animal", is_thing=True, colour=(213, 94, 0)),
    Category(5, "boulder", is_thing=True, colour=(130, 110, 150)),
    Category(6, "sign", is_thing=True, colour=(240, 228, 66)),
    Category(7, "wheel", is_thing=True, colour=(0, 114, 178)),
    Category(8, "balloon", is_thing=True, colour=(204, 121, 167)),
)
SKY, HILLS, FIELD, ANIMAL, BOULDER, SIGN, WHEEL, BALLOON = CATEGORIES


@dataclass(frozen=True)
class Scene:
    """One picture and the truth about it.

    Attributes:
        name: stem of its files.
        image: uint8 RGB, (H, W, 3).
        segment_ids: int32, (H, W), the panoptic id of every pixel.
    """

    name: str
    image: NDArray[np.uint8]
    segment_ids: NDArray[np.int32]

    @property
    def labels(self) -> NDArray[np.int32]:
        """Category id of every pixel: int32, (H, W)."""
        return category_of(self.segment_ids)

    @property
    def instances(self) -> list[tuple[int, BoolArray]]:
        """(category id, visible mask) of every thing, in the order of their panoptic ids."""
        things = {category.id for category in CATEGORIES if category.is_thing}
        found = ((int(i), int(category_of(i))) for i in np.unique(self.segment_ids))
        return [(category, self.segment_ids == i) for i, category in found if category in things]


def category_of(segment_ids: NDArray[np.int32] | int) -> NDArray[np.int32]:
    """Category id of panoptic ids."""
    return np.asarray(segment_ids, dtype=np.int32) // LABEL_DIVISOR


@dataclass(frozen=True)
class Thing:
    """An object to place in a scene.

    Attributes:
        category: what it is.
        place: (x, y) in pixels of its foot on the ground, of its centre for a balloon.
        reach: its size in pixels: length of an animal's body, radius of anything else.
        kind: variant within the category.
        colours: from dark to bright.
    """

    category: Category
    place: tuple[float, float]
    reach: float
    kind: str
    colours: tuple[Colour, ...]


BROWN = ((52, 30, 20), (120, 74, 44), (176, 124, 84))
CREAM = ((120, 104, 84), (200, 184, 156), (244, 236, 220))
DARK = ((14, 13, 16), (44, 40, 44), (86, 78, 76))
TAWNY = ((92, 54, 22), (196, 140, 70), (232, 196, 140))
GRANITE = ((66, 62, 66), (132, 126, 124), (196, 190, 182))
SANDSTONE = ((104, 66, 50), (178, 128, 98), (220, 180, 148))
RED = ((92, 12, 16), (186, 32, 36), (232, 92, 80))
YELLOW = ((150, 104, 10), (232, 186, 36), (252, 228, 120))
BLUE = ((14, 30, 84), (34, 78, 164), (110, 156, 220))
WHITE = ((150, 150, 156), (222, 222, 222), (252, 252, 250))
WOOD = ((58, 36, 22), (112, 74, 46), (160, 116, 78))

MEADOW = (
    Thing(BALLOON, (118, 84), 46, "plain", RED),
    Thing(SIGN, (548, 318), 54, "poster", WHITE),
    Thing(BOULDER, (170, 338), 52, "plain", GRANITE),
    Thing(ANIMAL, (316, 348), 124, "stag", BROWN),
    Thing(ANIMAL, (120, 430), 84, "dog", CREAM),
    Thing(WHEEL, (514, 442), 66, "plain", WOOD),
)
RIDGE = (
    Thing(BALLOON, (520, 92), 58, "striped", YELLOW),
    Thing(BALLOON, (388, 56), 30, "plain", BLUE),
    Thing(ANIMAL, (182, 362), 112, "giraffe", TAWNY),
    Thing(SIGN, (320, 344), 44, "star", RED),
    Thing(ANIMAL, (478, 402), 130, "horse", DARK),
    Thing(BOULDER, (300, 452), 58, "plain", SANDSTONE),
)
YARD = (
    Thing(BALLOON, (92, 120), 54, "striped", RED),
    Thing(ANIMAL, (246, 336), 92, "horse", CREAM),
    Thing(WHEEL, (452, 356), 78, "plain", DARK),
    Thing(BOULDER, (560, 398), 70, "plain", GRANITE),
    Thing(SIGN, (108, 384), 50, "arrow", YELLOW),
    Thing(ANIMAL, (336, 442), 78, "dog", BROWN),
)
COMPOSITIONS = {"meadow": MEADOW, "ridge": RIDGE, "yard": YARD}
"""The things of every scene, the farthest first."""
BUILDS = {"stag": shapes.STAG, "dog": shapes.DOG, "giraffe": shapes.GIRAFFE, "horse": shapes.HORSE}


def make_scenes(photo: NDArray[np.uint8], seed: int = 0) -> list[Scene]:
    """All scenes of the demo; the same for the same seed.

    Args:
        photo: uint8 RGB, a photograph that lends its detail to the surfaces.
        seed: of poses, outlines, textures and noise.
    """
    return [
        make_scene(name, things, photo, np.random.default_rng([seed, index]))
        for index, (name, things) in enumerate(COMPOSITIONS.items())
    ]


def make_scene(name: str, things: tuple[Thing, ...], photo: NDArray[np.uint8], rng: np.random.Generator) -> Scene:
    """Draw a landscape with things in it, the first of them the farthest away."""
    ids = shapes.blank(SIZE)
    painted = _paint_landscape(ids, photo, rng)
    numbers = [category.id * LABEL_DIVISOR for category in (SKY, HILLS, FIELD)]
    for count, thing in enumerate(things, start=1):
        canvas = shapes.blank(SIZE)
        SILHOUETTES[thing.category.name](canvas, thing, rng)
        opacity = shapes.coverage(canvas)
        if thing.category is not BALLOON:
            _cast_shadow(painted, thing, opacity)
        _over(painted, opacity, _surface(thing, opacity > 0, photo, rng))
        ids[canvas > 0] = len(numbers)
        numbers.append(thing.category.id * LABEL_DIVISOR + count)
    return Scene(name, expose(painted, rng), np.array(numbers, dtype=np.int32)[shapes.majority(ids, len(numbers))])


def expose(painted: FloatArray, rng: np.random.Generator) -> NDArray[np.uint8]:
    """What a camera makes of float RGB: slight blur, darker corners, sensor noise, 8 bits."""
    height, width = painted.shape[:2]
    soft = cv2.GaussianBlur(painted, (0, 0), 0.55)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    lit = soft * (1 - 0.13 * (x * x + y * y))[..., None]
    grain = rng.normal(0, 2.2, (height, width, 1)) + rng.normal(0, 1.3, (height, width, 3))
    return np.asarray(np.clip(np.round(lit + grain * (0.6 + lit / 400)), 0, 255), dtype=np.uint8)


def _over(painted: FloatArray, opacity: FloatArray, colours: FloatArray) -> None:
    """Paint colours (H, W, 3) over the picture, in place."""
    painted += opacity[..., None] * (colours - painted)


def _paint_landscape(ids: shapes.Canvas, photo: NDArray[np.uint8], rng: np.random.Generator) -> FloatArray:
    """Sky, hills and field: RGB (H, W, 3). Their indices 0, 1, 2 are set on the canvas."""
    painted = _sky(rng)
    for index, base, slope, height, paint in ((1, 0.46, 1.6, 26, _hills), (2, 0.58, 2.2, 7, _field)):
        canvas = shapes.blank(SIZE)
        skyline = base * SIZE[0] + height * noise((2, 257), rng, slope)[0]
        shapes.fill_polygon(canvas, shapes.ridge_points(SIZE, skyline))
        _over(painted, shapes.coverage(canvas), paint(photo, rng))
        ids[canvas > 0] = index
    return painted


def _sky(rng: np.random.Generator) -> FloatArray:
    """Blue that pales towards the horizon, with clouds."""
    depth = np.linspace(0, 1, SIZE[0], dtype=np.float32)[:, None, None]
    blue = np.array((74, 128, 196), np.float32) * (1 - depth) + np.array((206, 222, 234), np.float32) * depth
    sky: FloatArray = np.tile(blue, (1, SIZE[1], 1))
    clouds = smooth_step(noise(SIZE, rng, 1.7, stretch=(1, 2.2)), 0.2, 2.2)
    _over(sky, 0.85 * clouds, np.full((*SIZE, 3), 242, np.float32))
    return sky


def _hills(photo: NDArray[np.uint8], rng: np.random.Generator) -> FloatArray:
    """Woods seen from afar, bluish with haze."""
    pattern = noise(SIZE, rng, 0.7) + 0.8 * photo_detail(photo, SIZE, rng)
    return colourise(0.8 * pattern, ((44, 66, 66), (72, 98, 88), (116, 136, 116)))


def _field(photo: NDArray[np.uint8], rng: np.random.Generator) -> FloatArray:
    """Grass: fine blades far away, coarser ones in front, worn patches between."""
    depth = smooth_step(np.linspace(0, 1, SIZE[0], dtype=np.float32), 0.55, 1.0)[:, None]
    blades = noise(SIZE, rng, 0.35, stretch=(2, 1)) * (1 - depth) + noise(SIZE, rng, 0.8, stretch=(4, 1)) * depth
    patches = noise(SIZE, rng, 1.5, stretch=(1, 3))
    grass = colourise(0.85 * blades + 0.5 * patches, ((38, 58, 22), (96, 122, 50), (172, 182, 98)))
    worn = smooth_step(patches + 0.3 * photo_detail(photo, SIZE, rng), 0.6, 1.9)
    _over(grass, 0.6 * worn, colourise(blades, ((96, 78, 52), (150, 128, 92), (196, 176, 140))))
    return np.asarray(grass * (0.82 + 0.22 * depth[..., None]), dtype=np.float32)


def _cast_shadow(painted: FloatArray, thing: Thing, opacity: FloatArray) -> None:
    """Darken the ground around the foot of a thing, in place."""
    columns = np.flatnonzero(opacity.max(axis=0) > 0.5)
    half = 0.45 * (columns[-1] - columns[0])
    x, y = float(columns.mean()) + 0.12 * half, thing.place[1]
    canvas = shapes.blank(SIZE)
    shapes.fill_polygon(canvas, shapes.ellipse_points((x, y), (half, 0.14 * half)))
    painted *= (1 - 0.5 * cv2.GaussianBlur(shapes.coverage(canvas), (0, 0), max(2.0, 0.07 * half)))[..., None]


def _surface(thing: Thing, mask: BoolArray, photo: NDArray[np.uint8], rng: np.random.Generator) -> FloatArray:
    """Colours of a thing over the whole frame: RGB (H, W, 3)."""
    grain = 0.7 * noise(SIZE, rng, 1.1) + 0.5 * photo_detail(photo, SIZE, rng)
    colours = colourise(0.8 * grain, thing.colours)
    if thing.category is ANIMAL:
        coat = smooth_step(noise(SIZE, rng, 1.5), 0.5, 0.8)
        _over(colours, 0.75 * coat, colourise(grain, CREAM if thing.colours is not CREAM else BROWN))
    if thing.kind == "striped":
        stripe = np.sin((np.arange(SIZE[1]) - thing.place[0]) / thing.reach * 5)[None, :]
        _over(colours, np.repeat(smooth_step(stripe, -0.1, 0.1), SIZE[0], axis=0), colourise(grain, WHITE))
    if thing.kind == "poster":
        _paste_photo(colours, thing, photo)
    roundness = {"animal": 12.0, "boulder": 30.0, "balloon": 0.9 * thing.reach}.get(thing.category.name, 4.0)
    return colours * bulge(mask, roundness)[..., None]


def _paste_photo(colours: FloatArray, thing: Thing, photo: NDArray[np.uint8]) -> None:
    """Put the photograph on a sign, in place, within a frame in the sign's own colour."""
    half = int(thing.reach * 0.86)
    x, y = int(thing.place[0]), int(_board_centre(thing)[1])
    print_ = cv2.resize(photo[20:400, 70:450], (2 * half, 2 * half), interpolation=cv2.INTER_AREA)
    colours[y - half : y + half, x - half : x + half] = print_


def _board_centre(thing: Thing) -> tuple[float, float]:
    """Centre of a sign's board, which stands on a post."""
    return thing.place[0], thing.place[1] - 2.1 * thing.reach


def _draw_animal(canvas: shapes.Canvas, thing: Thing, rng: np.random.Generator) -> None:
    shapes.fill_animal(canvas, thing.place, thing.reach, BUILDS[thing.kind], rng)


def _draw_boulder(canvas: shapes.Canvas, thing: Thing, rng: np.random.Generator) -> None:
    centre = (thing.place[0], thing.place[1] - 0.7 * thing.reach)
    shapes.fill_polygon(canvas, shapes.blob_points(centre, thing.reach, rng, roughness=0.09))


def _draw_wheel(canvas: shapes.Canvas, thing: Thing, rng: np.random.Generator) -> None:
    shapes.fill_wheel(canvas, (thing.place[0], thing.place[1] - thing.reach), thing.reach, rng)


def _draw_sign(canvas: shapes.Canvas, thing: Thing, rng: np.random.Generator) -> None:
    centre, reach = _board_centre(thing), thing.reach
    width = max(2.5, 0.06 * reach)
    shapes.fill_bone(canvas, centre, thing.place, (width, width))
    outlines = {
        "star": shapes.star_points(centre, reach * 1.15, 5, 0.42, rng.uniform(-0.2, 0.2)),
        "arrow": shapes.arrow_points(centre, reach * 1.1, rng.uniform(-0.25, 0.05)),
    }
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * reach + centre
    shapes.fill_polygon(canvas, outlines.get(thing.kind, square))


def _draw_balloon(canvas: shapes.Canvas, thing: Thing, rng: np.random.Generator) -> None:
    """An envelope and a basket that hangs from two ropes."""
    (x, y), reach = thing.place, thing.reach
    shapes.fill_polygon(canvas, shapes.ellipse_points((x, y), (reach, 1.05 * reach)))
    skirt = [(x - 0.78 * reach, y + 0.62 * reach), (x + 0.78 * reach, y + 0.62 * reach)]
    shapes.fill_polygon(canvas, [*skirt, (x + 0.2 * reach, y + 1.45 * reach), (x - 0.2 * reach, y + 1.45 * reach)])
    basket_y = y + (1.85 + rng.uniform(0, 0.1)) * reach
    for side in (-0.17, 0.17):
        shapes.fill_bone(canvas, (x + side * reach, y + 1.4 * reach), (x + side * reach, basket_y), (0.8, 0.8))
    half = 0.24 * reach
    corners = [(-half, 0), (half, 0), (0.8 * half, 1.4 * half), (-0.8 * half, 1.4 * half)]
    shapes.fill_polygon(canvas, [(x + dx, basket_y + dy) for dx, dy in corners])


SILHOUETTES: dict[str, Callable[[shapes.Canvas, Thing, np.random.Generator], None]] = {
    "animal": _draw_animal,
    "boulder": _draw_boulder,
    "wheel": _draw_wheel,
    "sign": _draw_sign,
    "balloon": _draw_balloon,
}
