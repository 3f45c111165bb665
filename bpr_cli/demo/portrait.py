"""A real photograph with masks drawn by hand: the portrait of Grace Hopper that ships with matplotlib (public domain).

Corners are (x, y) in pixels, 0 being the outer edge of the first pixel.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.demo import shapes
from bpr_cli.errors import BprError
from bpr_cli.typing import BoolArray, Size

SIZE: Size = (600, 512)

Outline = tuple[tuple[float, float], ...]

# fmt: off
COARSE: Outline = (
    (15, 600), (20, 545), (20, 500), (28, 455), (30, 425), (38, 398), (44, 378), (62, 372), (86, 373), (118, 355),
    (146, 355), (172, 334), (190, 332), (204, 318), (196, 303), (168, 291), (155, 272), (154, 245), (158, 226),
    (148, 210), (148, 186), (144, 165), (145, 130), (151, 104), (163, 85), (172, 80), (170, 70), (184, 52),
    (203, 40), (222, 42), (228, 22), (256, 18), (288, 27), (303, 43), (325, 44), (345, 58), (358, 80), (372, 84),
    (374, 120), (366, 150), (372, 178), (381, 196), (377, 218), (365, 244), (367, 270), (360, 290), (348, 303),
    (333, 312), (345, 320), (358, 344), (390, 346), (416, 368), (452, 368), (488, 382), (500, 397), (500, 420),
    (512, 436), (512, 600),
)
"""The person as a hurried annotator draws her: straight strokes, off by 3 to 8 pixels in places."""

CAREFUL: Outline = (
    (11, 600), (13.4, 580), (15.5, 560), (17.3, 540), (19.6, 520), (21.8, 500), (24, 480), (26.2, 460), (28.8, 442),
    (31, 431), (34.5, 420), (38.2, 410), (41.3, 400), (45.7, 390.5), (49.5, 385.3), (54, 381.3), (61, 380.4),
    (67, 376.6), (73, 373), (80, 369.8), (90, 366.5), (100, 364), (110, 362.5), (120, 360.5), (130, 356), (140, 352),
    (150, 348.5), (160, 345), (168, 342), (176, 337.5), (184, 332), (190, 325.5), (196, 318.5), (201, 313.7),
    (203.5, 312), (203, 308), (201.7, 302), (200.5, 297.7), (196, 297.5), (190, 295.3), (183, 292), (175, 288.5),
    (169, 285.2), (165, 281), (162.5, 275), (161, 268), (158.5, 260), (158, 251), (159, 242), (161, 234), (160, 229),
    (158, 223), (155.5, 219), (154.3, 213), (153.2, 206), (152.7, 198), (153.8, 191), (157, 184), (150.5, 183),
    (149.7, 165), (149.7, 150), (150.7, 135), (152, 122), (154, 112), (156, 105), (160, 98), (166, 92), (172, 86.5),
    (174, 84), (175, 76.5), (178, 68.5), (182, 61.5), (188, 54.5), (194, 49.5), (202, 45), (210, 42), (219, 40),
    (222, 33.5), (228, 28.5), (236, 25.3), (245, 23.2), (255, 22.3), (265, 23.3), (275, 26), (284, 29.8), (291, 34),
    (296, 37.5), (300, 40), (308, 42), (316, 44.7), (324, 48), (332, 53), (339, 59.3), (345, 66.5), (349, 73),
    (352.3, 80), (354, 86.2), (356.5, 86), (361, 85.3), (364.2, 87.6), (367.5, 94), (369.4, 102), (369.9, 112),
    (370.5, 122), (371, 130), (371.6, 140), (371, 150), (370, 160), (368.5, 172), (367.5, 181.5), (371, 182.7),
    (373.8, 188), (375, 194), (375.7, 201), (375, 208), (373.2, 216), (371.5, 224), (369.8, 232), (367.5, 242),
    (365, 250), (363, 258), (361.8, 264), (361.5, 270), (360, 278), (357, 286), (352, 294), (346, 300), (341, 304),
    (337, 306), (333, 305), (330.5, 307), (330.5, 312), (334, 316.8), (340, 321.5), (346, 326.2), (352, 332.5),
    (360, 339), (366, 341.8), (374, 344), (382, 347.5), (392, 352.5), (402, 357.5), (410, 360.5), (418, 364.5),
    (426, 367.5), (436, 370), (446, 372), (456, 374.5), (464, 378), (472, 381.8), (479, 386), (484, 389), (489, 390),
    (493, 393.5), (496, 400), (498, 407), (501, 416), (505, 427), (509, 438), (512, 447), (512, 600),
)
# fmt: on
"""The person as exactly as a magnifying glass shows her, to about half a pixel; for measuring only."""


def photograph() -> NDArray[np.uint8]:
    """The portrait: uint8 RGB, (600, 512, 3)."""
    path = photograph_path()
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None or bgr.shape[:2] != SIZE:
        raise BprError(f"{path}: expected the portrait that matplotlib ships; reinstall matplotlib")
    return np.ascontiguousarray(bgr[..., ::-1])


def photograph_path() -> Path:
    """Where matplotlib keeps the portrait."""
    # Only here, because it takes long to import.
    from matplotlib import get_data_path  # noqa: PLC0415

    return Path(get_data_path()) / "sample_data" / "grace_hopper.jpg"


def coarse_mask() -> BoolArray:
    """The hurried mask of the person: bool, (600, 512)."""
    return _inside(COARSE)


def careful_mask() -> BoolArray:
    """The careful mask of the person: bool, (600, 512)."""
    return _inside(CAREFUL)


def _inside(outline: Outline) -> BoolArray:
    """Pixels that lie inside an outline for at least half of their area."""
    canvas = shapes.blank(SIZE)
    shapes.fill_polygon(canvas, outline)
    return shapes.coverage(canvas) >= 0.5
