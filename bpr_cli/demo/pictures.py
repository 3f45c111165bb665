"""Before/after pictures: the two masks side by side over the image, and magnified places where they differ most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bpr_cli.demo.measure import Segmentation, as_segments, score
from bpr_cli.masks.drawing import AFTER, BEFORE, Colour, Picture, busiest_places, changed_pixels, draw_segments, magnify
from bpr_cli.typing import Box

PAPER: Colour = (255, 255, 255)
INK: Colour = (34, 34, 34)
FAINT: Colour = (110, 110, 110)

MARGIN, GAP, HEADER, CAPTION = 20, 16, 38, 24
"""Pixels around everything, between things, above panels, above insets."""
PANEL_WIDTH, PANEL_HEIGHT = 640, 600
"""A wide image fills the width, a tall one the height."""
MAGNIFICATION = 4


@dataclass(frozen=True)
class Plan:
    """Where everything goes; boxes in pixels of the sheet.

    Attributes:
        size: (width, height) of the sheet.
        panels: before and after.
        insets: (before, after) of every magnified place.
        place_side: side in image pixels of a magnified place.
    """

    size: tuple[int, int]
    panels: tuple[Box, Box]
    insets: tuple[tuple[Box, Box], ...]
    place_side: int


def compare(
    image: Picture, coarse: Segmentation, refined: Segmentation, truth: Segmentation | None = None, zooms: int = 3
) -> Picture:
    """Draw an image with its coarse and its refined segmentation side by side.

    Args:
        image: uint8 RGB, (H, W, 3).
        coarse: one bool mask (H, W), a list of masks, or an integer label map (H, W).
        refined: of the same kind.
        truth: of the same kind; when given, the captions tell how close each of the two comes to it.
        zooms: how many places to magnify at most: those where most pixels changed.

    Returns:
        uint8 RGB picture, about 1300 pixels wide.
    """
    before, after = as_segments(coarse), as_segments(refined)
    changed = changed_pixels(before, after)
    plan = _plan(changed.shape, zooms)
    places = busiest_places(changed, plan.place_side, zooms)
    if not places:
        plan = _plan(changed.shape, 0)
    sheet = Image.new("RGB", plan.size, PAPER)
    for panel, segments, colour in zip(plan.panels, (before, after), (BEFORE, AFTER), strict=True):
        _put(sheet, panel, draw_segments(image, segments, colour, _extent(panel)))
    _draw_headers(sheet, plan, [_figures(each, truth) for each in (coarse, refined)])
    for number, (place, inset) in enumerate(zip(places, plan.insets, strict=False), start=1):
        for box, segments, colour in zip(inset, (before, after), (BEFORE, AFTER), strict=True):
            _put(sheet, box, magnify(image, segments, colour, place, _extent(box)))
        _caption_inset(sheet, inset, number)
        for panel in plan.panels:
            _mark_place(sheet, panel, place, number, _extent(panel)[0] / image.shape[1])
    return np.asarray(sheet, dtype=np.uint8)


def _plan(shape: tuple[int, ...], zooms: int) -> Plan:
    """Lay the sheet out: insets below the panels of a wide image, beside those of a tall one."""
    height, width = shape
    return _plan_wide(width, height, zooms) if width > height else _plan_tall(width, height, zooms)


def _plan_wide(width: int, height: int, zooms: int) -> Plan:
    panels = _panels(PANEL_WIDTH, max(1, round(PANEL_WIDTH * height / width)))
    right, bottom = panels[1][2:]
    pitch = (right - MARGIN + GAP) // max(3, zooms)
    side = _whole_pixels((pitch - 2 * GAP) // 2)
    top = bottom + GAP // 2 + CAPTION
    insets = tuple(_inset(MARGIN + index * (pitch + GAP // 3), top, side) for index in range(zooms))
    return Plan((right + MARGIN, (top + side if zooms else bottom) + MARGIN), panels, insets, side // MAGNIFICATION)


def _plan_tall(width: int, height: int, zooms: int) -> Plan:
    panels = _panels(max(1, round(PANEL_HEIGHT * width / height)), PANEL_HEIGHT)
    right, bottom = panels[1][2:]
    pitch = (PANEL_HEIGHT + CAPTION) // max(3, zooms)
    side = _whole_pixels(pitch - CAPTION)
    insets = tuple(_inset(right + GAP, HEADER + MARGIN // 2 + index * pitch, side) for index in range(zooms))
    end = insets[0][1][2] if insets else right
    return Plan((end + MARGIN, bottom + MARGIN), panels, insets, side // MAGNIFICATION)


def _panels(width: int, height: int) -> tuple[Box, Box]:
    """The two panels side by side, below their headers."""
    top = HEADER + MARGIN // 2
    left = MARGIN + width + GAP
    return (MARGIN, top, MARGIN + width, top + height), (left, top, left + width, top + height)


def _inset(x: int, y: int, side: int) -> tuple[Box, Box]:
    """Two squares side by side."""
    second = x + side + GAP // 2
    return (x, y, x + side, y + side), (second, y, second + side, y + side)


def _whole_pixels(side: int) -> int:
    """The largest side up to the given one that shows whole image pixels."""
    return max(1, side // MAGNIFICATION) * MAGNIFICATION


def _extent(box: Box) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


def _put(sheet: Image.Image, box: Box, picture: Picture) -> None:
    sheet.paste(Image.fromarray(picture), box[:2])


def _figures(segmentation: Segmentation, truth: Segmentation | None) -> str:
    """What the caption says of the quality, in percent."""
    if truth is None:
        return ""
    result = score(segmentation, truth)
    return f"IoU {100 * result.iou:.1f}   boundary F {100 * result.boundary_f:.1f}"


def _draw_headers(sheet: Image.Image, plan: Plan, figures: list[str]) -> None:
    """Above each panel: a dash in the colour of its outlines, what it is, how good it is."""
    draw = ImageDraw.Draw(sheet)
    for panel, name, figure, colour in zip(plan.panels, ("Before", "After"), figures, (BEFORE, AFTER), strict=True):
        x0, top, x1, _ = panel
        baseline = top - 12
        draw.rounded_rectangle((x0, baseline - 9, x0 + 26, baseline - 4), radius=2, fill=colour)
        draw.text((x0 + 36, baseline), name, fill=INK, font=_font(20, bold=True), anchor="ls")
        draw.text((x1, baseline), figure, fill=FAINT, font=_font(15), anchor="rs")


def _caption_inset(sheet: Image.Image, inset: tuple[Box, Box], number: int) -> None:
    draw = ImageDraw.Draw(sheet)
    for box, name in zip(inset, ("before", "after"), strict=True):
        draw.text((box[0], box[1] - 7), f"{number}  {name}", fill=FAINT, font=_font(13), anchor="ls")


def _mark_place(sheet: Image.Image, panel: Box, place: Box, number: int, scale: float) -> None:
    """Frame a magnified place in a panel and number it."""
    draw = ImageDraw.Draw(sheet)
    x0, y0, x1, y1 = (round(panel[i % 2] + place[i] * scale) for i in range(4))
    draw.rectangle((x0 - 1, y0 - 1, x1, y1), outline=INK, width=3)
    draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=PAPER, width=1)
    draw.rectangle((x0, y0, x0 + 14, y0 + 16), fill=PAPER)
    draw.text((x0 + 7, y0 + 8), str(number), fill=INK, font=_font(12, bold=True), anchor="mm")


def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along."""
    # Only here, because it takes long to import.
    from matplotlib import get_data_path  # noqa: PLC0415

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans{'-Bold' if bold else ''}.ttf", size)
