"""Which segments are named to look at first, and how."""

from pathlib import Path

import numpy as np
import pytest

from bpr_cli.formats.open import open_predictions
from bpr_cli.refinement.furthest import FurthestSegment, furthest_segments
from bpr_cli.refinement.image import RefinementStats
from tests.formats.format_builders import disc, photo, png


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Maps of the classes 4 and 9 for five photographs."""
    monkeypatch.chdir(tmp_path)
    for name in "abcde":
        photo(tmp_path / f"images/{name}.jpg")
        png(tmp_path / f"maps/{name}.png", np.where(disc(), 9, 4).astype(np.uint8))
    return open_predictions(Path("maps"), Path("images"))


def moved(*movements):
    return RefinementStats(segments=len(movements), changed=int(any(movements)), movements=movements)


STATS = {
    "a.png": moved(1.0, 0.5),
    "b.png": moved(0.0, 0.0),
    "c.png": moved(0.2, 3.0),
    "d.png": moved(2.0, 2.0),
    "e.png": moved(0.1, 0.1),
}


def test_the_segments_that_moved_furthest_with_their_pictures(opened):
    assert furthest_segments(opened, STATS, [Path("out/01_c.jpg"), Path("out/02_d.jpg")]) == [
        FurthestSegment("images/c.jpg", "class 9", 3.0, "out/01_c.jpg"),
        FurthestSegment("images/d.jpg", "class 4", 2.0, "out/02_d.jpg"),
        FurthestSegment("images/a.jpg", "class 4", 1.0, None),
    ]


def test_without_the_file_they_are_counted(opened):
    Path("maps/c.png").unlink()
    (found,) = furthest_segments(opened, {"c.png": STATS["c.png"]}, [])
    assert found == FurthestSegment("images/c.jpg", "segment 2 of 2", 3.0, None)


def test_the_only_mask_of_an_image_has_no_name(opened):
    png(Path("masks/a.png"), disc().astype(np.uint8) * 255)
    masks = open_predictions(Path("masks"), Path("images/a.jpg"))
    assert furthest_segments(masks, {"a.png": moved(1.5)}, []) == [FurthestSegment("images/a.jpg", "", 1.5, None)]


def test_nothing_that_stayed_is_named(opened):
    assert furthest_segments(opened, {name: moved(0.0, 0.0) for name in STATS}, []) == []
