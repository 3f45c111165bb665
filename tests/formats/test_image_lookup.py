"""Finding the image that belongs to a prediction."""

import time
import unicodedata
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.image_match import Candidate, match_images
from bpr_cli.formats.image_names import stems_of
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings
from tests.formats.format_builders import compressed, disc, photo, png, save


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
    index = index_of(tmp_path, "x_pred.jpg", "x.png")
    assert index.find(["x_pred"]).name == "x_pred.jpg"


def test_a_file_with_the_name_of_a_mask_is_an_image_only_if_there_is_no_other(tmp_path):
    assert index_of(tmp_path / "one", "x_seg.png", "x.png").find(["x_seg"]).name == "x.png"
    assert index_of(tmp_path / "two", "masks/x.png", "photos/x.png").find(["x"]).parent.name == "photos"
    assert index_of(tmp_path / "three", "x_seg.png", "y.png").find(["x_seg"]).name == "x_seg.png"


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
    with pytest.raises(BprError, match=r"no image called 'y'.*1 image\)"):
        index_of(tmp_path, "x.png").find(["y_labelIds"])


def test_a_lone_image_belongs_to_a_lone_entry_only(tmp_path):
    index = ImageIndex.scan(photo(tmp_path / "photo.png"))
    items, failures = match_images([Candidate("other", ("other",))], index)
    assert [item.image for item in items] == [tmp_path / "photo.png"]
    items, failures = match_images([Candidate("other", ("other",)), Candidate("photo", ("photo",))], index)
    assert [item.name for item in items] == ["photo"]
    assert [failure.name for failure in failures] == ["other"]


KNOWN_ENDINGS = [
    *("_mask", "-mask", ".mask", " mask", "_masks", "_seg", "_segm", "_segmentation", "_Segmentation", "_label"),
    *("_labels", "_labelmap", "_gt", "_GT", "_groundtruth", "_annotation", "_pred", "_prediction", "-pred"),
    *("_predLabelIds", "_out", ".out", "_output", "_result", "_refined", "_coarse", "_prob", "_alpha", "_matte"),
    *("_pha", "-removebg-preview", "_nobg", "_rembg", "_saliency", "_bin", "_instance", "_semantic", "_panoptic"),
    *("_gtFine_labelTrainIds", "_gtFine_labelIds", "_gtFine_color", "_gtCoarse_instanceIds", "_gt_labelIds"),
    *("_leftImg8bit_pred", "_leftImg8bit_mask", "_train_id", "_L", "_parts_1", "_instance_id_RGB", "_manual"),
    *("_cp_masks", "_manual1"),
]
KNOWN_IMAGES = [
    "{}",
    "{}",
    "{}_leftImg8bit",
    "{}_im",
    "{}_img",
    "{}_image",
    "{}-rgb",
    "{}_rgb_anon",
    "{}_sat",
    "{}_photo",
    "{}-src",
    "{}_training",
]
STEMS = st.text("abxyzABü0123é뷰 ", min_size=1, max_size=12).map(str.strip).filter(bool).map("n{}7".format)
FORMS = st.sampled_from(["NFC", "NFD", "NFKC"])


@st.composite
def named_alike(draw):
    """The names of an image and of its mask, as tools and operating systems write them."""
    stem = draw(STEMS)
    image = draw(st.sampled_from(KNOWN_IMAGES)).format(stem)
    image += draw(st.sampled_from([".jpg", ".JPG", ".png", ".PNG", ".bmp", ".TIF", ".webp", ".jpeg"]))
    endings = draw(st.lists(st.sampled_from(KNOWN_ENDINGS), max_size=2))
    mask = stem + "".join(endings)
    image, mask = (unicodedata.normalize(draw(FORMS), name) for name in (image, mask))
    if draw(st.booleans()):
        image, mask = draw(st.sampled_from([(quote(image), mask), (image, quote(mask)), (image, mask.upper())]))
    folder = draw(st.sampled_from(["", "images/", "a/b/", "JPEGImages/480p/"]))
    name = draw(st.sampled_from(["", "masks/", "C:\\data\\", "gt\\", "/data/upload/"])) + mask
    return f"{folder}{image}", name


@given(named_alike(), st.booleans())
def test_any_of_the_forms_of_a_name_finds_its_image(names, listed):
    image, name = names
    if listed:
        name += ".jpg"
    others = [Path("m1.jpg"), Path("n.png"), Path("images/n.jpg"), Path("n77_im.jpg")]
    assert ImageIndex(Path(), [*others, Path(image)]).find([name]) == Path(image)


def masks_and_photos(root, layout):
    """Discs as masks, and noise as images, by the names of a layout with a star for the stem."""
    mask, image = layout
    for stem in ("a", "b"):
        png(root / mask.replace("*", stem), (disc() * 255).astype(np.uint8))
        photo(root / image.replace("*", stem))


LAYOUTS = [
    *[(f"*{ending}.png", image) for ending in ("_mask", "-seg", "_gt", "") for image in ("*.jpg", "*.BMP")],
    *[("*_mask.png", "*.png"), ("*_seg.png", "*_im.png"), ("*_seg.png", "*_im.jpg"), ("mask_*.png", "img_*.png")],
    *[("masks/*.png", "images/*.png"), ("masks/*.png", "images/*.jpg"), ("Annotations/*.png", "JPEGImages/*.jpg")],
    *[("one/masks/*.png", "one/images/*.png"), ("masks/*_mask.png", "*.png"), ("SegmentationClass/*.png", "*.png")],
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("part", ["all", "masks", "single"])
def test_images_and_masks_below_one_folder(tmp_path, layout, part):
    masks_and_photos(tmp_path, layout)
    first = tmp_path / layout[0].replace("*", "a")
    given = {"all": tmp_path, "masks": first.parent, "single": first}[part]
    opened = open_predictions(given, tmp_path)
    expected = [tmp_path / layout[1].replace("*", stem) for stem in ("a", "b")]
    assert [item.image for item in opened.items] == expected[: len(opened.items)]
    assert len(opened.items) == (1 if part == "single" else 2)
    assert (opened.format, opened.failures) == ("masks", [])


def test_masks_without_images_beside_them_are_no_images(tmp_path):
    for name in ("x.png", "x_pred.png", "y.png"):
        png(tmp_path / name, (disc() * 255).astype(np.uint8))
    with pytest.raises(BprError, match=r"no image called .* apart from the masks themselves"):
        open_predictions(tmp_path, tmp_path)


def test_a_mask_is_not_its_own_image_under_another_path(tmp_path):
    masks_and_photos(tmp_path / "data", ("*.png", "*.jpg"))
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert [item.image.suffix for item in open_predictions(tmp_path / "link", tmp_path / "data").items] == [".jpg"] * 2
    with pytest.raises(BprError, match=r"a\.png is the mask itself, expected its image"):
        open_predictions(tmp_path / "data/a.png", tmp_path / "link/a.png")


def test_cityscapes_results_beside_their_images(tmp_path):
    photo(tmp_path / "x_leftImg8bit.png")
    png(tmp_path / "masks/x_0.png", (disc() * 255).astype(np.uint8))
    (tmp_path / "x_leftImg8bit_pred.txt").write_text("masks\\x_0.png 26 0.9\n")
    opened = open_predictions(tmp_path, tmp_path)
    assert [item.image.name for item in opened.items] == ["x_leftImg8bit.png"]
    assert opened.files(opened.items[0])[1] == tmp_path / "masks/x_0.png"


def test_folders_tell_images_of_one_name_apart(tmp_path):
    masks_and_photos(tmp_path, ("bear/masks/*.png", "bear/images/*.jpg"))
    photo(tmp_path / "camel/images/a.jpg")
    assert ImageIndex.scan(tmp_path).find(["bear/masks/a"]) == tmp_path / "bear/images/a.jpg"
    assert open_predictions(tmp_path / "bear/masks", tmp_path).items[0].image == tmp_path / "bear/images/a.jpg"
    assert ImageIndex.scan(tmp_path).find(["data/camel/a.jpg"]) == tmp_path / "camel/images/a.jpg"


def test_the_folder_of_a_mask_may_have_the_name_of_the_image(tmp_path):
    """The layouts of Segment Anything, of labelme and of the Data Science Bowl."""
    index = index_of(tmp_path, "photo.jpg", "other.jpg")
    for name in ("photo/0", "photo/masks/5ff1", "photo_json/label"):
        assert index.find([name]).name == "photo.jpg"


@pytest.mark.parametrize(
    ("pattern", "image"),
    [
        ("{stem}_foggy.png", "x_foggy.png"),
        ("{name}.cam1.png", "x_mask.cam1.png"),
        ("shot-{number}.jpg", "shot-004.jpg"),
        ("{folder}/view.jpg", "deep/s1/view.jpg"),
        ("{stem}_foggy", "x_foggy.JPG"),
    ],
)
def test_a_pattern_names_the_image(tmp_path, pattern, image):
    index_of(tmp_path, image, "x.png", "s2/view.jpg", "x_mask.png")
    name = "s1/z-004_mask" if "number" in pattern else "s1/x_mask"
    index = ImageIndex.scan(tmp_path / "images", pattern)
    assert index.find([name]) == tmp_path / "images" / image
    assert index.found_by == f"by --image-pattern {pattern}"
    with pytest.raises(BprError, match=r"no image called .*; check --image-pattern"):
        index.find(["s3/y-5_mask"])


@pytest.mark.parametrize(("pattern", "found"), [("{stam}.png", "unknown field {stam}"), ("x.png", "has no field")])
def test_a_pattern_needs_known_fields(tmp_path, pattern, found):
    photo(tmp_path / "x.png")
    with pytest.raises(BprError, match=rf"--image-pattern .*{found}.*{{stem}}, {{name}}, {{folder}}, {{number}}"):
        ImageIndex.scan(tmp_path, pattern)


def test_the_pattern_is_an_option_of_reading(tmp_path):
    png(tmp_path / "masks/a_mask.png", (disc() * 255).astype(np.uint8))
    photo(tmp_path / "images/a_fog.png")
    settings = ReadSettings(image_pattern="{stem}_fog.png")
    opened = open_predictions(tmp_path / "masks", tmp_path / "images", settings)
    assert [item.image.name for item in opened.items] == ["a_fog.png"]


@pytest.mark.parametrize("mask", ["mask", "label", "gt"])
@pytest.mark.parametrize("image", ["image.png", "img.jpg", "scan7.bmp"])
def test_a_folder_for_each_image_and_its_mask(tmp_path, mask, image):
    masks_and_photos(tmp_path, (f"*/{mask}.png", f"*/{image}"))
    opened = open_predictions(tmp_path, tmp_path)
    assert [item.image for item in opened.items] == [tmp_path / "a" / image, tmp_path / "b" / image]
    assert opened.failures == []
    (tmp_path / "b" / image).unlink()
    assert len(open_predictions(tmp_path, tmp_path).failures) == 1
    photo(tmp_path / "a/second.jpg")
    with pytest.raises(BprError, match="several images match"):
        open_predictions(tmp_path, tmp_path)


def test_images_of_one_name_in_the_folders_of_several_videos(tmp_path):
    for video in ("bear", "camel"):
        masks_and_photos(tmp_path / video, ("masks/*.png", "images/*.png"))
    images = [item.image for item in open_predictions(tmp_path, tmp_path).items]
    assert images == [tmp_path / video / f"images/{stem}.png" for video in ("bear", "camel") for stem in ("a", "b")]


def test_masks_of_the_data_science_bowl_lie_beside_the_folder_of_their_image(tmp_path):
    for stem in ("x1", "x2"):
        photo(tmp_path / stem / f"images/{stem}.png")
        for name in ("5ff1", "0a3c"):
            png(tmp_path / stem / f"masks/{name}.png", (disc() * 255).astype(np.uint8))
    items = open_predictions(tmp_path, tmp_path).items
    assert [item.image.name for item in items] == ["x1.png", "x1.png", "x2.png", "x2.png"]


def test_the_folder_of_a_mask_names_the_image_if_it_is_given_itself(tmp_path):
    photo(tmp_path / "images/shot.jpg")
    photo(tmp_path / "images/other.jpg")
    for number in range(2):
        png(tmp_path / f"out/shot/{number}.png", (disc() * 255).astype(np.uint8))
    items = open_predictions(tmp_path / "out/shot", tmp_path / "images").items
    assert [item.image.name for item in items] == ["shot.jpg", "shot.jpg"]


def test_an_image_may_have_numbered_masks(tmp_path):
    index = index_of(tmp_path, "shot.jpg", "shot_12.jpg")
    for name, image in [("shot_mask_0", "shot"), ("shot_mask12", "shot"), ("shot_12_seg_3", "shot_12")]:
        assert index.find([name]).stem == image
    with pytest.raises(BprError, match=r"the nearest name there is shot_12\.jpg"):
        index.find(["shot_13"])


@given(st.integers(0, 10**6), st.integers(0, 12), st.integers(0, 12))
def test_zeros_before_a_number_do_not_matter(number, width, other):
    image = Path(f"{number:0{width}}.jpg")
    assert ImageIndex(Path(), [image, Path(f"{number + 1}.jpg")]).find([f"{number:0{other}}_mask"]) == image


@pytest.mark.parametrize(("wanted", "there"), [("lucia_00005", "bus_00055.jpg"), ("000397", "000387.jpg")])
def test_a_name_that_is_near_by_chance_is_no_advice(wanted, there, tmp_path):
    index = index_of(tmp_path, there)
    with pytest.raises(BprError, match=f"; names there look like {there}"):
        index.find([wanted])


def test_a_miss_tells_what_is_there(tmp_path):
    index = index_of(tmp_path, "street_0001.png", "other.png")
    with pytest.raises(
        BprError, match=r"'street_001' or 'street_001_mask' in .*2 images\); the nearest name .*street_0001"
    ):
        index.find(["street_001_mask"])
    (tmp_path / "images/x.heic").touch()
    with pytest.raises(BprError, match=r"images/x\.heic has a format that is not read, expected \.png.*convert it"):
        index.find(["x"])


def test_the_rules_are_told(tmp_path):
    index = index_of(tmp_path, "a.png", "b.png", "c.png", "d_im.png")
    assert index.found_by == ""
    index.find(["a"])
    assert index.found_by == "by name"
    for name in ("b_mask", "c_mask"):
        index.find([name])
    assert index.found_by == "by name without _mask (2), by name (1)"
    assert open_predictions(save_results(tmp_path), tmp_path / "images").found_by == "by the listed names"


def save_results(folder):
    images = [{"id": 1, "file_name": "a.png"}]
    annotations = [{"image_id": 1, "category_id": 1, "segmentation": compressed(disc())}]
    return save(folder / "results.json", {"images": images, "annotations": annotations})


def test_unrelated_names_of_one_mask_and_one_image_are_told(tmp_path):
    mask = png(tmp_path / "one.png", (disc() * 255).astype(np.uint8))
    assert open_predictions(mask, photo(tmp_path / "one.jpg")).found_by == "as the only one"
    other = open_predictions(mask, photo(tmp_path / "other.jpg"))
    assert other.found_by == "as the only one, other.jpg, though its name differs"


def test_the_cost_grows_with_the_number_of_images_only():
    names = [f"{place}/x{number:05}" for place in ("a", "b") for number in range(5000)]
    began = time.process_time()
    index = ImageIndex(Path(), [Path(f"{name}.jpg") for name in names])
    for name in names:
        index.find([f"{name}_mask"])
    for number in range(10000):
        with pytest.raises(BprError):
            index.find([f"z{number}"])
    assert time.process_time() - began < 20
