"""The before/after picture of one image: both segmentations side by side, and magnified where they differ most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bpr_cli.masks.drawing import (
    AFTER,
    BEFORE,
    FILLS,
    Colour,
    Picture,
    Segments,
    busiest_places,
    draw_segments,
    magnify,
)
from bpr_cli.masks.masks import LabelMap, Mask, Prediction
from bpr_cli.masks.paint import painted
from bpr_cli.masks.runs import values_of
from bpr_cli.patches.boxes import union
from bpr_cli.typing import BoolArray, Box, LabelArray

PAPER: Colour = (255, 255, 255)
INK: Colour = (34, 34, 34)
FAINT: Colour = (110, 110, 110)

MARGIN, GAP, HEADER, CAPTION = 20, 16, 38, 24
"""Pixels of the outer margin, the gaps, the panel headers and the inset headers."""
PANEL_WIDTH = 640
SWATCH = 14
"""Side of a colour in the legend."""
MAGNIFICATION = 4
QUALITY = 92
"""JPEG quality at which the outlines stay clean."""
SIDES = (("Before", BEFORE), ("After", AFTER))


def compare(
    image: Picture, before: Prediction, after: Prediction, captions: tuple[str, ...] = ("", ""), zooms: int = 3
) -> Picture:
    """Draw an image twice, side by side: with its segmentation before and after refinement.

    Args:
        image: uint8 RGB, (H, W, 3).
        before: the coarse prediction, with at least one mask.
        after: the refined prediction, with the same segments.
        captions: right-aligned text above each of the two.
        zooms: largest number of magnified places; those with the most changed pixels are chosen.

    Returns:
        uint8 RGB picture, about 1340 pixels wide.
    """
    height = max(1, round(PANEL_WIDTH * image.shape[0] / image.shape[1]))
    pitch = (2 * PANEL_WIDTH + 2 * GAP) // 3
    side = (pitch - 2 * GAP) // 2 // MAGNIFICATION
    places = busiest_places(changed_pixels(before, after), side, zooms)
    top = HEADER + MARGIN // 2
    bottom = top + height + (GAP // 2 + CAPTION + side * MAGNIFICATION if places else 0)
    sheet = Image.new("RGB", (2 * MARGIN + 2 * PANEL_WIDTH + GAP, bottom + MARGIN), PAPER)
    for number, (segments, (name, color)) in enumerate(zip(_drawable(before, after), SIDES, strict=True)):
        panel = (MARGIN + number * (PANEL_WIDTH + GAP), top)
        sheet.paste(Image.fromarray(draw_segments(image, segments, color, (PANEL_WIDTH, height), 0)), panel)
        _draw_header(sheet, panel, name, color, captions[number])
        for place_number, place in enumerate(places):
            size = (place[2] - place[0]) * MAGNIFICATION, (place[3] - place[1]) * MAGNIFICATION
            x = MARGIN + place_number * (pitch + GAP // 3) + number * (side * MAGNIFICATION + GAP // 2)
            y = top + height + GAP // 2 + CAPTION
            sheet.paste(Image.fromarray(magnify(image, segments, color, place, size, 0)), (x, y))
            caption = f"{place_number + 1}  {name.lower()}"
            ImageDraw.Draw(sheet).text((x, y - 7), caption, fill=FAINT, font=_font(13), anchor="ls")
            _mark_place(sheet, panel, place, place_number + 1, PANEL_WIDTH / image.shape[1])
    return np.asarray(sheet, dtype=np.uint8)


def class_colours(before: LabelMap, after: LabelMap, names: Sequence[str]) -> list[tuple[str, Colour]]:
    """The colours that ``compare`` fills the classes of a map with, each with its classes; few colours serve many.

    Args:
        before: the coarse map.
        after: the refined map.
        names: names of its classes without void, by ascending label.
    """
    labels, places = np.unique(before.labels, return_index=True)
    numbers = np.asarray(_drawable(before, after)[0]).ravel()[places].tolist()
    known = [number for label, number in zip(labels.tolist(), numbers, strict=True) if label not in before.void]
    classes: dict[int, list[str]] = {}
    for name, number in zip(names, known, strict=True):
        classes.setdefault(number, []).append(name)
    return [(" / ".join(classes[number]), FILLS[number % len(FILLS)]) for number in sorted(classes)]


def with_legend(picture: Picture, entries: Sequence[tuple[str, Colour]]) -> Picture:
    """Add a legend of names and their colours below a picture, in as many rows as it needs."""
    font, (x, y) = _font(15), (MARGIN, picture.shape[0])
    places = []
    for name, _ in entries:
        width = SWATCH + GAP // 2 + round(font.getlength(name))
        if MARGIN < x > picture.shape[1] - MARGIN - width:
            x, y = MARGIN, y + CAPTION
        places.append((x, y))
        x += width + 2 * GAP
    sheet = Image.new("RGB", (picture.shape[1], y + CAPTION + MARGIN // 2), PAPER)
    sheet.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(sheet)
    for (x, y), (name, colour) in zip(places, entries, strict=True):
        draw.rectangle((x, y, x + SWATCH, y + SWATCH), fill=colour)
        draw.text((x + SWATCH + GAP // 2, y + SWATCH), name, fill=INK, font=font, anchor="ls")
    return np.asarray(sheet, dtype=np.uint8)


def changed_pixels(before: Prediction, after: Prediction) -> BoolArray:
    """Mark the pixels where any mask or the label differs: bool, (H, W)."""
    if isinstance(before, LabelMap) and isinstance(after, LabelMap):
        return np.asarray(before.labels != after.labels)
    if isinstance(before, LabelMap) or isinstance(after, LabelMap) or len(before) != len(after) or not before:
        raise ValueError("before and after must both be label maps, or as many masks as each other and at least one")
    changed = np.zeros(before[0].size, dtype=bool)
    for coarse, refined in zip(before, after, strict=True):
        x0, y0, x1, y1 = box = union(coarse.box, refined.box)
        changed[y0:y1, x0:x1] |= coarse.window(box) != refined.window(box)
    return changed


def _drawable(before: Prediction, after: Prediction) -> list[Segments]:
    """Both predictions as what ``draw_segments`` takes: one mask as it is, and several as a map of colours."""
    if isinstance(before, LabelMap) or isinstance(after, LabelMap):
        maps = [side for side in (before, after) if isinstance(side, LabelMap)]
        known = np.setdiff1d(values_of(maps[0].labels), [*maps[0].void])
        return [*painted(*(_ranked(side.labels, known) for side in maps))]
    if len(before) == 1:
        return [[side[0].to_array()] for side in (before, after)]
    order = sorted(range(len(before)), key=lambda index: -before[index].area)
    return [*painted(*(_layered(side, order) for side in (before, after)))]


def _ranked(labels: LabelArray, known: NDArray[np.generic]) -> LabelArray:
    """A map of 1 + the index of each label among the known ones, 0 for others: int32, (H, W)."""
    return np.where(np.isin(labels, known), np.searchsorted(known, labels) + 1, 0).astype(np.int32)


def _layered(masks: tuple[Mask, ...], order: Sequence[int]) -> LabelArray:
    """A map of 1 + the index of each mask, 0 for background, drawn in an order: int32, (H, W)."""
    layers = np.zeros(masks[0].size, dtype=np.int32)
    for index in order:
        x0, y0, x1, y1 = masks[index].box
        layers[y0:y1, x0:x1][masks[index].crop] = index + 1
    return layers


def _draw_header(sheet: Image.Image, panel: tuple[int, int], name: str, color: Colour, caption: str) -> None:
    """Draw the header of a panel: a dash in the color of its outlines, its name and its caption."""
    draw = ImageDraw.Draw(sheet)
    x, baseline = panel[0], panel[1] - 12
    draw.rounded_rectangle((x, baseline - 9, x + 26, baseline - 4), radius=2, fill=color)
    draw.text((x + 36, baseline), name, fill=INK, font=_font(20, bold=True), anchor="ls")
    draw.text((x + PANEL_WIDTH, baseline), caption, fill=FAINT, font=_font(15), anchor="rs")


def _mark_place(sheet: Image.Image, panel: tuple[int, int], place: Box, number: int, scale: float) -> None:
    """Frame a magnified place in a panel and number it."""
    draw = ImageDraw.Draw(sheet)
    x0, y0, x1, y1 = (round(panel[i % 2] + place[i] * scale) for i in range(4))
    draw.rectangle((x0 - 1, y0 - 1, x1, y1), outline=INK, width=3)
    draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=PAPER, width=1)
    draw.rectangle((x0, y0, x0 + 14, y0 + 16), fill=PAPER)
    draw.text((x0 + 7, y0 + 8), f"{number}", fill=INK, font=_font(12, bold=True), anchor="mm")


def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib."""
    # Imported here because the import is slow.
    from matplotlib import get_data_path  # noqa: PLC0415

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans{'-Bold' if bold else ''}.ttf", size)
