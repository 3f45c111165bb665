"""Before/after pictures: of the images that changed most, beside what was refined, and in nobody's way."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from bpr_cli.formats.reading import ReadSettings
from bpr_cli.masks.drawing import FILLS
from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.refinement.before_after import compare, with_legend
from bpr_cli.refinement.job import refine
from bpr_cli.refinement.pictures import MOST_CLASSES
from bpr_cli.refinement.settings import RefineSettings
from tests.formats.format_builders import load, pixels, png

SIZE = (36, 44)


@pytest.fixture
def run(world, weights_of):
    settings = RefineSettings(weights=str(weights_of("unet-s")), device="cpu", workers=1)

    def refine_world(count, predictions="masks", out="out", **options):
        return refine(world / predictions, world / "images", world / out, settings, pictures=count, **options)

    return refine_world


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_images_that_changed_most_are_drawn(run, world):
    summary = run(2)
    order = sorted(summary.items, key=lambda item: -max(item.movements))
    stems = [item.name.removesuffix(".png") for item in order[:2]]
    expected = [str(world / f"out/pictures/{n:02}_{stem}_before_after.jpg") for n, stem in enumerate(stems, 1)]
    assert summary.pictures == expected
    first = order[0].name
    masks = [(Mask.from_array(pixels(world / f"{folder}/{first}")),) for folder in ("masks", "out")]
    movement = f"boundaries moved by {order[0].boundary_movement:.2f} px"
    drawn = compare(pixels(world / f"images/{first}"), *masks, (first, movement))
    written = cv2.imread(expected[0])[:, :, ::-1]
    assert np.abs(written.astype(int) - drawn).mean() < 3


def test_pictures_of_label_maps_name_the_classes(run, world):
    for name in "abc":
        png(world / f"maps/{name}.png", pixels(world / f"masks/{name}.png") // 255 * 3 + 4)
    (path,) = run(1, predictions="maps", options=ReadSettings(format="labels")).pictures
    name = Path(path).name[3:4] + ".png"
    before, after = (
        LabelMap(pixels(world / f"{folder}/{name}").astype(np.int32), frozenset()) for folder in ("maps", "out")
    )
    item = next(each for each in load(world / "out/run.json")["items"] if each["name"] == name)
    furthest = 4 if item["movements"][0] == max(item["movements"]) else 7
    movement = f"boundaries moved by {item['boundary_movement']:.2f} px, at most {max(item['movements']):.2f} px"
    drawn = compare(pixels(world / f"images/{name}"), before, after, (name, f"{movement} (class {furthest})"))
    expected = with_legend(drawn, [("class 4", FILLS[1]), ("class 7", FILLS[2])])
    assert np.abs(cv2.imread(path)[:, :, ::-1].astype(int) - expected).mean() < 3


@pytest.mark.parametrize(("count", "has_legend"), [(MOST_CLASSES, True), (MOST_CLASSES + 1, False)])
def test_pictures_of_maps_of_many_classes_have_no_legend(run, world, count, has_legend, monkeypatch):
    legends = []
    monkeypatch.setattr(
        "bpr_cli.refinement.pictures.with_legend", lambda picture, entries: legends.append(entries) or picture
    )
    for name in "abc":
        mask = pixels(world / f"masks/{name}.png")
        stripes = np.arange(mask.shape[1]) % (count - 1)
        png(world / f"maps/{name}.png", np.where(mask > 0, count - 1, stripes).astype(np.uint8))
    assert len(run(1, predictions="maps", options=ReadSettings(format="labels")).pictures) == 1
    assert len(legends) == has_legend


def test_repeated_it_draws_without_refining_and_removes_its_earlier_pictures_only(run, world):
    run(3)
    (world / "out/pictures/01_holiday.jpg").write_bytes(b"")
    again = run(1)
    assert again.resumed == 3
    assert len(again.pictures) == 1
    assert len(names(world / "out/pictures")) == 2
    assert run(0).pictures == []
    assert names(world / "out/pictures") == ["01_holiday.jpg"]


def test_pictures_of_one_file_lie_beside_it(run, world):
    summary = run(5, predictions="masks/a.png", out="new/refined.png")
    assert summary.pictures == [str(world / "new/refined_pictures/01_a_before_after.jpg")]
    assert names(world / "new") == ["refined.png", "refined_pictures"]


def test_an_image_that_did_not_change_is_not_drawn(run, world):
    png(world / "masks/b.png", np.zeros(SIZE, np.uint8))
    assert len(run(3).pictures) == 2


def test_what_cannot_be_drawn_is_noted_and_spoils_nothing(run, world):
    def lose(item):
        item.image.unlink()

    summary = run(3, on_item=lose)
    assert (summary.images, summary.failures, summary.pictures) == (3, [], [])
    assert summary.notes[-1].startswith("pictures are missing: ")
    assert (world / "out/run.json").exists()
