import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bpr_cli.errors import BprError
from bpr_cli.inference import predictor as predictor_module
from bpr_cli.inference.patch_model import PatchModel
from bpr_cli.inference.predictor import CPU_PASS, Predictor, is_out_of_memory
from bpr_cli.inference.settings import InferenceSettings
from bpr_cli.patches.crop import Patches
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import load_weights
from tests.inference.engines import CARDS, loaded, random_patches, untrained_network
from tests.patches.drawn import cropped

CPU_ALLOCATOR = "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"


class Echo(nn.Module):
    """Gives the mask back: logits of 9 for its side, whatever the image; notes the shapes it was asked for."""

    def __init__(self, scale: int = 1) -> None:
        super().__init__()
        self.scale = scale
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(x.shape))
        foreground = x[:, 3:] * 9
        return functional.avg_pool2d(torch.cat([-foreground, foreground], dim=1), self.scale)


class Crowded(Echo):
    """Runs out of memory above so many patches."""

    def __init__(self, most: int, error: RuntimeError) -> None:
        super().__init__()
        self.most, self.error = most, error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.most:
            raise self.error
        return super().forward(x)


class Wobbly(Echo):
    """Output that depends on the number of patches, as the last bits of a real network do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 0.01 * len(x)


def settings(**changed) -> InferenceSettings:
    return InferenceSettings(weights="unused", **{"device": "cpu", "backend": "pytorch", **changed})


def test_the_network_sees_normalised_rgb_and_a_signed_mask():
    card = WeightsCard("fake", "fake", mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 8.0))
    patches = random_patches(3)
    seen = PatchModel(Echo(), card).network_input(torch.from_numpy(patches.image), torch.from_numpy(patches.mask))
    assert seen.dtype == torch.float32
    assert seen.is_contiguous(memory_format=torch.channels_last)
    expected = (patches.image.astype(float) - [10, 20, 30]) / [2, 4, 8]
    np.testing.assert_allclose(seen[:, :3].permute(0, 2, 3, 1), expected, rtol=1e-6)
    np.testing.assert_array_equal(seen[:, 3], patches.mask * 2.0 - 1)


class Sloping(Echo):
    """Leans towards foreground from left to right, whatever it sees."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        slope = torch.linspace(-2, 2, x.shape[-1]).expand_as(x[:, 3:])
        return torch.cat([-slope, slope], dim=1) + super().forward(x) / 9


@pytest.mark.parametrize("by_card", [False, True])
def test_flipping_averages_a_patch_and_its_mirror_image(by_card):
    patches = random_patches(3)
    weights = loaded(Sloping(), patch_size=20, padding=6, flip=by_card)
    predicted = Predictor(weights, settings(), None if by_card else True).predict(patches)
    mirrored = Patches(patches.image[:, :, ::-1].copy(), patches.mask[:, :, ::-1].copy())
    plain = Predictor(weights, settings(), False)
    expected = (plain.predict(patches).astype(float) + plain.predict(mirrored)[:, :, ::-1]) / 2
    assert np.abs(plain.predict(patches) - expected).max() > 50
    np.testing.assert_allclose(predicted, expected, atol=1)


def test_without_mask_patches_the_network_sees_no_mask():
    card = WeightsCard("fake", "fake", mask_patch=False)
    patches = random_patches(3)
    image, mask = torch.from_numpy(patches.image), torch.from_numpy(patches.mask)
    seen = PatchModel(Echo(), card).network_input(image, mask)
    assert not seen[:, 3].any()
    shown = PatchModel(Echo(), WeightsCard("fake", "fake")).network_input(image, mask)
    assert torch.equal(seen[:, :3], shown[:, :3])


def test_the_context_is_cut_off():
    patches = random_patches(2)
    predicted = Predictor(loaded(Echo(), patch_size=20, padding=6), settings()).predict(patches)
    np.testing.assert_array_equal(predicted, patches.mask[:, 6:26, 6:26] * 255)


@pytest.mark.parametrize("scale", [1, 4])
def test_logits_are_brought_to_the_size_of_patch_and_context_before_softmax(scale):
    patches = random_patches(2)
    predicted = Predictor(loaded(Echo(scale), patch_size=40, padding=4), settings()).predict(patches)
    logits = Echo(scale)(torch.from_numpy(patches.mask)[:, None].expand(-1, 4, -1, -1).float() * 2 - 1)
    resized = functional.interpolate(logits, size=(48, 48), mode="bilinear", align_corners=False)
    expected = resized.softmax(1)[:, 1, 4:44, 4:44] * 255
    np.testing.assert_allclose(predicted, expected, atol=0.501)


def test_the_authors_pipeline_is_reproduced(shared_fixtures):
    with np.load(shared_fixtures / "pipeline_hrnet18s.npz") as arrays:
        reference = dict(arrays)
    boxes = np.array([[0, 0, 64, 64]])
    rgb, masks = reference["patch_bgr_u8"][..., ::-1], reference["patch_mask_u8"]
    parts = [cropped(image, mask > 0, boxes, 0, 128) for image, mask in zip(rgb, masks, strict=True)]
    patches = Patches(np.concatenate([part.image for part in parts]), np.concatenate([part.mask for part in parts]))
    np.testing.assert_array_equal(patches.mask, reference["coarse_mask_u8"] > 0)
    weights = load_weights(shared_fixtures / "hrnet18s_128.pth")
    seen = PatchModel(weights.network, weights.card).network_input(
        *map(torch.from_numpy, (patches.image, patches.mask))
    )
    np.testing.assert_allclose(seen[:, :3], reference["img_tensor"], atol=1e-5)
    predicted = Predictor(weights, settings()).predict(patches)
    np.testing.assert_allclose(predicted / 255, reference["prob64_test_float"], rtol=0, atol=0.5 / 255 + 1e-4)


@pytest.mark.parametrize("name", CARDS)
def test_predictions_do_not_depend_on_the_other_patches(name, weights_of):
    patches = random_patches(11)
    order = np.random.default_rng(0).permutation(11)
    shuffled = Patches(patches.image[order], patches.mask[order])
    reference = Predictor(load_weights(weights_of(name)), settings()).predict(patches)
    assert len(np.unique(reference)) > 50
    for batch_size in (3, 64):
        predictor = Predictor(load_weights(weights_of(name)), settings(batch_size=batch_size))
        np.testing.assert_array_equal(predictor.predict(patches), reference)
        np.testing.assert_array_equal(predictor.predict(shuffled), reference[order])
        alone = Patches(patches.image[7:8], patches.mask[7:8])
        np.testing.assert_array_equal(predictor.predict(alone), reference[7:8])


def test_every_pass_on_a_cpu_has_the_same_number_of_patches():
    patches = random_patches(19)
    results = []
    for batch_size in (1, 3, 8, 64):
        network = Wobbly()
        predictor = Predictor(loaded(network), settings(batch_size=batch_size))
        assert predictor.batch_size % CPU_PASS == 0
        assert predictor.batch_size - CPU_PASS < batch_size <= predictor.batch_size
        results.append(predictor.predict(patches))
        assert set(network.shapes) == {(CPU_PASS, 4, 32, 32)}
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_a_gpu_takes_whole_batches(monkeypatch):
    monkeypatch.setattr(predictor_module, "CPU", torch.device("meta"))
    network = Echo()
    predictor = Predictor(loaded(network), settings(batch_size=5))
    assert (predictor.backend.pass_size, predictor.batch_size) == (5, 5)


def test_no_patches_need_no_pass():
    network = Echo()
    predicted = Predictor(loaded(network), settings()).predict(random_patches(0))
    assert predicted.shape == (0, 4, 4)
    assert network.shapes == []


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError("CUDA out of memory."), RuntimeError(CPU_ALLOCATOR)])
def test_passes_are_halved_until_they_fit_into_memory(error):
    patches = random_patches(11)
    network = Crowded(3, error)
    predictor = Predictor(loaded(network), settings())
    np.testing.assert_array_equal(predictor.predict(patches), patches.mask[:, 14:18, 14:18] * 255)
    assert predictor.backend.pass_size == 2
    assert {shape[0] for shape in network.shapes} == {2}
    assert predictor.predict(patches).shape == (11, 4, 4)
    assert len(network.shapes) == 12


def test_threads_that_run_out_of_memory_together_halve_the_passes_once(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    both_fail = threading.Barrier(2, timeout=30)

    class CrowdedInPairs(Crowded):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) > self.most:
                both_fail.wait()
            return super().forward(x)

    patches = random_patches(3)
    predictor = Predictor(loaded(CrowdedInPairs(4, RuntimeError(CPU_ALLOCATOR))), settings())
    with ThreadPoolExecutor(2) as threads:
        for predicted in threads.map(predictor.predict, [patches, patches]):
            np.testing.assert_array_equal(predicted, patches.mask[:, 14:18, 14:18] * 255)
    assert predictor.backend.pass_size == 4


def test_memory_for_not_even_one_patch_is_an_error_with_advice():
    predictor = Predictor(loaded(Crowded(0, RuntimeError(CPU_ALLOCATOR))), settings())
    with pytest.raises(BprError, match="cpu does not have enough memory for one patch"):
        predictor.predict(random_patches(2))


def test_other_errors_of_the_network_are_raised():
    predictor = Predictor(loaded(Crowded(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))), settings())
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        predictor.predict(random_patches(2))


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: out of memory",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "DefaultCPUAllocator: not enough memory: you",
    ],
)
def test_memory_errors_known_only_by_their_words(words):
    assert is_out_of_memory(RuntimeError(words))
    assert not is_out_of_memory(RuntimeError("CUDNN_STATUS_NOT_SUPPORTED"))


def test_a_real_error_of_the_cpu_allocator_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_holds_in_every_thread(precision):
    seen = []

    class Probe(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = self.conv(x)
            seen.append(out.dtype)
            return out

    predictor = Predictor(loaded(Probe()), settings(precision=precision))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor.predict(random_patches(1))
        # As a replica of DataParallel: not through ``predict``, in a thread that inherits nothing from it.
        inputs = [torch.from_numpy(part) for part in (random_patches(1).image, random_patches(1).mask)]
        thread = threading.Thread(target=lambda: predictor.backend._model(*inputs))
        thread.start()
        thread.join()
    assert seen == [getattr(torch, precision)] * 2


@pytest.mark.parametrize("name", CARDS)
def test_low_precision_stays_near(name):
    patches = random_patches(4)
    network = untrained_network(name)
    sizes = {"patch_size": 16, "padding": 8}
    full = Predictor(loaded(network, **sizes), settings()).predict(patches)
    low = Predictor(loaded(network, **sizes), settings(precision="bfloat16")).predict(patches)
    assert np.abs(full.astype(int) - low).mean() < 5


def test_several_devices_share_the_passes(monkeypatch):
    built = []

    class Split(nn.Module):
        """What DataParallel does, on one device."""

        def __init__(self, model: nn.Module, devices: list[torch.device]) -> None:
            super().__init__()
            self.model, self.devices = model, devices
            built.append(self)

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            chunks = zip(*(part.chunk(len(self.devices)) for part in inputs), strict=True)
            return torch.cat([self.model(*chunk) for chunk in chunks])

    devices = [torch.device("cpu", 0), torch.device("cpu", 1)]
    monkeypatch.setattr(predictor_module, "parse_devices", lambda text: devices if text == "cuda:0,1" else [])
    monkeypatch.setattr(nn, "DataParallel", Split)
    patches = random_patches(7)
    predictor = Predictor(loaded(Echo()), settings(device="cuda:0,1", batch_size=4))
    assert predictor.devices == devices
    assert isinstance(built[0].model, PatchModel)
    assert not built[0].model.training
    np.testing.assert_array_equal(predictor.predict(patches), patches.mask[:, 14:18, 14:18] * 255)
    assert {shape[0] for shape in built[0].model.network.shapes} == {2}
    for copied in (deepcopy(predictor), pickle.loads(pickle.dumps(predictor))):
        assert copied.devices == devices
        np.testing.assert_array_equal(copied.predict(patches), predictor.predict(patches))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("name", CARDS)
def test_a_gpu_predicts_like_a_cpu(name, weights_of):
    patches = random_patches(19)
    reference = Predictor(load_weights(weights_of(name)), settings()).predict(patches)
    predictor = Predictor(load_weights(weights_of(name)), settings(device="cuda:0", batch_size=8))
    predicted = predictor.predict(patches)
    assert np.abs(predicted.astype(int) - reference).max() <= 3
    alone = Patches(patches.image[7:8], patches.mask[7:8])
    np.testing.assert_array_equal(predictor.predict(alone), predicted[7:8])
