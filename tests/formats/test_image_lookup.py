"""Finding the image that belongs to a prediction."""

from pathlib import Path

import pytest

from bpr_cli.errors import BprError
from bpr_cli.formats.image_lookup import Candidate, ImageIndex, match_images, stems_of
from tests.formats.format_builders import photo


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a_labelIds",
        "a_labelTrainIds",
        "a_gtFine_labelIds",
        "a_gtFine_labelTrainIds",
        "a_gtFine_panoptic",
        "a_gtCoarse_labelIds",
        "a_leftImg8bit",
        "a_leftImg8bit_pred",
        "a_leftImg8bit_predLabelIds",
        "a_leftImg8bit_pred_labelTrainIds",
        "a_prediction",
        "a_predictions_labelIds",
        "a_panoptic",
        "a_mask",
        "a.jpg",
        "a_LABELIDS",
    ],
)
@pytest.mark.parametrize("image", ["a_leftImg8bit.png", "a.jpg"])
def test_prediction_names_lead_to_the_image(name, image):
    index = ImageIndex(Path(), [Path(image), Path("b.png")])
    assert index.find([name]).name == image


def test_no_ending_is_taken_off_a_bare_name():
    assert stems_of("_pred") == ["_pred"]
    assert stems_of("image_0042") == ["image_0042"]


def index_of(tmp_path, *names):
    for name in names:
        photo(tmp_path / "images" / name, size=(2, 2))
    return ImageIndex.scan(tmp_path / "images")


def test_images_are_found_in_nested_folders(tmp_path):
    index = index_of(tmp_path, "val/frankfurt/x_000_leftImg8bit.png", "val/munster/y_000_leftImg8bit.png")
    assert index.find(["frankfurt/x_000_gtFine_labelIds"]) == tmp_path / "images/val/frankfurt/x_000_leftImg8bit.png"
    assert index.find(["y_000_pred"]) == tmp_path / "images/val/munster/y_000_leftImg8bit.png"


def test_city_images_are_preferred_to_other_files_of_the_data_set(tmp_path):
    index = index_of(tmp_path, "leftImg8bit/x_leftImg8bit.png", "gtFine/x_gtFine_labelIds.png")
    assert index.find(["x_gtFine_labelIds"]).name == "x_leftImg8bit.png"


def test_the_exact_stem_is_preferred(tmp_path):
    index = index_of(tmp_path, "x_pred.png", "x.png")
    assert index.find(["x_pred"]).name == "x_pred.png"


def test_the_same_folder_decides_between_equal_stems(tmp_path):
    index = index_of(tmp_path, "one/x.png", "two/x.png", "deep/three/x.png")
    assert index.find(["two/x"]) == tmp_path / "images/two/x.png"
    assert index.find(["three/x"]) == tmp_path / "images/deep/three/x.png"
    with pytest.raises(BprError) as caught:
        index.find(["x"])
    assert "several images match 'x'" in str(caught.value)
    assert "one/x.png" in str(caught.value)
    assert "two/x.png" in str(caught.value)


def test_a_listed_file_name_means_exactly_that_file(tmp_path):
    index = index_of(tmp_path, "x.png", "x.jpg")
    assert index.find(["x.jpg"]).name == "x.jpg"
    with pytest.raises(BprError, match="several images"):
        index.find(["x"])


def test_hidden_files_and_other_files_are_no_images(tmp_path):
    index = index_of(tmp_path, "x.png", ".hidden/x.png")
    (tmp_path / "images/._x.png").touch()
    (tmp_path / "images/x.txt").touch()
    assert ImageIndex.scan(tmp_path / "images").find(["x"]) == index.find(["x"])


def test_linked_folders_are_followed_but_not_for_ever(tmp_path):
    photo(tmp_path / "elsewhere/x.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "images")
    assert ImageIndex.scan(tmp_path / "images").find(["x"]) == tmp_path / "images/link/x.png"


def test_no_images(tmp_path):
    with pytest.raises(BprError, match=r"nowhere does not exist.*--images"):
        ImageIndex.scan(tmp_path / "nowhere")
    with pytest.raises(BprError, match=r"holds no image.*--images"):
        ImageIndex.scan(tmp_path)
    with pytest.raises(BprError, match=r"no image called 'y'.*1 images"):
        index_of(tmp_path, "x.png").find(["y_labelIds"])


def test_a_lone_image_belongs_to_a_lone_entry_only(tmp_path):
    index = ImageIndex.scan(photo(tmp_path / "photo.png"))
    items, failures = match_images([Candidate("other", ("other",))], index)
    assert [item.image for item in items] == [tmp_path / "photo.png"]
    items, failures = match_images([Candidate("other", ("other",)), Candidate("photo", ("photo",))], index)
    assert [item.name for item in items] == ["photo"]
    assert [failure.name for failure in failures] == ["other"]
