"""Masks of every kind for hypothesis, on images down to a single row or pixel."""

import numpy as np
from hypothesis import strategies as st

from bpr_cli.masks.masks import Mask
from bpr_cli.patches.crop import Patches, crop

THRESHOLDS = st.sampled_from([0.0, 0.1, 0.15, 0.25, 1 / 3, 0.5, 0.55, 0.6, 0.75, 0.9, 0.99, 1.0])


def cropped(image: np.ndarray, mask: np.ndarray, boxes: np.ndarray, padding: int, input_size: int) -> Patches:
    patches = Patches.empty(len(boxes), input_size)
    crop(image, Mask.from_array(mask), boxes, padding, patches)
    return patches


def sizes(largest: int = 20) -> st.SearchStrategy:
    side = st.integers(1, largest)
    return st.one_of(st.tuples(side, side), st.tuples(st.just(1), side), st.tuples(side, st.just(1)))


@st.composite
def planes(draw, largest: int = 20) -> np.ndarray:
    """A bool array: empty, full, noise of any density, or rectangles added and taken away (components, holes)."""
    height, width = draw(sizes(largest))
    kind = draw(st.sampled_from(["empty", "full", "noise", "rectangles", "rectangles", "lines"]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if kind == "noise":
        return random.random((height, width)) < random.random()
    plane = np.full((height, width), kind == "full")
    if kind in ("rectangles", "lines"):
        for turn in range(random.integers(1, 5)):
            y, x = random.integers(height), random.integers(width)
            tall, wide = random.integers(1, height + 1), random.integers(1, width + 1)
            if kind == "lines":
                tall, wide = (1, wide) if random.random() < 0.5 else (tall, 1)
            plane[y : y + tall, x : x + wide] = turn % 3 != 1
    return plane


@st.composite
def label_planes(draw, largest: int = 12, labels: tuple[int, ...] = (0, 1, 2, 7, 255)) -> np.ndarray:
    """An int32 array of labels in blocks or noise."""
    height, width = draw(sizes(largest))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    block = draw(st.integers(1, 5))
    coarse = random.choice(labels[: draw(st.integers(1, len(labels)))], (-(-height // block), -(-width // block)))
    return np.kron(coarse, np.ones((block, block), int))[:height, :width].astype(np.int32)
