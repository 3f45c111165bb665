import numpy as np
import pytest

from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.refinement.check import Workload, estimate, seconds_per_patch, workload
from bpr_cli.refinement.image import ImagePass
from bpr_cli.refinement.report import peak_memory
from bpr_cli.refinement.segments import segments_of
from tests.inference.engines import blob, picture

SIZE = (60, 70)
MASKS = tuple(Mask.from_array(blob(SIZE, seed)) for seed in range(3))
LABELS = LabelMap(sum(blob(SIZE, seed).astype(np.int32) for seed in range(3)), frozenset({3}))


@pytest.mark.parametrize("prediction", [MASKS, LABELS, (), LabelMap(np.full(SIZE, 3, np.int32), frozenset({3}))])
def test_segments_and_patches_are_those_that_are_cropped(refiner, prediction):
    counted = workload(refiner, segments_of(prediction, SIZE), SIZE)
    image_pass = ImagePass.begin(picture(SIZE), prediction, refiner.passes[0])
    assert (counted.segments, counted.patches) == (len(image_pass.outlines), len(image_pass))
    held = image_pass.image.nbytes + len(image_pass) * 16**2
    assert held <= counted.memory <= held + 4 * LABELS.labels.nbytes


def test_patches_of_all_passes_are_counted(make_refiner):
    both, first, last = (make_refiner(scales=scales) for scales in ((2.0, 1.0), (2.0,), (1.0,)))
    mask = segments_of(MASKS[:1], SIZE)
    patches = [workload(each, mask, SIZE).patches for each in (both, first, last)]
    assert patches[0] == patches[1] + patches[2]


def test_time_follows_the_patches_and_memory_the_largest_image(refiner):
    nothing, some = (estimate(refiner, loads) for loads in ([], [Workload(3, 10**6, 10**9), Workload(1, 10**6, 10)]))
    assert nothing.seconds == 0
    assert some.seconds * some.patches_per_second == pytest.approx(2 * 10**6, rel=0.05)
    assert some.memory is None or 2 * 10**9 <= some.memory - (nothing.memory or 0) < 3 * 10**9


def test_full_passes_are_timed(refiner, monkeypatch):
    seen = []
    predict = refiner.predictor.predict
    monkeypatch.setattr(refiner.predictor, "predict", lambda patches: seen.append(len(patches)) or predict(patches))
    assert seconds_per_patch(refiner) > 0
    assert seen == [refiner.predictor.at_once] * 4


def test_peak_memory_only_grows():
    before = peak_memory()
    if before is None:
        pytest.skip("this system does not tell")
    block = np.ones(before + 50_000_000, np.uint8)
    assert peak_memory() >= block.nbytes
