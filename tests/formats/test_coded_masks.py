"""Masks that stay run lengths, beside pycocotools and beside masks decoded one by one."""

import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from bpr_cli.formats import rle
from bpr_cli.formats.coded_masks import CodedMask, coded_overlaps, read_coded

stacks = st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)).flatmap(lambda shape: arrays(bool, shape))


def encoded(mask):
    found = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": found["counts"].decode()}


@given(stacks)
def test_all_masks_of_an_image_are_read_in_one_pass(stack):
    masks = read_coded([encoded(mask) for mask in stack], stack.shape[1:])
    for mask, array in zip(masks, stack, strict=True):
        alone = rle.decode(encoded(array), stack.shape[1:])
        assert (mask.box, mask.area, mask.size) == (alone.box, array.sum(), array.shape)
        assert np.array_equal(mask.to_array(), array)


@given(stacks, st.data())
def test_overlaps_are_those_of_pycocotools(stack, data):
    crowd = data.draw(arrays(bool, len(stack)))
    masks = read_coded([encoded(mask) for mask in stack], stack.shape[1:])
    plain = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in stack]
    assert np.array_equal(coded_overlaps(masks, masks, crowd), coco_mask.iou(plain, plain, crowd.astype(np.uint8)))


texts = st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=12) | st.text(max_size=12)


@given(st.lists(texts, max_size=4), st.integers(1, 6), st.integers(1, 6))
def test_any_text_is_read_as_if_alone_or_left_to_the_decoder(texts, height, width):
    segmentations = [{"size": [height, width], "counts": text} for text in texts]
    for segmentation, mask in zip(segmentations, read_coded(segmentations, (height, width)), strict=True):
        if mask is not None:
            assert np.array_equal(mask.crop, rle.decode(segmentation, (height, width)).crop)


def test_other_forms_are_left_to_the_decoder():
    square = np.zeros((6, 6), bool)
    square[1:4, 2:5] = True
    forms = [
        encoded(square),
        {"size": [6, 6], "counts": [36]},
        {"size": [5, 5], "counts": "i0"},
        [],
        [[1, 1, 4, 1, 4, 4]],
    ]
    masks = read_coded(forms, (6, 6))
    assert [isinstance(mask, CodedMask) for mask in masks] == [True, False, False, False, True]
    assert np.array_equal(masks[4].to_array(), rle.decode(forms[4], (6, 6)).to_array())


def test_a_mask_survives_pickling():
    mask = read_coded([encoded(np.eye(4, dtype=bool))], (4, 4))[0]
    assert np.array_equal(pickle.loads(pickle.dumps(mask)).to_array(), np.eye(4))
