"""What masks stand for: masks, probabilities and logits; several of them in one argument; refusals by name."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.refinement.given import GivenLabels, GivenMask, GivenMasks, ignored_labels
from bpr_cli.refinement.mask_kinds import MaskSettings
from tests.inference.engines import blob, picture
from tests.refinement.given_cases import MASKS, MEMORY, PICTURES, SHAPES

SIZE = (40, 52)
DEFAULT = MaskSettings()
PROBABILITIES, LOGITS = MaskSettings("probabilities"), MaskSettings("logits")


def foreground(given_mask, how=DEFAULT):
    return GivenMask.read(given_mask, "mask", how).mask.to_array()


def soft():
    """Probabilities that rise over ten pixels."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.clip((15 - np.hypot(rows - 20, columns - 25)) / 10 + 0.5, 0, 1)


@given(
    kind=st.sampled_from(sorted(MASKS)),
    memory=st.sampled_from(sorted(MEMORY)),
    shape=st.sampled_from(sorted(SHAPES)),
    how=st.sampled_from([None, "mask"]),
    seed=st.integers(0, 99),
)
def test_any_type_and_layout_of_a_mask_gives_its_foreground(kind, memory, shape, how, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask = SHAPES[shape](MEMORY[memory](MASKS[kind](blob(SIZE, seed))))
        np.testing.assert_array_equal(foreground(mask, MaskSettings(how)), blob(SIZE, seed))
        if memory != "big-endian":
            tensor = torch.from_numpy(mask.copy())
            np.testing.assert_array_equal(foreground(tensor, MaskSettings(how)), blob(SIZE, seed))


@pytest.mark.parametrize("mode", PICTURES)
def test_pillow_masks(mode):
    np.testing.assert_array_equal(foreground(PICTURES[mode](blob(SIZE))), blob(SIZE))


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    "convert",
    [
        np.float64,
        np.float32,
        lambda soft: np.rint(soft * 255).astype(np.uint8),
        lambda soft: np.rint(soft * 65535).astype(np.uint16),
        lambda soft: np.rint(soft * 65535).astype(">u2"),
        torch.from_numpy,
        lambda soft: Image.fromarray(np.rint(soft * 255).astype(np.uint8)),
    ],
)
def test_probabilities_have_the_same_foreground_in_every_type(convert, threshold):
    levels = np.rint(soft() * 255) / 255
    read = foreground(convert(levels), MaskSettings("probabilities", threshold))
    np.testing.assert_array_equal(read, levels > threshold)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_logits_are_compared_with_the_logit_of_the_threshold(threshold):
    logits = np.random.default_rng(0).normal(0, 4, SIZE)
    read = foreground(logits, MaskSettings("logits", threshold))
    np.testing.assert_array_equal(read, 1 / (1 + np.exp(-logits)) > threshold)


def test_logits_may_be_infinite():
    read = foreground(np.where(blob(SIZE), math.inf, -math.inf), LOGITS)
    np.testing.assert_array_equal(read, blob(SIZE))
    np.testing.assert_array_equal(foreground(np.where(blob(SIZE), 1e-300, 0.0), LOGITS), blob(SIZE))


def test_hard_probabilities_may_be_0_and_1_in_every_type():
    for dtype in (bool, np.uint8, np.int64, np.float32):
        np.testing.assert_array_equal(foreground(blob(SIZE).astype(dtype), PROBABILITIES), blob(SIZE))


@pytest.mark.parametrize("full", [255, 65535])
def test_soft_masks_of_whole_numbers_are_thresholded_at_one_half_with_a_warning(full):
    levels = np.rint(soft() * full).astype(np.uint16 if full > 255 else np.uint8)
    with pytest.warns(UserWarning, match=rf"mask holds .* soft mask: pixels above {full / 2:g} are foreground"):
        read = foreground(levels)
    np.testing.assert_array_equal(read, levels > full / 2)


REFUSED = {
    "fractions": (soft(), DEFAULT, r'mask holds values from 0 to 1; .* kind="probabilities" or kind="logits"'),
    "logits": (soft() * 8 - 4, DEFAULT, r"mask holds values from -4 to 4; expected a mask of 0 and one other value"),
    "a label map": (np.add.outer(np.arange(40) // 10, np.zeros(52, int)), DEFAULT, r"mask holds the values 0, 1, 2, 3"),
    "a mask with void": (np.where(blob(SIZE), 255, np.eye(*SIZE)), DEFAULT, r"mask holds the values 0, 1, 255"),
    "NaN": (np.where(blob(SIZE), 1, np.nan), DEFAULT, r"mask holds values that are no numbers.*expected a mask of fin"),
    "infinite": (np.where(blob(SIZE), np.inf, 0), DEFAULT, r"mask holds values that are no numbers"),
    "NaN as mask": (np.where(blob(SIZE), 1, np.nan), MaskSettings("mask"), r"mask holds .*; expected a mask of finite"),
    "NaN as logits": (np.where(blob(SIZE), 1, np.nan), LOGITS, r"mask holds .*float64; expected logits"),
    "NaN as probabilities": (np.where(blob(SIZE), 1, np.nan), PROBABILITIES, r"mask holds .*; expected probabilities"),
    "negative": (soft() - 0.1, PROBABILITIES, r"mask holds values from -0.1 to 0.9.*float64; expected probabilities"),
    "above 1": (soft() * 1.1, PROBABILITIES, r"mask holds values from 0 to 1.1 .*; expected probabilities from 0 to 1"),
    "soft bool": (blob(SIZE), MaskSettings(soft=True), r"mask is an array .* dtype bool; expected floats, uint8 or"),
    "soft int64": (blob(SIZE) * 1, MaskSettings(soft=True), r"mask is an array .* dtype int64; expected floats, uint8"),
    "wide": (np.full(SIZE, 200), PROBABILITIES, r"mask holds the values 200 of the type int64; expected probabilities"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_are_something_else_are_refused(name):
    given_mask, how, message = REFUSED[name]
    with pytest.raises(BprError, match=message):
        foreground(given_mask, how)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "soft"}, "kind is 'soft'; expected one of mask, probabilities, logits"),
        ({"kind": 1}, "kind is 1; expected one of mask, probabilities, logits"),
        ({"threshold": 0}, "threshold is 0; expected a number above 0 and below 1"),
        ({"threshold": 1}, "threshold is 1; expected a number above 0 and below 1"),
        ({"threshold": None}, "threshold is None; expected a number"),
        ({"threshold": math.nan}, "threshold is nan; expected a number"),
    ],
)
def test_settings_that_do_not_exist(arguments, message):
    with pytest.raises(BprError, match=message):
        MaskSettings(**arguments)


@pytest.mark.parametrize("how", [PROBABILITIES, LOGITS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_probabilities_and_logits_come_back_as_0_and_1(how, dtype):
    tensor = torch.from_numpy(soft()[None]).to(dtype)
    given_mask = GivenMask.read(tensor, "mask", how)
    back = given_mask.back(given_mask.prediction)
    assert (back.dtype, back.shape) == (dtype, tensor.shape)
    assert torch.equal(back > 0.5, tensor > (0.5 if how is PROBABILITIES else 0))
    assert back.unique().tolist() == [0, 1] if how is PROBABILITIES else [1]


def test_probabilities_of_whole_numbers_come_back_in_their_range():
    for dtype, full in ((np.uint8, 255), (np.uint16, 65535)):
        given_mask = GivenMask.read((soft() * full).astype(dtype), "mask", PROBABILITIES)
        assert np.unique(given_mask.back(given_mask.prediction)).tolist() == [0, full]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.77])
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8, np.uint16])
def test_soft_results_are_the_probabilities_on_the_right_side_of_the_threshold(dtype, threshold):
    full = {np.uint8: 255, np.uint16: 65535}.get(dtype, 1)
    given_soft = (soft() * full).astype(dtype)
    mask = GivenMask.read(given_soft, "mask", MaskSettings("probabilities", threshold, soft=True))
    back = mask.back(mask.prediction)
    assert back.dtype == dtype
    np.testing.assert_allclose(back, given_soft, atol=1.01 / 65535 if full == 1 else 0)
    np.testing.assert_array_equal(back > threshold * full, given_soft > threshold * full)


def test_soft_results_of_logits_and_masks_are_probabilities():
    logits = np.log(np.clip(soft(), 1e-6, 1 - 1e-6) / (1 - np.clip(soft(), 1e-6, 1 - 1e-6)))
    mask = GivenMask.read(np.where(soft() == 1, np.inf, logits), "mask", MaskSettings("logits", soft=True))
    np.testing.assert_allclose(mask.back(mask.prediction), soft(), atol=2e-5)
    mask = GivenMask.read(blob(SIZE).astype(np.uint8), "mask", MaskSettings(soft=True))
    np.testing.assert_array_equal(mask.back(mask.prediction), blob(SIZE) * 255)


def read_and_back(masks, how=DEFAULT):
    several = GivenMasks.read(masks, "masks", how)
    return several.back(several.prediction)


SEVERAL = [blob(SIZE, seed) for seed in range(3)]


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda masks: (mask for mask in masks)])
def test_lists_tuples_and_generators_come_back_as_lists(kind):
    back = read_and_back(kind(SEVERAL))
    assert isinstance(back, list)
    for one, other in zip(back, SEVERAL, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("axis", [None, 1, 3])
def test_stacks_come_back_as_stacks(dtype, axis):
    stack = np.stack(SEVERAL).astype(dtype)
    stack = stack if axis is None else np.expand_dims(stack, axis)
    back = read_and_back(stack)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, stack)
    tensor = torch.from_numpy(stack)
    assert torch.equal(read_and_back(tensor), tensor)


def test_boxes_of_mask_r_cnn():
    """Its masks are probabilities, (N, 1, H, W)."""
    probabilities = torch.from_numpy(np.stack([soft(), 1 - soft()])[:, None]).float()
    back = read_and_back(probabilities, PROBABILITIES)
    assert torch.equal(back, (probabilities > 0.5).float())


def test_every_mask_of_a_list_keeps_its_own_kind():
    masks = [blob(SIZE), Image.fromarray(blob(SIZE)), torch.from_numpy(blob(SIZE)), blob(SIZE).tolist()]
    assert [type(each) for each in read_and_back(masks)] == [type(each) for each in masks]


def test_no_masks():
    assert read_and_back([]) == []
    assert read_and_back(np.zeros((0, *SIZE), np.uint8)).shape == (0, *SIZE)
    assert read_and_back(torch.zeros(0, 1, *SIZE)).shape == (0, 1, *SIZE)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (None, r"masks is None; expected several masks"),
        (blob(SIZE), r"masks is an array of shape \(40, 52\) and dtype bool; expected several masks"),
        (torch.zeros(SIZE), r"masks is a tensor of shape \(40, 52\)"),
        (Image.fromarray(blob(SIZE)), r"masks is a Pillow image of 52 x 40 pixels"),
        ("mask.png", r"masks is 'mask.png'; expected several masks"),
        ({"a": blob(SIZE)}, r"masks is an object of the type dict"),
        ([blob(SIZE), None], r"masks\[1\] is None; expected an array"),
        ([blob(SIZE), soft()], r"masks\[1\] holds values from 0 to 1"),
        (blob(SIZE).tolist(), r"masks\[0\] is a list of shape \(52,\); expected one value per pixel"),
        (np.full((2, *SIZE), np.nan), r"masks\[0\] holds values that are no numbers"),
    ],
)
def test_what_is_not_several_masks_is_refused(masks, message):
    with pytest.raises(BprError, match=message):
        GivenMasks.read(masks, "masks", DEFAULT)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, r"labels is None; expected an array"),
        (soft(), r"labels is an array of shape \(40, 52\) and dtype float64; expected integers"),
        (blob(SIZE), r"labels is an array of shape \(40, 52\) and dtype bool; expected integers"),
        (picture(SIZE), r"labels is an array of shape \(40, 52, 3\)"),
        (torch.full(SIZE, 2**40), r"labels holds labels from 1099511627776 to .*; expected 32-bit integers"),
    ],
)
def test_what_is_no_label_map_is_refused(labels, message):
    with pytest.raises(BprError, match=message):
        GivenLabels.read(labels, "labels", ())


@pytest.mark.parametrize(
    "ignore",
    [255, np.uint8(255), (255,), [255], {255}, frozenset({255}), np.array([255]), torch.tensor([255]), iter([255])],
)
def test_labels_to_ignore(ignore):
    assert ignored_labels(ignore) == frozenset({255})


def test_ranges_of_labels_to_ignore():
    assert ignored_labels(range(3)) == frozenset({0, 1, 2})
    assert ignored_labels(()) == frozenset()


@pytest.mark.parametrize("ignore", [None, "255", 0.5, [0.5], [None]])
def test_what_is_no_label_to_ignore(ignore):
    with pytest.raises(BprError, match=r"ignore is .*; expected a list of values, each a whole number"):
        ignored_labels(ignore)
