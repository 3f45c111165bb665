"""YOLO segmentation labels: a text file per image, a line per object."""

import cv2
import numpy as np
import pytest

from bpr_cli.errors import BprError
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings, Task
from bpr_cli.masks.masks import Mask
from tests.formats.format_builders import SIZE, disc, photo, png, read_all, round_trip, write_back

HEIGHT, WIDTH = SIZE
SQUARE = [(4, 5), (14, 5), (14, 15), (4, 15)]
TRIANGLE = [(20, 2), (30, 2), (30, 12)]


def row(points, category=0, *tail):
    """A line of a label file."""
    numbers = [f"{value:.6g}" for x, y in points for value in (x / WIDTH, y / HEIGHT)]
    return " ".join([str(category), *numbers, *map(str, tail)])


def square():
    plane = np.zeros(SIZE, dtype=bool)
    plane[5:15, 4:14] = True
    return plane


@pytest.fixture
def data(tmp_path):
    """A data set as Ultralytics lays it out, whose labels are in ``labels``."""
    for name in "abc":
        photo(tmp_path / f"images/val/{name}.jpg")
    folder = tmp_path / "labels/val"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text(f"{row(SQUARE, 2)}\r\n\n{row(TRIANGLE, 0)}\n")
    (folder / "b.txt").write_text("")
    (folder / "c.txt").write_text(row(SQUARE, 1))
    (tmp_path / "data.yaml").write_text("path: .\nnames:\n  0: cat\n  1: dog\n  2: bird\n")
    return tmp_path


def opened(data, **options):
    return open_predictions(data / "labels", data / "images", ReadSettings(**options))


def test_polygons_are_read_with_their_classes_and_names(data):
    found = opened(data)
    assert (found.format, found.task, found.failures) == ("yolo", Task.INSTANCE, [])
    assert [item.name for item in found.items] == ["val/a.txt", "val/b.txt", "val/c.txt"]
    masks = read_all(found)
    assert np.array_equal(masks["val/a.txt"][0].to_array(), square())
    assert masks["val/b.txt"] == ()
    assert [(record.category, record.score) for record in found.records(found.items[0])] == [(2, None), (0, None)]
    assert [(category.id, category.name) for category in found.categories] == [(0, "cat"), (1, "dog"), (2, "bird")]


def test_the_whole_data_set_may_be_given(data):
    (data / "train.txt").write_text("images/train/x.jpg\n")
    found = open_predictions(data, data / "images")
    assert (found.format, [item.name for item in found.items][:1]) == ("yolo", ["labels/val/a.txt"])


def test_masks_that_did_not_change_leave_every_byte(data):
    round_trip(data / "labels", data / "images", data / "out")
    for path in (data / "labels/val").iterdir():
        assert (data / "out/val" / path.name).read_bytes() == path.read_bytes()


def test_refined_labels_keep_the_names_of_their_classes(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("elsewhere") / "out"
    found = opened(data)
    found.writer(out).close([])
    assert (out / "data.yaml").read_bytes() == (data / "data.yaml").read_bytes()
    (out / "data.yaml").write_text("names: [mine]\n")
    found.writer(out).close([])
    assert (out / "data.yaml").read_text() == "names: [mine]\n"


def test_refined_masks_become_polygons_of_the_same_pixels(data):
    found = opened(data)
    masks = read_all(found)
    refined = Mask.from_array(disc(radius=9))
    masks["val/a.txt"] = (refined, masks["val/a.txt"][1])
    write_back(found, data / "out", masks)
    again = open_predictions(data / "out", data / "images")
    assert np.array_equal(again.read(again.items[0])[0].to_array(), disc(radius=9))
    first, *others = (data / "out/val/a.txt").read_bytes().decode().split("\n")
    assert first.startswith("2 ")
    assert first.endswith("\r")
    assert others == (data / "labels/val/a.txt").read_bytes().decode().split("\n")[1:]


def test_another_tool_sees_the_refined_mask(tmp_path):
    """OpenCV fills the polygon at eight times the size: most points of a pixel are as the mask says."""
    plane = disc((96, 120), (50, 60), 40) & ~disc((96, 120), (50, 60), 12)
    plane[2:10, 2:8] = True
    photo(tmp_path / "a.jpg", (96, 120))
    (tmp_path / "a.txt").write_text("0 0.1 0.1 0.9 0.1 0.9 0.9")
    found = open_predictions(tmp_path / "a.txt", tmp_path / "a.jpg")
    write_back(found, tmp_path / "out", {"a.txt": (Mask.from_array(plane),)})
    (line,) = (tmp_path / "out/a.txt").read_text().splitlines()
    points = np.array(line.split()[1:], dtype=float).reshape(-1, 2) * [120 * 8, 96 * 8]
    large = np.zeros((96 * 8, 120 * 8), np.uint8)
    cv2.fillPoly(large, [np.rint(points).astype(np.int32)], 1)
    blocks = large.reshape(96, 8, 120, 8).mean(axis=(1, 3))
    # OpenCV also draws the sides, so that it sees the bridges.
    assert np.mean((blocks > 0.5) != plane) < 0.005


def test_bridges_lead_to_other_parts_and_to_holes(tmp_path):
    outer, hole = [(2, 2), (22, 2), (22, 22), (2, 22)], [(8, 8), (8, 16), (16, 16), (16, 8)]
    (tmp_path / "a.txt").write_text(row([*outer[:1], *hole, hole[0], *outer], 0))
    found = open_predictions(tmp_path / "a.txt", photo(tmp_path / "a.jpg"))
    expected = np.zeros(SIZE, dtype=bool)
    expected[2:22, 2:22] = True
    expected[8:16, 8:16] = False
    assert np.array_equal(found.read(found.items[0])[0].to_array(), expected)


@pytest.mark.parametrize(
    ("tail", "score"), [((0.87,), 0.87), ((0.87, 4), 0.87), ((4,), None), ((1,), None), ((0.5, 1), 0.5), ((), None)]
)
def test_confidences_and_tracks_are_kept(tmp_path, tail, score):
    others = [row(SQUARE, 3, *tail[:-1], 7)] if 1 in tail or 4 in tail else []
    text = "\n".join([*others, row(TRIANGLE, 1, *tail)])
    (tmp_path / "a.txt").write_text(text)
    found = open_predictions(tmp_path / "a.txt", photo(tmp_path / "a.jpg"))
    (item,) = found.items
    assert found.records(item)[-1].score == score
    write_back(found, tmp_path / "out", {"a.txt": (Mask.from_array(disc()),) * (1 + len(others))})
    line = (tmp_path / "out/a.txt").read_text().splitlines()[-1]
    assert line.split()[len(line.split()) - len(tail) :] == [str(each) for each in tail]
    assert len(line.split()) % 2 == (1 + len(tail)) % 2
    assert [record.score for _, record in found.segments(item, "measured")][-1] == (score or 1.0)


def test_lines_without_a_track_beside_others_with_one(tmp_path):
    """Ultralytics writes no track numbers in frames in which it tracks nothing."""
    lines = {"a": row(SQUARE, 1, 0.5, 7), "b": row(SQUARE, 1, 0.5), "c": row(SQUARE, 1), "d": "0 0.5 0.5 0.2 0.2"}
    for name, line in lines.items():
        photo(tmp_path / f"images/{name}.jpg")
        (tmp_path / f"{name}.txt").write_text(line)
    found = open_predictions(tmp_path, tmp_path / "images")
    masks = read_all(found)
    assert all(np.array_equal(masks[f"{name}.txt"][0].to_array(), square()) for name in "abc")
    assert [[record.score for record in found.records(item)] for item in found.items] == [[0.5], [0.5], [None], []]
    assert found.faults() == []


def test_a_byte_order_mark_is_no_part_of_the_class(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + row(SQUARE, 2).encode())
    found = open_predictions(tmp_path / "a.txt", photo(tmp_path / "a.jpg"))
    (record,) = found.records(found.items[0])
    assert record.category == 2
    write_back(found, tmp_path / "out", {"a.txt": (Mask.from_array(disc()),)})
    assert (tmp_path / "out/a.txt").read_bytes().startswith(b"\xef\xbb\xbf2 ")


def test_boxes_and_broken_lines_stay_as_they_are(data):
    broken = [
        "0 0.5 0.5 0.2 0.2",
        "0 0.5 0.5 0.2",
        "0.5 0.1 0.1 0.2 0.1 0.2 0.2",
        "0 1 1 300 1 300 200",
        "0 a b c d e f",
    ]
    path = data / "labels/val/c.txt"
    path.write_text("\n".join([row(SQUARE, 1), *broken]))
    found = opened(data)
    masks = {item.name: found.read(item) for item in found.items}
    masks["val/c.txt"] = (Mask.from_array(disc()),)
    write_back(found, data / "out", masks)
    assert (data / "out/val/c.txt").read_text().split("\n")[1:] == broken
    reasons = [fault.reason for fault in found.faults()]
    assert len(reasons) == 4
    assert all(f"{path}, line {number}: found " in reason for number, reason in zip((3, 4, 5, 6), reasons, strict=True))
    assert "the coordinate 300, expected fractions" in reasons[2]
    assert found.notes("refined") == [f"{data / 'labels'}: 1 line without a mask, written as before"]


def test_a_box_may_come_first(tmp_path):
    (tmp_path / "a.txt").write_text(f"0 0.5 0.5 0.2 0.2\n{row(SQUARE)}\n")
    found = open_predictions(tmp_path / "a.txt", photo(tmp_path / "a.jpg"))
    assert [mask.area for mask in found.read(found.items[0])] == [100]


def test_long_lines_are_recognised(tmp_path):
    angles = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    points = [(16 + 8 * np.cos(angle), 12 + 8 * np.sin(angle)) for angle in angles]
    (tmp_path / "a.txt").write_text(row(points, 0, 0.9))
    found = open_predictions(tmp_path / "a.txt", photo(tmp_path / "a.jpg"))
    assert [record.score for record in found.records(found.items[0])] == [0.9]
    assert [mask.area for mask in found.read(found.items[0])] == pytest.approx([64 * np.pi], rel=0.05)


def test_masks_that_became_empty_stay(data):
    found = opened(data)
    masks = {item.name: tuple(Mask.empty(SIZE) for _ in found.read(item)) for item in found.items}
    write_back(found, data / "out", masks)
    assert (data / "out/val/c.txt").read_bytes() == (data / "labels/val/c.txt").read_bytes()
    assert "masks that became empty, which polygons cannot be, stay as they were" in found.notes("refined")[0]


def test_the_tolerance_decides_how_many_points_there_are(data):
    lengths = []
    for tolerance in (0.0, 0.5, 2.0):
        found = opened(data, polygon_tolerance=tolerance)
        write_back(found, data / f"out{tolerance}", {"val/c.txt": (Mask.from_array(disc(radius=9)),)})
        lengths.append(len((data / f"out{tolerance}/val/c.txt").read_text().split()))
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > 2 * lengths[1] > 2 * lengths[2]


def test_the_tolerance_is_for_polygons(tmp_path):
    png(tmp_path / "m.png", disc().astype(np.uint8) * 255)
    with pytest.raises(BprError, match=r"--polygon-tolerance applies to polygons, but .* holds binary masks"):
        open_predictions(tmp_path / "m.png", photo(tmp_path / "a.jpg"), ReadSettings(polygon_tolerance=1.0))


@pytest.mark.parametrize(
    ("text", "found"),
    [("0 0.5 0.5 0.2 0.2\n", "holds only boxes"), ("hello world\n", "holds no YOLO labels"), ("", "no YOLO labels")],
)
def test_files_without_polygons(tmp_path, text, found):
    (tmp_path / "preds").mkdir()
    (tmp_path / "preds/a.txt").write_text(text)
    with pytest.raises(BprError, match=found):
        open_predictions(tmp_path / "preds", photo(tmp_path / "a.jpg"), ReadSettings(format="yolo"))


@pytest.mark.parametrize("names", ["names: [cat, dog]", "names: {0: cat, 1: dog}", "names:\n- cat\n- dog\n"])
def test_names_of_classes(data, names):
    (data / "data.yaml").write_text(names)
    assert [category.name for category in opened(data).categories] == ["cat", "dog"]


@pytest.mark.parametrize("content", ["names: 5", "names: {a: b}", "names: [", "- 1"])
def test_broken_names_are_named(data, content):
    (data / "data.yaml").write_text(content)
    with pytest.raises(BprError, match=r"data\.yaml"):
        _ = opened(data).categories


def test_without_names_there_are_none(data):
    (data / "data.yaml").unlink()
    assert opened(data).categories == ()
