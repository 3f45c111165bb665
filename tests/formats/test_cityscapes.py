"""Cityscapes instance result folders."""

import numpy as np
import pytest
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings, Task
from tests.formats.format_builders import SIZE, disc, photo, pixels, png, read_all, round_trip, write_back


def mask_file(path, mask=None, foreground=255, **options):
    mask = disc() if mask is None else mask
    return png(path, (mask * foreground).astype(np.uint8), **options)


@pytest.fixture
def results(tmp_path):
    """Two cities: one with two masks in a folder of their own, one with none."""
    root = tmp_path / "preds"
    mask_file(root / "frankfurt/masks/f_000_0.png")
    mask_file(root / "frankfurt/masks/f 000 1.png", disc(radius=3), foreground=1)
    text = "masks/f_000_0.png 24 0.97\n\nmasks/f 000 1.png 26 0.2\r\n"
    (root / "frankfurt/f_000_leftImg8bit_pred.txt").write_bytes(text.encode())
    (root / "munster").mkdir()
    (root / "munster/m_000_pred.txt").touch()
    photo(tmp_path / "images/val/frankfurt/f_000_leftImg8bit.png")
    photo(tmp_path / "images/val/munster/m_000_leftImg8bit.png")
    return root


def test_masks_are_read_in_the_order_of_the_lines(results, tmp_path):
    opened = open_predictions(results, tmp_path / "images")
    assert (opened.format, opened.task, opened.failures) == ("cityscapes", Task.INSTANCE, [])
    assert [item.name for item in opened.items] == ["frankfurt/f_000_leftImg8bit_pred.txt", "munster/m_000_pred.txt"]
    found = read_all(opened)
    assert [mask.area for mask in found["frankfurt/f_000_leftImg8bit_pred.txt"]] == [disc().sum(), disc(radius=3).sum()]
    assert found["munster/m_000_pred.txt"] == ()


def test_round_trip_keeps_text_names_and_values(results, tmp_path):
    round_trip(results, tmp_path / "images", tmp_path / "out")
    written = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.*"))
    assert written == sorted(path.relative_to(results) for path in results.rglob("*.*"))
    for path in written:
        if path.suffix == ".txt":
            assert (tmp_path / "out" / path).read_bytes() == (results / path).read_bytes()
        else:
            assert np.array_equal(pixels(tmp_path / "out" / path), pixels(results / path))


def test_masks_may_be_written_without_having_been_read(results, tmp_path):
    opened = open_predictions(results, tmp_path / "images")
    refined = read_all(open_predictions(results, tmp_path / "images"))
    write_back(opened, tmp_path / "out", refined)
    assert pixels(tmp_path / "out/frankfurt/masks/f 000 1.png").max() == 1


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
def test_modes_are_kept(tmp_path, mode):
    path = mask_file(tmp_path / "preds/x.png", mode=mode)
    (tmp_path / "preds/x_pred.txt").write_text("x.png 24 0.5")
    round_trip(tmp_path / "preds", photo(tmp_path / "x.jpg"), tmp_path / "out")
    with Image.open(tmp_path / "out/x.png") as image, Image.open(path) as source:
        assert image.mode == source.mode
        assert np.array_equal(np.array(image), np.array(source))


def test_text_files_need_not_be_called_pred(tmp_path):
    mask_file(tmp_path / "preds/x_0.png")
    (tmp_path / "preds/x.txt").write_text("x_0.png 24 0.5")
    (tmp_path / "preds/README.txt").write_text("made by a model")
    opened = open_predictions(tmp_path / "preds", photo(tmp_path / "images/x.jpg").parent)
    assert [item.name for item in opened.items] == ["x.txt"]
    assert opened.format == "cityscapes"


@pytest.mark.parametrize(
    ("line", "fragments"),
    [
        ("x_0.png 24", ["bad_pred.txt, line 2", "expected 'mask.png labelID score'"]),
        ("x_0.png car 0.5", ["line 2", "found 'x_0.png car 0.5'"]),
        ("x_0.png 24 high", ["line 2"]),
        ("x_0.json 24 0.5", ["line 2"]),
        ("none.png 24 0.5", ["none.png does not exist"]),
        ("../images/good.png 24 0.5", ["leads out of the prediction directory"]),
        ("/images/good.png 24 0.5", ["absolute path"]),
        ("link/good.png 24 0.5", ["leads out of the prediction directory"]),
        ("bad_0.png 24 nan", ["line 2: found the label 24 and the score nan, expected finite numbers"]),
        ("bad_0.png 24 -inf", ["expected finite numbers"]),
        (f"bad_0.png {10**30} 0.5", ["expected finite numbers"]),
        ("good_0.png 24 0.5", ["good_0.png already belongs to a_good_pred.txt"]),
    ],
)
def test_a_broken_line_leaves_the_others(tmp_path, line, fragments):
    root = tmp_path / "preds"
    photo(tmp_path / "images/good.png")
    photo(tmp_path / "images/bad.png")
    for name in ("bad_0", "good_0"):
        mask_file(root / f"{name}.png")
    (root / "link").symlink_to(tmp_path / "images")
    (root / "a_good_pred.txt").write_text("good_0.png 24 0.5\n")
    photo(tmp_path / "images/a_good.png")
    (root / "bad_pred.txt").write_text(f"bad_0.png 24 0.5\n{line}\n")
    opened = round_trip(root, tmp_path / "images", tmp_path / "out")
    assert [item.name for item in opened.items] == ["a_good_pred.txt", "bad_pred.txt"]
    (fault,) = opened.faults()
    assert opened.faults(opened.items[1]) == [fault]
    assert opened.faults(opened.items[0]) == []
    assert fault.name == "bad_pred.txt, line 2"
    for fragment in fragments:
        assert fragment in fault.reason
    assert (tmp_path / "out/bad_pred.txt").read_text() == (root / "bad_pred.txt").read_text()
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["bad_0.png", "good_0.png"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((9, 9), 255, np.uint8), "line 2: its mask is 9 x 9 pixels, expected 32 x 24"),
        (np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE), "expected a binary mask"),
    ],
)
@pytest.mark.parametrize("line", ["x_1.png 24 0.5", "x_1.png car 0.5"])
def test_broken_masks_are_left_as_they_are(tmp_path, values, message, line):
    mask_file(tmp_path / "preds/x_0.png")
    png(tmp_path / "preds/x_1.png", values)
    (tmp_path / "preds/x_pred.txt").write_text(f"x_0.png 24 0.5\n{line}\n")
    opened = round_trip(tmp_path / "preds", photo(tmp_path / "x.jpg"), tmp_path / "out")
    (mask,) = opened.read(opened.items[0])
    assert mask.size == SIZE
    assert [record.category for record in opened.records(opened.items[0])] == [24]
    (fault,) = opened.faults()
    assert (message if "24" in line else "found 'x_1.png car 0.5'") in fault.reason
    assert (tmp_path / "out/x_1.png").read_bytes() == (tmp_path / "preds/x_1.png").read_bytes()


def test_a_truncated_mask(tmp_path):
    path = mask_file(tmp_path / "preds/x_0.png")
    path.write_bytes(path.read_bytes()[:60])
    (tmp_path / "preds/x_pred.txt").write_text("x_0.png 24 0.5\n")
    opened = open_predictions(tmp_path / "preds", photo(tmp_path / "x.jpg"))
    assert opened.read(opened.items[0]) == ()
    assert not opened.is_readable
    assert "x_0.png is truncated" in opened.faults()[0].reason


def test_a_forced_format_without_result_files(tmp_path):
    mask_file(tmp_path / "preds/x_0.png")
    with pytest.raises(BprError, match=r"no Cityscapes result file.*_pred\.txt"):
        open_predictions(tmp_path / "preds", photo(tmp_path / "x.jpg"), ReadSettings(format="cityscapes"))


@pytest.mark.parametrize("name", ["x\u2028y", "x\x85y", "x\x0cy", "ä ネコ", "\udcff"])
def test_only_line_feeds_end_a_line(tmp_path, name):
    mask_file(tmp_path / f"preds/{name}.png")
    (tmp_path / "preds/x_pred.txt").write_bytes(f"{name}.png 24 0.5\n".encode("utf-8", "surrogateescape"))
    opened = open_predictions(tmp_path / "preds", photo(tmp_path / "x.jpg"))
    assert opened.read(opened.items[0])[0].area == disc().sum()
