import numpy as np
import pytest
import torch
from PIL import Image

from bpr_cli.masks.masks import Mask
from bpr_cli.masks.soft import SoftMask
from bpr_cli.refinement.details import MaskDetails
from bpr_cli.refinement.image import ImagePass
from tests.inference.engines import blob, picture

SIZE = (40, 52)


def averages(refiner, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mean of all patches at a pixel, added up one by one; the mask where no patch lies."""
    first = ImagePass.begin(image, (Mask.from_array(mask),), refiner.passes[0])
    [outline] = first.outlines
    total, count = np.zeros(mask.shape), np.zeros(mask.shape)
    for x0, y0, x1, y1 in outline.boxes.tolist():
        single = ImagePass.begin(image, (Mask.from_array(mask),), refiner.passes[0])
        [alone] = single.outlines
        alone.boxes = np.array([[x0, y0, x1, y1]])
        [batch] = list(_batches(single))
        patch = refiner.predictor.predict(batch.crop(refiner.weights.card.input_size))[0]
        total[y0:y1, x0:x1] += patch / 255
        count[y0:y1, x0:x1] += 1
    return np.where(count > 0, total / np.maximum(count, 1), mask)


def _batches(image):
    from bpr_cli.refinement.image import fill_batches

    return fill_batches([(None, image)], 1)


def test_probabilities_are_the_averages_of_the_patches(refiner):
    refined, details = refiner.refine(picture(SIZE), blob(SIZE), return_details=True)
    np.testing.assert_allclose(details.probabilities, averages(refiner, picture(SIZE), blob(SIZE)), atol=2 / 65535)
    np.testing.assert_array_equal(refined, refiner.refine(picture(SIZE), blob(SIZE)))
    np.testing.assert_array_equal(details.probabilities > 0.5, refined)
    np.testing.assert_array_equal(details.changed, refined != blob(SIZE))
    assert details.probabilities.dtype == np.float32
    assert details.confidence.min() >= 0
    assert details.confidence.max() == 1


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_details_agree_with_the_mask_whatever_the_threshold(refiner, soft, threshold):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    given = np.clip((15 - np.hypot(rows - 20, columns - 25)) / 10 + 0.5, 0, 1).astype(np.float32)
    how = {"kind": "probabilities", "threshold": threshold, "soft": soft}
    refined, details = refiner.refine(picture(SIZE), given, **how, return_details=True)
    np.testing.assert_array_equal(refined, refiner.refine(picture(SIZE), given, **how))
    np.testing.assert_array_equal(details.probabilities > 0.5, refined > (threshold if soft else 0))
    np.testing.assert_array_equal(details.changed, (refined > (threshold if soft else 0)) != (given > threshold))


def test_masks_of_an_image_have_a_list_of_details(refiner):
    several = [blob(SIZE), Image.fromarray(blob(SIZE, 4))]
    refined, details = refiner.refine_masks(picture(SIZE), several, return_details=True)
    for given, out, each in zip(several, refined, details, strict=True):
        alone, its = refiner.refine(picture(SIZE), given, return_details=True)
        np.testing.assert_array_equal(np.asarray(out), np.asarray(alone))
        np.testing.assert_array_equal(each.probabilities, its.probabilities)
        np.testing.assert_array_equal(each.changed, np.asarray(out) != np.asarray(given))
    stack = torch.from_numpy(np.stack([blob(SIZE), blob(SIZE, 4)]))
    tensor, its = refiner.refine_masks(picture(SIZE), stack, return_details=True)
    assert isinstance(tensor, torch.Tensor)
    assert [one.boundary_confidence for one in its] == [one.boundary_confidence for one in details]
    assert refiner.refine_masks(picture(SIZE), [], return_details=True) == ([], [])


def test_confidence_of_the_boundary_by_hand():
    """A boundary between two columns; the four columns beside it are its pixels' neighbourhoods."""
    values = np.zeros((4, 8), np.uint8)
    values[:, 3], values[:, 4], values[:, 5:] = 51, 204, 255
    refined = SoftMask.with_foreground(values > 127, values, 127.5, 255)
    details = MaskDetails.of(Mask.from_array(values > 220), refined)
    assert details.boundary_confidence == pytest.approx(0.6, abs=1e-6)  # |2 x 0.2 - 1| and |2 x 0.8 - 1|
    assert details.changed.sum() == 4
    assert repr(details) == "<MaskDetails: 8 x 4 pixels, 4 changed, boundary 60% sure>"


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_without_boundary_has_no_confidence_there(refiner, value):
    _, details = refiner.refine(picture(SIZE), np.full(SIZE, value), return_details=True)
    assert details.boundary_confidence is None
    assert not details.changed.any()
    assert (details.probabilities == value).all()
    assert "no boundary" in repr(details)
