"""The node is loaded and run as ComfyUI does: from a file in ``custom_nodes``, by the names in its mappings."""

import importlib.util

import numpy as np
import pytest
import torch

import bpr_cli.integrations.comfyui as module
from bpr_cli.errors import BprError
from tests.inference.engines import blob, picture

SIZE = (40, 52)
LINE = "from bpr_cli.integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS"


@pytest.fixture
def node(tmp_path, monkeypatch, refiner):
    """The class of the node, with a random network."""
    assert LINE in module.__doc__
    monkeypatch.setattr(module, "_refiner", lambda weights: {"fast": refiner}[weights])
    file = tmp_path / "bpr.py"
    file.write_text(LINE)
    spec = importlib.util.spec_from_file_location("custom_nodes.bpr", file)
    custom = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(custom)
    assert custom.NODE_CLASS_MAPPINGS.keys() == custom.NODE_DISPLAY_NAME_MAPPINGS.keys()
    [kind] = custom.NODE_CLASS_MAPPINGS.values()
    return kind


def run(node, **given):
    """The outputs for some inputs; widgets have their defaults."""
    inputs = node.INPUT_TYPES()["required"]
    widgets = {name: spec[1]["default"] for name, spec in inputs.items() if len(spec) > 1}
    assert inputs.keys() - widgets.keys() == given.keys()
    outputs = getattr(node(), node.FUNCTION)(**given, **widgets)
    assert len(outputs) == len(node.RETURN_TYPES)
    return outputs


def test_images_and_masks(node, refiner):
    images = torch.from_numpy(np.stack([picture(SIZE), picture(SIZE, 1)])) / 255
    masks = torch.from_numpy(np.stack([blob(SIZE), blob(SIZE, 1)])).float()
    [out] = run(node, image=images, mask=masks)
    assert (out.shape, out.dtype) == (masks.shape, torch.float32)
    for number in range(2):
        expected = refiner.refine(picture(SIZE, number), blob(SIZE, number))
        np.testing.assert_array_equal(out[number] > 0.5, expected)
    assert 0 <= out.min() < out.max() <= 1
    [shared] = run(node, image=images, mask=masks[:1])
    assert torch.equal(shared[0], out[0])
    assert torch.equal(run(node, image=images[:1], mask=masks[0])[0], out[:1])


def test_weights_are_those_that_ship(node):
    choices, _ = node.INPUT_TYPES()["required"]["weights"]
    assert choices == ["best", "fast", "open"]


def test_an_empty_mask_of_another_size_is_refused(node):
    """ComfyUI gives 64 x 64 zeros for an image without alpha."""
    with pytest.raises(BprError, match=r"the image is 52 x 40 pixels but masks\[0\] 64 x 64"):
        run(node, image=torch.zeros(1, *SIZE, 3), mask=torch.zeros(1, 64, 64))
