"""Draws segments over images, and finds the places with most pixels of interest."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.typing import BoolArray, Box, LabelArray

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
Segments = list[BoolArray] | LabelArray
Fills = Mapping[int, Colour]

BEFORE: Colour = (230, 159, 0)
AFTER: Colour = (86, 180, 233)
TRUTH: Colour = (240, 228, 66)
"""Orange, sky blue and yellow of Okabe and Ito's palette, which people with any colour blindness can tell apart."""
FILLS: tuple[Colour, ...] = (
    (68, 119, 170),
    (238, 102, 119),
    (34, 136, 51),
    (204, 187, 68),
    (170, 51, 119),
    (0, 153, 136),
    (187, 187, 187),
)
"""Fill colours of segments, used in turn; Paul Tol's palette without the colours close to those of the outlines."""
FINE = 2
"""Supersampling factor of outlines: they are drawn this many times larger, then reduced for smooth edges."""


def busiest_places(changed: BoolArray, side: int, count: int) -> list[Box]:
    """Choose disjoint squares with most changed pixels, greedily, best first.

    Args:
        changed: bool, (H, W).
        side: side of the squares in pixels; reduced to fit into a small image.
        count: maximum number of squares; squares without any change are left out.
    """
    height, width = changed.shape
    side = min(side, height, width)
    sums = cv2.integral(changed.astype(np.uint8)).astype(np.int64)
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    places: list[Box] = []
    while len(places) < count and inside.max() > 0:
        y, x = (int(v) for v in np.unravel_index(np.argmax(inside), inside.shape))
        dy, dx = _centring(changed[y : y + side, x : x + side], side)
        y, x = min(max(y + dy, 0), height - side), min(max(x + dx, 0), width - side)
        if all(max(abs(x - px), abs(y - py)) >= side for px, py, _, _ in places):
            places.append((x, y, x + side, y + side))
        # Exclude more than the square itself, so that the places spread over the image.
        reach = 3 * side // 2
        inside[max(0, y - reach + 1) : y + reach, max(0, x - reach + 1) : x + reach] = 0
    return places


def draw_segments(
    image: Picture,
    segments: Segments,
    colour: Colour,
    size: tuple[int, int],
    background: int | None = None,
    fills: Fills | None = None,
) -> Picture:
    """Draw filled, outlined segments over an image, scaled smoothly to (width, height): uint8 RGB.

    Args:
        image: uint8 RGB, (H, W, 3).
        segments: masks or label map of the image.
        colour: colour of the outlines, and of the fill of a single mask.
        size: (width, height) of the result in pixels.
        background: label that is not drawn.
        fills: fill colour of every label of a map; by default a palette is used in turn.
    """
    shrinks = size[0] < image.shape[1]
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC).astype(np.float32)
    layers = _smooth_layers(segments, (size[0] * FINE, size[1] * FINE))
    colours = _fill_colours(segments, colour, fills)
    return _blend(canvas, *_without(background, segments, layers, colours), colour, width=2.0)


def magnify(
    image: Picture,
    segments: Segments,
    colour: Colour,
    place: Box,
    size: tuple[int, int],
    background: int | None = None,
    fills: Fills | None = None,
) -> Picture:
    """Draw one box of an image with its segments, enlarged so that pixels show as squares: uint8 RGB."""
    x0, y0, x1, y1 = place
    canvas = cv2.resize(image[y0:y1, x0:x1], size, interpolation=cv2.INTER_NEAREST).astype(np.float32)
    fine = (size[0] * FINE, size[1] * FINE)
    layers = [
        cv2.resize(mask[y0:y1, x0:x1].astype(np.uint8), fine, interpolation=cv2.INTER_NEAREST) > 0
        for mask in _as_masks(segments)
    ]
    colours = _fill_colours(segments, colour, fills)
    return _blend(canvas, *_without(background, segments, layers, colours), colour, width=2.4)


def to_jpeg(picture: Picture, quality: int) -> bytes:
    """Encode a picture as JPEG, without chroma subsampling to keep thin lines clean; ``quality`` is 0 to 100."""
    sampling = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    written, content = cv2.imencode(".jpg", picture[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality, *sampling))
    if not written:
        raise ValueError(f"a picture of shape {picture.shape} cannot be written as JPEG")
    return content.tobytes()


def _without(
    background: int | None, segments: Segments, layers: list[BoolArray], fills: list[Colour]
) -> tuple[list[BoolArray], list[Colour]]:
    """Layers and fills without those of the background label."""
    if background is None or isinstance(segments, list):
        return layers, fills
    kept = [index for index, label in enumerate(np.unique(segments)) if label != background]
    return [layers[index] for index in kept], [fills[index] for index in kept]


def _as_masks(segments: Segments) -> list[BoolArray]:
    """Convert a label map to one mask per label, by ascending label; masks are returned unchanged."""
    if isinstance(segments, list):
        return segments
    return [segments == label for label in np.unique(segments)]


def _fill_colours(segments: Segments, single: Colour, fills: Fills | None) -> list[Colour]:
    """Fill colours of the masks returned by ``_as_masks``; a label has the same colour in all images."""
    if isinstance(segments, list):
        return [single] if len(segments) == 1 else [FILLS[i % len(FILLS)] for i in range(len(segments))]
    if fills is not None:
        return [fills.get(int(label), FILLS[-1]) for label in np.unique(segments)]
    # Panoptic ids are category x 1000 + number, so the sum of quotient and remainder tells neighbours apart.
    return [FILLS[(int(label) // 1000 + int(label) % 1000) % len(FILLS)] for label in np.unique(segments)]


def _smooth_layers(segments: Segments, size: tuple[int, int]) -> list[BoolArray]:
    """Scale every mask to (width, height) with smooth edges; labels get neither overlaps nor gaps."""
    if isinstance(segments, list):
        return [_enlarged(mask, size) > 0.5 for mask in segments]
    masks = _as_masks(segments)
    best = np.zeros(size[::-1], dtype=np.float32)
    strongest = np.zeros(size[::-1], dtype=np.int32)
    for index, mask in enumerate(masks):
        share = _enlarged(mask, size)
        strongest[share > best] = index
        best = np.maximum(best, share)
    return [strongest == index for index in range(len(masks))]


def _enlarged(mask: BoolArray, size: tuple[int, int]) -> NDArray[np.float32]:
    """Scale a mask to (width, height) with soft edges, values 0 to 1."""
    return np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _blend(
    canvas: NDArray[np.float32], layers: list[BoolArray], fills: list[Colour], outline: Colour, width: float
) -> Picture:
    """Tint the canvas with the layers, which are ``FINE`` times larger, and outline them in one colour."""
    size = (canvas.shape[1], canvas.shape[0])
    edges = np.zeros(layers[0].shape, dtype=bool) if layers else np.zeros((size[1], size[0]), dtype=bool)
    strength = 0.32 if len(layers) > 1 else 0.2
    for layer, fill in zip(layers, fills, strict=True):
        share = cv2.resize(layer.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        _tint(canvas, strength * share, fill)
        edges |= _edges(layer)
    _tint(canvas, 0.45 * _stroke(edges, width + 1.4, size), (0, 0, 0))
    _tint(canvas, _stroke(edges, width, size), outline)
    return np.asarray(np.clip(np.round(canvas), 0, 255), dtype=np.uint8)


def _tint(canvas: NDArray[np.float32], opacity: NDArray[np.floating], colour: Colour) -> None:
    """Blend a colour into the canvas, in place."""
    canvas += opacity[..., None] * (np.asarray(colour, dtype=np.float32) - canvas)


def _edges(mask: BoolArray) -> BoolArray:
    """Mark the pixels on both sides of each edge of a mask; the image border does not count as an edge."""
    edges = np.zeros(mask.shape, dtype=bool)
    steps = mask[:, 1:] != mask[:, :-1]
    edges[:, 1:] |= steps
    edges[:, :-1] |= steps
    steps = mask[1:] != mask[:-1]
    edges[1:] |= steps
    edges[:-1] |= steps
    return edges


def _stroke(edges: BoolArray, width: float, size: tuple[int, int]) -> NDArray[np.float32]:
    """Opacity of an antialiased line of ``width`` pixels along the edges: float32; ``size`` is (width, height)."""
    if not edges.any():
        return np.zeros(size[::-1], dtype=np.float32)
    distance = cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, 5)
    # The edge lies between two rows of edge pixels, so a pixel covers the range from ``distance`` to ``distance`` + 1.
    line = np.clip(width * FINE / 2 - distance, 0, 1).astype(np.float32)
    return np.asarray(cv2.resize(line, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _centring(changed: BoolArray, side: int) -> tuple[int, int]:
    """Shift (y, x) that centres a square on its changed pixels."""
    y, x = np.nonzero(changed)
    return round(float(y.mean()) + 0.5 - side / 2), round(float(x.mean()) + 0.5 - side / 2)
