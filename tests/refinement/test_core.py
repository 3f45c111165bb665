import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.masks.masks import Mask
from bpr_cli.refinement.core import keep_core
from bpr_cli.refinement.refiner import Refiner
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.weights.files import load_weights, save_weights
from tests.inference.engines import blob, picture


def core_of(coarse: np.ndarray, depth: float) -> np.ndarray:
    """The core by its definition: the distance to every other pixel, all around the frame too."""
    framed = np.pad(coarse, 1)
    others, core = np.argwhere(~framed), np.zeros_like(framed)
    for place in np.argwhere(framed):
        core[tuple(place)] = math.sqrt(((others - place) ** 2).sum(1).min()) > depth * math.sqrt(coarse.sum())
    return core[1:-1, 1:-1]


@st.composite
def pairs_of_masks(draw) -> tuple[np.ndarray, np.ndarray]:
    """A mask, and what might have become of it, at any place in the frame and possibly beside it."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    coarse = random.random(size) < draw(st.sampled_from([0, 0.5, 0.9, 0.97, 1]))
    return coarse, random.random(size) < draw(st.sampled_from([0, 0.1, 0.5, 0.9]))


@given(pairs_of_masks(), st.sampled_from([0, 0.1, 0.17, 0.2, 0.35, 0.5, 1]))
@settings(max_examples=200)
def test_the_core_stays_and_nothing_else_changes(pair, depth):
    coarse, refined = pair
    kept = keep_core(Mask.from_array(coarse), Mask.from_array(refined), depth)
    np.testing.assert_array_equal(kept.to_array(), refined | core_of(coarse, depth))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 40), (7, 90)])
def test_at_a_depth_of_one_no_mask_has_a_core(shape):
    assert not core_of(np.ones(shape, bool), 1).any()
    empty = Mask.from_array(np.zeros(shape, bool))
    assert keep_core(Mask.from_array(np.ones(shape, bool)), empty, 1) is empty


@pytest.mark.parametrize("scales", [None, (2.0, 1.0)])
def test_the_refiner_keeps_cores_of_masks_in_all_rounds_and_none_of_labels(make_refiner, scales):
    size = (60, 70)
    masks = [blob(size, seed) for seed in range(4)]
    image, cores = picture(size), [core_of(mask, 0.1) for mask in masks]
    free, keeping = (make_refiner(scales=scales, core=core) for core in (None, 0.1))
    assert any((core & ~mask).any() for core, mask in zip(cores, free.refine_masks(image, masks), strict=True))
    assert not any((core & ~mask).any() for core, mask in zip(cores, keeping.refine_masks(image, masks), strict=True))
    labels = sum((number + 1) * mask for number, mask in enumerate(masks))
    np.testing.assert_array_equal(keeping.refine_labels(image, labels), free.refine_labels(image, labels))


def test_weights_say_what_they_keep_and_a_setting_overrules_them(tmp_path, weights_of):
    plain = load_weights(str(weights_of("unet-s")))
    save_weights(tmp_path / "keeping.safetensors", plain.network, replace(plain.card, core=0.1))
    mask, image = blob((60, 70)), picture((60, 70))

    def refined(weights, core):
        refiner = Refiner(RefineSettings(weights=str(weights), device="cpu", core=core))
        return refiner.refine(image, mask)

    by_card, by_setting = refined(tmp_path / "keeping.safetensors", None), refined(weights_of("unet-s"), 0.1)
    np.testing.assert_array_equal(by_card, by_setting)
    without = refined(tmp_path / "keeping.safetensors", 1)
    np.testing.assert_array_equal(without, refined(weights_of("unet-s"), None))
    assert (by_card != without).any()
