"""Which format a file or directory is taken for, and what is refused before any work."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.formats import open as open_module
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import FORMATS, ReadSettings, Task
from bpr_cli.truth.open import open_without_images
from tests.formats.format_builders import SIZE, compressed, disc, panoptic_png, photo, png, save


def values(*present):
    return np.resize(np.array(present, np.uint8), SIZE)


@pytest.fixture
def images(tmp_path):
    for name in ("a", "b", "c"):
        photo(tmp_path / f"images/{name}.png")
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("files", "task", "expected"),
    [
        ([values(0, 255)], None, "masks"),
        ([values(0, 1)], None, "masks"),
        ([values(0, 1)], Task.INSTANCE, "masks"),
        ([values(0, 1)], Task.SEMANTIC, "labels"),
        ([values(255)], None, "masks"),
        ([values(0)], None, "masks"),
        ([values(0), values(0, 255)], None, "masks"),
        ([values(0, 2)], None, "masks"),
        ([values(0, 1), values(0, 2)], None, "labels"),
        ([values(0, 1, 255)], Task.SEMANTIC, "labels"),
        ([values(0, 1, 2)], None, "labels"),
        ([values(1, 255)], None, "labels"),
        ([values(0, 255), values(3, 4)], None, "labels"),
        ([values(0, 1).astype(np.uint16) * 1000], None, "masks"),
    ],
)
def test_png_folders_by_their_values(tmp_path, images, files, task, expected):
    for name, content in zip("abc", files, strict=False):
        png(tmp_path / f"preds/{name}.png", content)
    assert open_predictions(tmp_path / "preds", images, ReadSettings(task=task)).format == expected
    (tmp_path / "preds/broken.png").write_text("not an image")
    assert open_predictions(tmp_path / "preds", images, ReadSettings(task=task)).format == expected
    if len(files) == 1:
        assert open_predictions(tmp_path / "preds/a.png", images, ReadSettings(task=task)).format == expected


def test_the_sample_reaches_from_the_first_to_the_last_file(tmp_path):
    for number in range(100):
        png(tmp_path / f"preds/{number:03d}.png", values(0, 1))
        photo(tmp_path / f"images/{number:03d}.png", size=(2, 2))
    assert open_predictions(tmp_path / "preds", tmp_path / "images").format == "masks"
    png(tmp_path / "preds/099.png", values(0, 1, 2))
    assert open_predictions(tmp_path / "preds", tmp_path / "images").format == "labels"


def test_other_json_files_are_ignored_beside_png_files(tmp_path, images):
    png(tmp_path / "preds/a.png", values(0, 3, 4))
    save(tmp_path / "preds/meta.json", {"model": "x"})
    assert open_predictions(tmp_path / "preds", images).format == "labels"
    save(tmp_path / "preds/more.json", {"model": "x"})
    assert open_predictions(tmp_path / "preds", images).format == "labels"


def test_a_forced_format_is_not_recognised(tmp_path, images):
    png(tmp_path / "preds/a.png", values(0, 1))
    assert open_predictions(tmp_path / "preds", images, ReadSettings(format="labels")).format == "labels"


def refused(predictions, images, **options):
    with pytest.raises(BprError) as caught:
        open_predictions(predictions, images, ReadSettings(**options))
    return str(caught.value)


def test_unknown_formats_are_answered_with_the_known(tmp_path, images):
    message = refused(tmp_path, images, format="voc")
    assert "format is 'voc'" in message
    assert all(name in message for name in FORMATS)


def test_missing_and_empty_paths(tmp_path, images):
    assert f"{tmp_path}/nothing does not exist" in refused(tmp_path / "nothing", images)
    (tmp_path / "empty/.hidden").mkdir(parents=True)
    assert "empty is an empty directory" in refused(tmp_path / "empty", images)
    (tmp_path / "stopped/.bpr").mkdir(parents=True)
    assert "stopped holds an unfinished run of bpr" in refused(tmp_path / "stopped", images)
    png(tmp_path / "preds/a.png", values(0, 1))
    assert "none does not exist" in refused(tmp_path / "preds", tmp_path / "none")
    assert "empty holds no image" in refused(tmp_path / "preds", tmp_path / "empty")


def test_content_of_no_format(tmp_path, images):
    (tmp_path / "preds").mkdir()
    (tmp_path / "preds/weights.bin").touch()
    assert "preds holds weights.bin, expected COCO" in refused(tmp_path / "preds", images)
    assert "weights.bin is a .bin file, expected COCO" in refused(tmp_path / "preds/weights.bin", images)


@pytest.mark.parametrize(
    "name", ["labels", "masks", "cityscapes", "coco", "panoptic", "yolo", "labelme", "objects", "tiff"]
)
def test_forced_formats_without_their_files(tmp_path, images, name):
    (tmp_path / "preds").mkdir()
    (tmp_path / "preds/weights.bin").touch()
    assert f"{tmp_path}/preds holds no" in refused(tmp_path / "preds", images, format=name)


def test_colours_without_a_json_file(tmp_path, images):
    panoptic_png(tmp_path / "preds/a.png", values(1, 2, 3).astype(int) * 999)
    assert "must be single-channel" in refused(tmp_path / "preds", images)


def test_only_broken_files(tmp_path, images):
    (tmp_path / "preds").mkdir()
    (tmp_path / "preds/a.png").write_bytes(b"")
    assert "a.png is empty (0 bytes), expected a PNG file" in refused(tmp_path / "preds", images)
    assert "a.png is empty (0 bytes), expected a PNG file" in refused(tmp_path / "preds/a.png", images)


def test_what_all_items_lack_is_advised_once(tmp_path, images):
    records = [{"image_id": i, "category_id": 1, "score": 1, "segmentation": compressed(disc())} for i in (7, 8, 9)]
    save(tmp_path / "preds.json", records)
    with pytest.raises(BprError) as error:
        open_predictions(tmp_path / "preds.json", images)
    said = str(error.value)
    assert "preds.json: none of its 3 items can be used (no image called '7' in " in said
    assert said.count("no image called") == 3
    assert said.count("check --images") == said.count("--image-info") == 1


def test_a_task_that_the_files_do_not_have(tmp_path, images):
    record = {"image_id": "a", "category_id": 1, "segmentation": compressed(disc())}
    path = save(tmp_path / "r.json", [record])
    assert "holds instance predictions (format coco)" in refused(path, images, task=Task.PANOPTIC)
    png(tmp_path / "preds/a.png", values(0, 5, 6))
    assert "requested task is instance" in refused(tmp_path / "preds", images, task=Task.INSTANCE)


def test_paths_may_be_text(tmp_path, images):
    png(tmp_path / "preds/a.png", values(0, 1))
    assert len(open_predictions(str(tmp_path / "preds"), str(images)).items) == 1


def test_the_command_line_knows_every_format():
    assert set(open_module.FORMATS) == set(FORMATS)
    assert all(kind.format == name for name, kind in open_module.FORMATS.items())


PHOTOGRAPH = np.random.default_rng(1).integers(0, 256, (30, 40, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp"])
@pytest.mark.parametrize("alone", [True, False])
def test_a_photograph_where_masks_are_expected(tmp_path, images, name, alone):
    path = tmp_path / "preds" / name
    path.parent.mkdir()
    Image.fromarray(PHOTOGRAPH).save(path)
    said = (
        rf"preds/{name} looks like a photograph \(more than 256 colours\), expected a mask or a label map: .* swapped\?"
    )
    with pytest.raises(BprError, match=said):
        open_predictions(path if alone else path.parent, images)


def test_a_picture_of_labels_is_no_photograph(tmp_path, images):
    palette = PHOTOGRAPH[0]
    png(tmp_path / "preds/a.png", palette[np.resize(np.arange(40), SIZE)])
    with pytest.raises(BprError, match=r"a\.png holds colours, expected one channel"):
        open_predictions(tmp_path / "preds", images)


def test_a_gray_jpeg_is_told_what_jpeg_does(tmp_path, images):
    (tmp_path / "preds").mkdir()
    Image.fromarray(values(0, 255)).save(tmp_path / "preds/a.jpg")
    with pytest.raises(BprError, match=r"a\.jpg is a JPEG file, whose compression changes the values"):
        open_predictions(tmp_path / "preds", images)


def test_several_panoptic_files_in_one_directory(tmp_path, images):
    ids = np.where(disc(), 300, 7).astype(np.int32)
    annotation = {"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 7}, {"id": 300}]}
    panoptic_png(tmp_path / "preds/maps/a.png", ids)
    for name in ("first.json", "second.json"):
        save(tmp_path / "preds" / name, {"annotations": [annotation]})
    save(tmp_path / "preds/other.json", {"info": "nothing"})
    said = r"preds holds 3 JSON files, of which .*first\.json, .*second\.json are panoptic; give one of them instead"
    with pytest.raises(BprError, match=said):
        open_predictions(tmp_path / "preds", images)


BESIDE = {
    "b.txt": ("YOLO polygons", "0 0.1 0.1 0.9 0.1 0.9 0.9\n"),
    "b.json": (
        "labelme files",
        '{"imagePath": "b.png", '
        '"shapes": [{"label": "a", "shape_type": "polygon", "points": [[1, 1], [8, 1], [8, 8]]}]}',
    ),
    "results.json": ("COCO results", '[{"image_id": "b", "category_id": 1, "segmentation": [[1, 1, 8, 1, 8, 8]]}]'),
}


@pytest.mark.parametrize("name", BESIDE)
def test_masks_that_another_format_leaves_out_are_told(tmp_path, images, name, caplog, monkeypatch):
    """One file of another format beside masks decides for the folder."""
    noun, content = BESIDE[name]
    for each in ("a", "c"):
        png(tmp_path / f"preds/{each}.png", values(0, 255))
    (tmp_path / "preds" / name).write_text(content)
    opened = open_predictions(tmp_path / "preds", images)
    (told,) = caplog.messages
    assert told == (
        f"{tmp_path / 'preds'} holds {noun} (format {opened.format}), which leaves out 2 .png files, such as a.png; "
        "name another --format to read them"
    )
    caplog.clear()
    monkeypatch.chdir(tmp_path)
    open_without_images(Path("preds"), ReadSettings())
    assert caplog.messages == [told.replace(str(tmp_path / "preds"), "preds")]
    caplog.clear()
    opened = open_predictions(tmp_path / "preds", images, ReadSettings(format="masks"))
    assert [item.name for item in opened.items] == ["a.png", "c.png"]
    assert caplog.messages == []


def test_tiff_files_beside_png_masks_are_told(tmp_path, images, caplog):
    png(tmp_path / "preds/a.png", values(0, 255))
    Image.fromarray(np.resize(np.arange(300, dtype=np.int32), SIZE)).save(tmp_path / "preds/b.tif")
    assert len(open_predictions(tmp_path / "preds", images).items) == 1
    assert ["leaves out 1 .tif file, such as b.tif" in told for told in caplog.messages] == [True]


def test_pictures_beside_results_are_not_masks(tmp_path, images, caplog):
    """Images beside labels in one folder, pictures that tools draw beside their results, and gray photographs."""
    (tmp_path / "images/b.txt").write_text(BESIDE["b.txt"][1])
    assert len(open_predictions(tmp_path / "images", images).items) == 1
    (tmp_path / "preds").mkdir()
    (tmp_path / "preds/b.txt").write_text(BESIDE["b.txt"][1])
    photo(tmp_path / "preds/curve.png")
    assert len(open_predictions(tmp_path / "preds", images).items) == 1
    png(tmp_path / "preds/curve.png", np.arange(SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint8))
    assert len(open_without_images(tmp_path / "preds", ReadSettings()).items) == 1
    assert caplog.messages == []


def test_broken_results_name_their_file(tmp_path, images):
    path = save(tmp_path / "preds/of_others.json", [{"image_id": number, "segmentation": []} for number in (7, 8)])
    with pytest.raises(BprError, match=r"preds/of_others\.json: none of its 2 items"):
        open_predictions(path.parent, images)


def test_a_folder_with_the_results_of_several_models_is_told(tmp_path, images, caplog):
    for name in ("one/a.png", "one/b.png", "two/a.png", "three/c.png"):
        png(tmp_path / "preds" / name, values(0, 255))
    open_predictions(tmp_path / "preds", images)
    assert caplog.messages == []  # one of three images may have two masks
    png(tmp_path / "preds/three/b.png", values(0, 255))
    assert len(open_predictions(tmp_path / "preds", images).items) == 5
    assert caplog.messages == [
        f"{tmp_path / 'preds'} holds several folders with predictions of the same images, such as one/a.png and "
        "two/a.png; name one to take one"
    ]
