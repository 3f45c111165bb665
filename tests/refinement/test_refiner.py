import numpy as np
import pytest

from bpr_cli.errors import BprError
from bpr_cli.refinement.refiner import Refiner
from bpr_cli.refinement.settings import RefineSettings
from tests.inference.engines import blob, picture

SIZE = (40, 52)


def label_map() -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    for label, seed in ((1, 1), (7, 2), (255, 3)):
        labels[blob(SIZE, seed)] = label
    return labels


@pytest.fixture(scope="module")
def refined(refiner) -> np.ndarray:
    """What becomes of one mask; the random network surely changes it."""
    out = refiner.refine(picture(SIZE), blob(SIZE))
    assert 0 < (out != blob(SIZE)).sum() < out.size
    assert out.dtype == bool
    return out


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("value", [1, 100])
def test_masks_keep_their_dtype_and_foreground_value(refiner, refined, dtype, value):
    out = refiner.refine(picture(SIZE), blob(SIZE).astype(dtype) * dtype(value))
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, refined.astype(dtype) * dtype(value))


def test_a_negative_foreground_value_is_kept(refiner, refined):
    out = refiner.refine(picture(SIZE), np.where(blob(SIZE), np.int8(-1), np.int8(0)))
    np.testing.assert_array_equal(out, np.where(refined, -1, 0))


def test_pixels_that_stay_foreground_keep_their_value(refiner, refined):
    values = np.where(blob(SIZE), np.arange(SIZE[1], dtype=np.int32) + 1, 0)
    out = refiner.refine(picture(SIZE), values)
    np.testing.assert_array_equal(out != 0, refined)
    stayed = refined & blob(SIZE)
    np.testing.assert_array_equal(out[stayed], values[stayed])
    assert set(out[refined & ~blob(SIZE)].tolist()) == {int(values.max())}


def test_inputs_are_left_alone_and_may_have_any_strides(refiner, refined):
    image, mask = picture(SIZE), blob(SIZE)
    image_copy, mask_copy = image.copy(), mask.copy()
    np.testing.assert_array_equal(refiner.refine(np.asfortranarray(image), np.asfortranarray(mask)), refined)
    swapped = image[..., ::-1].copy()[..., ::-1]
    np.testing.assert_array_equal(refiner.refine(swapped, mask[::-1].copy()[::-1]), refined)
    np.testing.assert_array_equal(image, image_copy)
    np.testing.assert_array_equal(mask, mask_copy)
    image.flags.writeable = mask.flags.writeable = False
    np.testing.assert_array_equal(refiner.refine(image, mask), refined)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (5, 7), (16, 200)])
def test_any_size_of_image(refiner, size):
    mask = np.zeros(size, np.uint8)
    mask[: (size[0] + 1) // 2, : (size[1] + 1) // 2] = 1
    assert refiner.refine(picture(size), mask).shape == size
    assert refiner.refine_labels(picture(size), mask).shape == size


@pytest.mark.parametrize("value", [0, 255])
def test_a_mask_without_boundary_stays_as_it_is(refiner, value):
    mask = np.full(SIZE, value, np.uint8)
    np.testing.assert_array_equal(refiner.refine(picture(SIZE), mask), mask)


def test_several_masks_are_refined_each_for_itself(refiner, refined):
    other = blob(SIZE, 4).astype(np.uint8) * 9
    masks = refiner.refine_masks(picture(SIZE), [blob(SIZE), np.zeros(SIZE, np.int16), other, blob(SIZE)])
    assert [mask.dtype for mask in masks] == [bool, np.int16, np.uint8, bool]
    np.testing.assert_array_equal(masks[0], refined)
    assert not masks[1].any()
    np.testing.assert_array_equal(masks[2], refiner.refine(picture(SIZE), other))
    np.testing.assert_array_equal(masks[3], refined)
    assert refiner.refine_masks(picture(SIZE), []) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64, np.uint64])
def test_label_maps_keep_their_dtype_their_labels_and_what_is_ignored(refiner, dtype):
    labels = label_map().astype(dtype)
    out = refiner.refine_labels(picture(SIZE), labels)
    assert out.dtype == dtype
    assert (out != labels).any()
    assert set(out.flat) == set(labels.flat)
    np.testing.assert_array_equal(out == 255, labels == 255)


@pytest.mark.parametrize("ignore", [(), {0, 7}, [255, 300, -1], frozenset({0, 1, 7, 255})])
def test_ignored_labels_are_the_callers_choice(refiner, ignore):
    labels = label_map()
    out = refiner.refine_labels(picture(SIZE), labels, ignore=ignore)
    for label in ignore:
        np.testing.assert_array_equal(out == label, labels == label)
    assert (out != labels).any() == (len(set(labels.flat) - set(ignore)) > 1)


def test_results_do_not_depend_on_batch_size_or_neighbours(make_refiner):
    reference = make_refiner()
    masks = [blob(SIZE, seed) for seed in range(2)]
    expected = reference.refine_masks(picture(SIZE), masks)
    labels = reference.refine_labels(picture(SIZE), label_map())
    for batch_size in (1, 3, 64):
        refiner = make_refiner(batch_size=batch_size)
        backwards = refiner.refine_masks(picture(SIZE), masks[::-1])[::-1]
        for one, other in zip(expected, backwards, strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(refiner.refine_labels(picture(SIZE), label_map()), labels)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros(SIZE, np.uint8),
        np.zeros((*SIZE, 4), np.uint8),
        np.zeros((*SIZE, 3), np.float32),
        np.zeros((1, *SIZE, 3)),
    ],
)
def test_what_is_not_an_rgb_image_is_refused(refiner, image):
    with pytest.raises(BprError, match=r"the image has shape .* expected \(H, W, 3\) and uint8, RGB"):
        refiner.refine(image, blob(SIZE))
    with pytest.raises(BprError, match="the image has shape"):
        refiner.refine_labels(image, label_map())


@pytest.mark.parametrize(
    "mask",
    [np.zeros((*SIZE, 1)), np.zeros(SIZE[0]), np.zeros((0, 4)), np.full(SIZE, "yes"), np.zeros(SIZE, object)],
)
def test_what_is_not_a_mask_is_refused(refiner, mask):
    with pytest.raises(BprError, match=r"the mask has shape .* expected \(H, W\) and numbers"):
        refiner.refine(picture(SIZE), mask)


@pytest.mark.parametrize("mask", [blob((SIZE[0], SIZE[1] + 1)), blob((SIZE[1], SIZE[0]))])
def test_a_mask_of_another_size_is_refused(refiner, mask):
    with pytest.raises(BprError, match="the image is 52 x 40 pixels but the mask"):
        refiner.refine(picture(SIZE), mask)
    with pytest.raises(BprError, match="the image is 52 x 40 pixels but the mask"):
        refiner.refine_labels(picture(SIZE), mask.astype(int), ignore=(0, 1))


@pytest.mark.parametrize("labels", [np.zeros(SIZE), np.zeros(SIZE, bool)])
def test_labels_are_integers(refiner, labels):
    with pytest.raises(BprError, match="expected integers"):
        refiner.refine_labels(picture(SIZE), labels)


@pytest.mark.parametrize("label", [2**31, -(2**31) - 1])
def test_labels_beyond_32_bits_are_refused(refiner, label):
    labels = np.zeros(SIZE, np.int64)
    labels[0, 0] = label
    with pytest.raises(BprError, match=f"{label}.*expected 32-bit integers"):
        refiner.refine_labels(picture(SIZE), labels)


def test_the_refiner_states_what_it_uses(make_refiner, weights_of):
    refiner = make_refiner()
    assert [str(device) for device in refiner.predictor.devices] == ["cpu"]
    assert refiner.weights.path == weights_of("unet-s")
    assert refiner.predictor.batch_size == 64
    assert make_refiner(batch_size=3).predictor.batch_size == 8


def test_weights_that_are_not_there(tmp_path):
    with pytest.raises(BprError, match=r"none\.safetensors"):
        Refiner(RefineSettings(weights=str(tmp_path / "none.safetensors")))
