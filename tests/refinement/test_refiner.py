import doctest
import pickle
import re
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from copy import copy, deepcopy
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import bpr_cli
from bpr_cli.errors import BprError
from bpr_cli.refinement import refiner as refiner_module
from bpr_cli.refinement.networks import RefinementNetworks
from bpr_cli.refinement.refiner import Refiner
from bpr_cli.refinement.settings import RefineSettings
from tests.inference.engines import blob, picture
from tests.refinement.given_cases import IMAGES, MASKS, SHAPES, WRAPPED_IMAGES

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
    out = refiner.refine(picture(SIZE), values, kind="mask")
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


@given(
    image=st.sampled_from(sorted(IMAGES)),
    wrapped=st.sampled_from(sorted(WRAPPED_IMAGES)),
    mask=st.sampled_from(sorted(MASKS)),
    shape=st.sampled_from(sorted(SHAPES)),
    tensor=st.booleans(),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_kind_of_one_image_and_one_mask_gives_one_result(refiner, refined, image, wrapped, mask, shape, tensor):
    given_mask = SHAPES[shape](MASKS[mask](blob(SIZE)))
    given_mask = torch.from_numpy(given_mask) if tensor else given_mask
    out = refiner.refine(WRAPPED_IMAGES[wrapped](IMAGES[image](picture(SIZE))), given_mask)
    assert (type(out), out.shape, out.dtype) == (type(given_mask), given_mask.shape, given_mask.dtype)
    np.testing.assert_array_equal(np.asarray(out).reshape(SIZE) != 0, refined)


def test_pillow_images_paths_and_lists_give_the_same_result(refiner, refined, tmp_path):
    image, mask = Image.fromarray(picture(SIZE)), Image.fromarray(blob(SIZE))
    image.save(tmp_path / "image.png")
    mask.convert("L").save(tmp_path / "mask.png")
    by_pillow = refiner.refine(image, mask)
    assert by_pillow.mode == "1"
    np.testing.assert_array_equal(np.asarray(by_pillow), refined)
    by_path = refiner.refine(str(tmp_path / "image.png"), tmp_path / "mask.png")
    np.testing.assert_array_equal(by_path, refined * np.uint8(255))
    assert refiner.refine(picture(SIZE).tolist(), blob(SIZE).tolist()) == refined.tolist()


def test_probabilities_and_logits_give_the_result_of_their_mask(refiner, refined):
    logits = np.where(blob(SIZE), 3.0, -2.0)
    assert np.unique(refiner.refine(picture(SIZE), logits, kind="logits")).tolist() == [0, 1]
    np.testing.assert_array_equal(refiner.refine(picture(SIZE), logits, kind="logits") == 1, refined)
    probabilities = 1 / (1 + np.exp(-logits))
    np.testing.assert_array_equal(refiner.refine(picture(SIZE), probabilities, kind="probabilities") == 1, refined)
    stack = refiner.refine_masks(picture(SIZE), torch.from_numpy(probabilities)[None, None], kind="probabilities")
    np.testing.assert_array_equal(stack[0, 0] == 1, refined)
    nothing = refiner.refine(picture(SIZE), probabilities, kind="probabilities", threshold=0.99)
    assert not nothing.any()


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_soft_results_have_the_foreground_of_hard_ones(refiner, threshold):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    probabilities = np.clip((15 - np.hypot(rows - 20, columns - 25)) / 10 + 0.5, 0, 1).astype(np.float32)
    how = {"kind": "probabilities", "threshold": threshold}
    hard = refiner.refine(picture(SIZE), probabilities, **how)
    soft = refiner.refine(picture(SIZE), probabilities, **how, soft=True)
    np.testing.assert_array_equal(soft > threshold, hard == 1)
    assert len(np.unique(soft)) > 50
    stack = refiner.refine_masks(picture(SIZE), torch.from_numpy(probabilities)[None], **how, soft=True)
    np.testing.assert_array_equal(stack[0], soft)


def test_generators_and_stacks_of_masks(refiner, refined):
    stack = np.stack([blob(SIZE), blob(SIZE, 4)])
    expected = np.stack([refined, refiner.refine(picture(SIZE), blob(SIZE, 4))])
    np.testing.assert_array_equal(refiner.refine_masks(picture(SIZE), stack), expected)
    np.testing.assert_array_equal(refiner.refine_masks(picture(SIZE), (mask for mask in stack)), expected)


def test_label_maps_of_every_kind(refiner):
    expected = refiner.refine_labels(picture(SIZE), label_map())
    tensor = refiner.refine_labels(picture(SIZE), torch.from_numpy(label_map()).long()[None], ignore=255)
    assert tensor.dtype == torch.int64
    np.testing.assert_array_equal(tensor[0], expected)
    picture_of_labels = refiner.refine_labels(picture(SIZE), Image.fromarray(label_map()))
    np.testing.assert_array_equal(np.asarray(picture_of_labels), expected)
    assert refiner.refine_labels(picture(SIZE), label_map().tolist()) == expected.tolist()


@pytest.mark.parametrize("image", [None, np.zeros((1, *SIZE, 3)), np.zeros((*SIZE, 2)), "none.png"])
def test_what_is_no_image_is_refused(refiner, image):
    with pytest.raises(BprError, match=r"^image is |none\.png does not exist"):
        refiner.refine(image, blob(SIZE))
    with pytest.raises(BprError, match=r"^image is |none\.png does not exist"):
        refiner.refine_labels(image, label_map())


@pytest.mark.parametrize(
    "mask", [None, np.zeros(SIZE[0]), np.zeros((0, 4)), np.full(SIZE, "yes"), np.zeros(SIZE, object)]
)
def test_what_is_no_mask_is_refused(refiner, mask):
    with pytest.raises(BprError, match=r"^mask is "):
        refiner.refine(picture(SIZE), mask)


@pytest.mark.parametrize("mask", [blob((SIZE[0], SIZE[1] + 1)), blob((SIZE[1], SIZE[0]))])
def test_a_mask_of_another_size_is_refused(refiner, mask):
    with pytest.raises(BprError, match="the image is 52 x 40 pixels but mask"):
        refiner.refine(picture(SIZE), mask)
    with pytest.raises(BprError, match=r"the image is 52 x 40 pixels but masks\[1\]"):
        refiner.refine_masks(picture(SIZE), [blob(SIZE), mask])
    with pytest.raises(BprError, match="the image is 52 x 40 pixels but labels"):
        refiner.refine_labels(picture(SIZE), mask.astype(int), ignore=(0, 1))


@pytest.mark.parametrize("labels", [np.zeros(SIZE), np.zeros(SIZE, bool)])
def test_labels_are_integers(refiner, labels):
    with pytest.raises(BprError, match="expected integers"):
        refiner.refine_labels(picture(SIZE), labels)


@pytest.mark.parametrize("label", [2**31, -(2**31) - 1])
def test_labels_beyond_32_bits_are_refused(refiner, label):
    labels = np.zeros(SIZE, np.int64)
    labels[0, 0] = label
    with pytest.raises(BprError, match=f"labels.*{label}.*expected 32-bit integers"):
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


@pytest.mark.parametrize("wrong", [None, "fast", {"weights": "fast"}])
def test_settings_are_settings(wrong):
    with pytest.raises(BprError, match=r"settings is .*; expected RefineSettings"):
        Refiner(wrong)


def test_settings_by_name(weights_of):
    weights = str(weights_of("unet-s"))
    refiner = Refiner(weights=weights, device="cpu", scales=[2, 1])
    assert refiner.settings == RefineSettings(weights=weights, device="cpu", scales=(2, 1))
    assert Refiner(refiner.settings, batch_size=3).settings == RefineSettings(
        weights=weights, device="cpu", scales=(2, 1), batch_size=3
    )
    with pytest.raises(BprError, match="weight is unknown; expected weights, device"):
        Refiner(weight=weights)
    with pytest.raises(BprError, match=r"batch_size is 0; expected a whole number of 1 or more"):
        Refiner(batch_size=0)


def test_a_refiner_shows_itself(make_refiner, weights_of):
    refiner = make_refiner(backend="pytorch", scales=(2, 1))
    weights = str(weights_of("unet-s"))
    given = f"weights={weights!r}, device='cpu', backend='pytorch', scales=(2.0, 1.0)"
    where = "on cpu with pytorch"
    assert repr(refiner) == f"<Refiner({given}): small unet (unet-s), patches of 32, 16 pixels, {where}>"
    refiner.close()
    assert repr(refiner).endswith("closed>")


def test_a_closed_refiner_says_so(make_refiner, refined):
    with make_refiner() as refiner:
        np.testing.assert_array_equal(refiner.refine(picture(SIZE), blob(SIZE)), refined)
    with pytest.raises(BprError, match="this Refiner is closed"):
        refiner.refine(picture(SIZE), blob(SIZE))
    refiner.close()
    with pytest.raises(ZeroDivisionError), make_refiner() as refiner:
        1 / 0  # noqa: B018
    with pytest.raises(BprError, match="this Refiner is closed"):
        copy(refiner).refine_labels(picture(SIZE), label_map())


def test_closed_networks_say_so_by_their_own_name(weights_of):
    with RefinementNetworks(weights=str(weights_of("unet-s")), device="cpu", backend="pytorch") as networks:
        assert networks.predictor.batch_size
    with pytest.raises(BprError, match="this RefinementNetworks is closed"):
        networks.predictor  # noqa: B018


def test_the_log_tells_what_is_loaded_and_what_became_of_images(make_refiner, caplog):
    with caplog.at_level("DEBUG", logger="bpr_cli"):
        refiner = make_refiner()
        out = refiner.refine(picture(SIZE), blob(SIZE))
    loaded, refined = caplog.records
    assert (loaded.levelname, loaded.getMessage()) == ("INFO", f"loaded {refiner!r}")
    changed = (out != blob(SIZE)).sum()
    assert refined.levelname == "DEBUG"
    assert refined.getMessage().startswith("refined 52 x 40 pixels: 1 segments, ")
    assert f"{changed} pixels changed" in refined.getMessage()


@pytest.mark.parametrize("backend", ["pytorch", "openvino"])
def test_threads_refine_as_one_after_the_other(make_refiner, backend):
    if backend == "openvino":
        pytest.importorskip("openvino")
        pytest.importorskip("onnx")
    refiner = make_refiner(backend=backend)
    cases = [(picture(SIZE, seed), blob(SIZE, seed)) for seed in range(8)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda case: refiner.refine(*case), cases * 2))
    for case, out in zip(cases * 2, together, strict=True):
        np.testing.assert_array_equal(out, refiner.refine(*case))


def test_copies_and_pickles_refine_alike(refiner, refined):
    for other in (copy(refiner), deepcopy(refiner), pickle.loads(pickle.dumps(refiner))):
        np.testing.assert_array_equal(other.refine(picture(SIZE), blob(SIZE)), refined)
        assert other.settings == refiner.settings
        assert other.weights.digest == refiner.weights.digest


def test_a_refiner_works_in_a_spawned_process(refiner, refined):
    with ProcessPoolExecutor(1, get_context("spawn")) as processes:
        out = processes.submit(refiner.refine, picture(SIZE), blob(SIZE)).result()
    np.testing.assert_array_equal(out, refined)


def test_the_examples_of_its_docstrings_hold():
    names = {"np": np, "torch": torch, "Image": Image, "bpr_cli": bpr_cli}
    assert doctest.testmod(refiner_module, extraglobs=names).failed == 0


def test_the_page_for_one_image_holds(tmp_path, monkeypatch):
    """Its Python runs from top to bottom, with the inputs that it only names."""
    page = Path(bpr_cli.__file__).parents[1] / "docs/how-to/one-image.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 8
    Image.fromarray(picture(SIZE)).save(tmp_path / "photo.jpg")
    Image.fromarray(blob(SIZE)).convert("L").save(tmp_path / "mask.png")
    logits = torch.from_numpy(blob(SIZE)).float() * 8 - 4
    names = {"logits": logits, "output": {"masks": logits.sigmoid()[None, None]}}
    names |= {"other_mask": blob(SIZE, 4), "labels": label_map()}
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(block, names)
    assert names["refined"].shape == SIZE
    assert 0 < names["details"].boundary_confidence <= 1
    assert len(names["refined_masks"]) == 2
    assert names["refined_labels"].shape == SIZE
