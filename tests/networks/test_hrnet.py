"""The network against reference arrays from the authors' code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from bpr_cli.networks.hrnet import HRNet, HRNetSettings


def loaded(folder: Path, dtype: torch.dtype) -> HRNet:
    network = HRNet().to(dtype)
    state = torch.load(folder / "hrnet18s_128.pth", weights_only=True)["state_dict"]
    network.load_state_dict(state, strict=True)
    return network


@pytest.fixture(scope="module")
def network(shared_fixtures: Path) -> HRNet:
    return loaded(shared_fixtures, torch.float32).eval()


@pytest.fixture(scope="module")
def reference(shared_fixtures: Path) -> dict[str, np.ndarray]:
    with np.load(shared_fixtures / "hrnet18s_128.npz") as arrays:
        return dict(arrays)


def test_backbone_features_equal_the_reference(network, reference):
    with torch.inference_mode():
        features = network.backbone(torch.from_numpy(reference["x"]))
    assert len(features) == 4
    for index, feature in enumerate(features):
        expected = reference[f"feat{index}"]
        # Values reach 67, where the reference's own float32 rounding is 1.6e-4 (measured in float64).
        assert np.abs(feature.numpy() - expected).max() < 1e-5 * np.abs(expected).max()


def test_logits_equal_the_reference(network, reference):
    x = torch.from_numpy(reference["x"])
    with torch.inference_mode():
        head_logits = network.decode_head(network.backbone(x))
        logits = network(x)
    np.testing.assert_allclose(head_logits.numpy(), reference["head_logits"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(logits.numpy(), reference["logits128"], rtol=0, atol=1e-4)


def test_probabilities_at_patch_size_equal_those_the_authors_reassemble(network, reference):
    with torch.inference_mode():
        logits = network(torch.from_numpy(reference["x"]))
        at_patch_size = functional.interpolate(logits, size=(64, 64), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(at_patch_size.numpy(), reference["logits64"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(at_patch_size.softmax(1)[:, 1], reference["prob64_test_float"], rtol=0, atol=1e-4)


def test_real_patches_give_the_reference_probabilities(network, shared_fixtures):
    with np.load(shared_fixtures / "pipeline_hrnet18s.npz") as arrays:
        image, mask = arrays["img_tensor"], arrays["coarse_mask_u8"]
        expected = arrays["prob64_test_float"]
    image = torch.from_numpy(image).float().reshape(-1, 3, 128, 128)
    mask = torch.from_numpy((mask > 0).astype(np.float32)).reshape(-1, 1, 128, 128) * 2 - 1
    with torch.inference_mode():
        logits = network(torch.cat([image, mask], dim=1))
        at_patch_size = functional.interpolate(logits, size=(64, 64), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(at_patch_size.softmax(1)[:, 1], expected.reshape(-1, 64, 64), rtol=0, atol=1e-4)


def test_training_step_equals_the_reference(shared_fixtures):
    with np.load(shared_fixtures / "train_hrnet18s.npz") as arrays:
        reference = dict(arrays)
    # In float64: gradients of 20 layers of batch norm amplify the rounding of float32 to percents, and differently
    # on every processor.
    network = loaded(shared_fixtures, torch.float64).train()
    logits = network(torch.from_numpy(reference["x"]).double())
    loss = functional.cross_entropy(logits, torch.from_numpy(reference["gt"])[:, 0])
    loss.backward()

    assert loss.item() == pytest.approx(float(reference["loss"]), abs=1e-5)
    gradients = {name: parameter.grad.numpy() for name, parameter in network.named_parameters()}
    total = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
    assert total == pytest.approx(float(reference["grad_norm_total"]), rel=1e-3)
    state = network.state_dict()
    for key, expected in reference.items():
        kind, _, name = key.partition(":")
        if kind == "grad":
            assert np.linalg.norm(gradients[name] - expected) < 5e-3 * np.linalg.norm(expected), name
        elif kind == "after":
            np.testing.assert_allclose(state[name].numpy(), expected, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("size", [16, 32, 80, 128])
def test_output_has_the_size_of_the_input(size):
    network = HRNet(HRNetSettings(4, 1, (1, 1, 1), 1)).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 4, size, size)).shape == (2, 2, size, size)
