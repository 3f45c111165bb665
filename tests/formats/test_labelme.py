"""JSON files of labelme and of tools that followed it."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings, Task
from bpr_cli.masks.masks import Mask
from tests.formats.format_builders import SIZE, disc, load, photo, read_all, round_trip, save, write_back

SQUARE = [[4.0, 5.0], [14.0, 5.0], [14.0, 15.0], [4.0, 15.0]]


def shape(label="cat", points=SQUARE, kind="polygon", **fields):
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **fields}


def pixels_shape(plane, corner, label="dog", value=1):
    """A shape of the type mask, as labelme makes it."""
    stream = io.BytesIO()
    Image.fromarray(plane.astype(np.uint8) * value).save(stream, "PNG")
    x, y = corner
    ends = [[x, y], [x + plane.shape[1] - 1, y + plane.shape[0] - 1]]
    return shape(label, ends, "mask", mask=base64.b64encode(stream.getvalue()).decode())


def document(*shapes, image="a.jpg", **fields):
    stated = {"imagePath": image, "imageData": "/9j/4AA=", "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    return {"version": "5.5.0", "flags": {"checked": True}, "shapes": list(shapes), **stated, **fields}


def square():
    plane = np.zeros(SIZE, dtype=bool)
    plane[5:15, 4:14] = True
    return plane


@pytest.fixture
def data(tmp_path):
    """Two images with their files beside them, as labelme leaves them."""
    photo(tmp_path / "x/a.jpg")
    photo(tmp_path / "x/b.png")
    rectangle = shape("cat", [[1, 1], [9, 9]], "rectangle", description="ä box")
    first = document(rectangle, shape(group_id=7, extra=[1, {"deep": None}]), pixels_shape(disc()[3:20, 6:23], (6, 3)))
    text = json.dumps(first, indent=2, ensure_ascii=False)
    (tmp_path / "x/a.json").write_text(text, encoding="utf-8")
    save(tmp_path / "x/b.json", document(shape("zebra", score=0.4), image="..\\raw\\b.png"))
    return tmp_path / "x"


def test_polygons_and_masks_are_read(data):
    opened = open_predictions(data, data)
    assert (opened.format, opened.task, opened.failures) == ("labelme", Task.INSTANCE, [])
    assert [(item.name, item.image.name) for item in opened.items] == [("a.json", "a.jpg"), ("b.json", "b.png")]
    polygon, pixels = opened.read(opened.items[0])
    assert np.array_equal(polygon.to_array(), square())
    expected = np.zeros(SIZE, dtype=bool)
    expected[3:20, 6:23] = disc()[3:20, 6:23]
    assert np.array_equal(pixels.to_array(), expected)
    assert [(category.id, category.name) for category in opened.categories] == [(0, "cat"), (1, "dog"), (2, "zebra")]
    assert [record.category for record in opened.records(opened.items[0])] == [0, 1]
    assert [(record.category, record.score) for record in opened.records(opened.items[1])] == [(2, 0.4)]


def test_masks_that_did_not_change_leave_every_byte(data, tmp_path):
    round_trip(data, data, tmp_path / "out")
    for path in data.glob("*.json"):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_refined_shapes_come_back_and_all_else_stays(data, tmp_path):
    opened = open_predictions(data, data)
    refined, ring = disc(radius=9), disc(radius=9) & ~disc(radius=3)
    write_back(opened, tmp_path / "out", {"a.json": (Mask.from_array(ring), Mask.from_array(refined))})
    again = open_predictions(tmp_path / "out", data)
    assert [mask.to_array().tolist() for mask in again.read(again.items[0])] == [ring.tolist(), refined.tolist()]
    before, after = load(data / "a.json"), load(tmp_path / "out/a.json")
    for old, new in zip(before["shapes"][1:], after["shapes"][1:], strict=True):
        assert new["points"] != old["points"]
        old["points"] = new["points"]
    before["shapes"][2]["mask"] = after["shapes"][2]["mask"]
    assert after == before
    assert list(after) == list(before)
    assert after["shapes"][2]["points"] == [[5, 3], [23, 21]]
    text = (tmp_path / "out/a.json").read_text(encoding="utf-8")
    assert text == json.dumps(after, indent=2, ensure_ascii=False)


def test_shapes_of_a_group_are_one_object(tmp_path):
    """Two parts and a mask of one object, which a third object of another label lies between."""
    photo(tmp_path / "a.jpg")
    far = [[22.0, 5.0], [28.0, 5.0], [28.0, 15.0], [22.0, 15.0]]
    dot = pixels_shape(np.ones((2, 2)), (17, 20), "cat")
    shapes = [shape(group_id=3), shape("dog", group_id=3), shape(points=far, group_id=3), {**dot, "group_id": 3}]
    path = save(tmp_path / "a.json", document(*shapes, shape(group_id=4)))
    opened = open_predictions(path, tmp_path / "a.jpg")
    (item,) = opened.items
    first, dog, other = opened.read(item)
    expected = square()
    expected[5:15, 22:28] = expected[20:22, 17:19] = True
    assert np.array_equal(first.to_array(), expected)
    assert np.array_equal(dog.to_array(), square())
    assert [record.category for record in opened.records(item)] == [0, 1, 0]
    left, right = square(), np.zeros(SIZE, bool)
    left[4:5, 4:14] = right[5:16, 21:29] = True
    refined = expected | left | right
    write_back(opened, tmp_path / "out", {"a.json": (Mask.from_array(refined), dog, other)})
    written = load(tmp_path / "out/a.json")
    assert [written["shapes"][number] for number in (1, 3, 4)] == [load(path)["shapes"][number] for number in (1, 3, 4)]
    planes = []
    for number in (0, 2):
        save(tmp_path / "one.json", {**written, "shapes": [written["shapes"][number]]})
        alone = open_predictions(tmp_path / "one.json", tmp_path / "a.jpg")
        planes.append(alone.read(alone.items[0])[0].to_array())
    assert np.array_equal(planes[0], left)
    assert np.array_equal(planes[1], right)


def test_a_group_that_did_not_change_stays_even_where_its_shapes_overlap(tmp_path):
    photo(tmp_path / "a.jpg")
    shifted = [[x + 5, y] for x, y in SQUARE]
    path = save(tmp_path / "a.json", document(shape(group_id=0), shape(points=shifted, group_id=0)))
    opened = round_trip(path, tmp_path / "a.jpg", tmp_path / "out")
    (whole,) = opened.read(opened.items[0])
    assert whole.box == (4, 5, 19, 15)
    assert (tmp_path / "out/a.json").read_bytes() == path.read_bytes()
    write_back(opened, tmp_path / "out", {"a.json": (Mask.empty(SIZE),)})
    assert (tmp_path / "out/a.json").read_bytes() == path.read_bytes()
    assert "stay as they were (a.json, shape 1, a.json, shape 2)" in opened.notes("refined")[-1]


@pytest.mark.parametrize("value", [1, 255])
def test_the_foreground_value_of_masks_is_kept(tmp_path, value):
    photo(tmp_path / "a.jpg")
    save(tmp_path / "a.json", document(pixels_shape(disc(), (0, 0), value=value)))
    opened = open_predictions(tmp_path / "a.json", tmp_path / "a.jpg")
    write_back(opened, tmp_path / "out", {"a.json": (Mask.from_array(disc(radius=4)),)})
    (written,) = load(tmp_path / "out/a.json")["shapes"]
    with Image.open(io.BytesIO(base64.b64decode(written["mask"]))) as image:
        values = np.array(image)
    assert np.array_equal(values, disc(radius=4)[8:17, 10:19] * value)


def test_polygons_that_end_where_they_begin_still_do(tmp_path):
    photo(tmp_path / "a.jpg")
    save(tmp_path / "a.json", document(shape(points=[*SQUARE, SQUARE[0]])))
    opened = open_predictions(tmp_path / "a.json", tmp_path / "a.jpg")
    write_back(opened, tmp_path / "out", {"a.json": (Mask.from_array(disc()),)})
    points = load(tmp_path / "out/a.json")["shapes"][0]["points"]
    assert points[0] == points[-1]


def test_a_mask_that_leaves_the_image_is_cut_off(tmp_path):
    photo(tmp_path / "a.jpg")
    save(tmp_path / "a.json", document(pixels_shape(np.ones((10, 10)), (-3, SIZE[0] - 4))))
    opened = open_predictions(tmp_path / "a.json", tmp_path / "a.jpg")
    assert [mask.box for mask in opened.read(opened.items[0])] == [(0, SIZE[0] - 4, 7, SIZE[0])]


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (5, "found 5, expected an object"),
        (shape(label=None), "found the label None, expected a text"),
        (shape(points=SQUARE[:2]), "found 2 points, expected three or more"),
        (shape(points=[[1, 2], [3], [4, 5]]), "expected a list of [x, y]"),
        (shape(points=[[1, 2], [3, float("nan")], [4, 5]]), "expected a list of [x, y]"),
        (shape(kind="mask"), "found the mask None"),
        (shape(kind="mask", mask="?"), "found the mask '?', expected a PNG file in base64"),
    ],
)
def test_broken_shapes_are_named_and_stay(tmp_path, broken, found):
    photo(tmp_path / "a.jpg")
    path = save(tmp_path / "a.json", document(broken, shape()))
    opened = open_predictions(path, tmp_path / "a.jpg")
    (good,) = opened.read(opened.items[0])
    assert np.array_equal(good.to_array(), square())
    (fault,) = opened.faults()
    assert fault.reason.startswith(f"{path}, shape 1: ")
    assert found in fault.reason
    write_back(opened, tmp_path / "out", {"a.json": (Mask.from_array(disc()),)})
    assert str(load(tmp_path / "out/a.json")["shapes"][0]) == str(json.loads(json.dumps(broken)))


def test_one_broken_file_does_not_spoil_the_others(data):
    (data / "c.json").write_text("{")
    save(data / "d.json", {**document(), "shapes": "none"})
    save(data / "e.json", {"imagePath": "e.png"})
    save(data / "classes.json", ["cat"])
    opened = open_predictions(data, data)
    assert [failure.name for failure in opened.failures] == ["c.json", "d.json", "e.json"]
    assert "d.json holds the shapes 'none', expected a list of shapes" in opened.failures[1].reason
    assert "e.json holds no shapes" in opened.failures[2].reason
    assert len(read_all(opened)) == 2


def test_files_of_other_kinds(tmp_path):
    save(tmp_path / "p/a.json", {"version": 1})
    image = photo(tmp_path / "a.jpg")
    with pytest.raises(BprError, match="holds an object with the fields version, expected JSON files of labelme"):
        open_predictions(tmp_path / "p", image, ReadSettings(format="labelme"))
    with pytest.raises(BprError, match=r"or labelme files \(shapes\)"):
        open_predictions(tmp_path / "p", image)
