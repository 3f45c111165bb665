"""The command is found, imported and run as napari does: by its manifest, and as a form whose result is a layer."""

from pathlib import Path

import numpy as np
import pytest

import bpr_cli.integrations.napari as module
from bpr_cli.errors import BprError
from bpr_cli.integrations.napari import refine_labels
from tests.inference.engines import blob, picture

SIZE = (40, 52)
MANIFEST = Path(module.__file__).with_suffix(".yaml")
LABELS = blob(SIZE).astype(np.int32) * 5 + blob(SIZE, 4)


@pytest.fixture(autouse=True)
def random_network(monkeypatch, refiner):
    monkeypatch.setattr(module, "_refiner", lambda: refiner)


def test_background_competes_unless_it_shall_stay(refiner):
    expected = refiner.refine_labels(picture(SIZE), LABELS, ignore=())
    np.testing.assert_array_equal(refine_labels(picture(SIZE), LABELS), expected)
    assert ((expected == 0) != (LABELS == 0)).any()
    stays = refine_labels(picture(SIZE), LABELS, background_stays=True)
    np.testing.assert_array_equal(stays == 0, LABELS == 0)
    assert stays.dtype == LABELS.dtype


@pytest.mark.parametrize("channels", [(), (3,)])
def test_every_plane_of_a_stack(channels):
    stack = np.random.default_rng(0).integers(0, 4096, (2, 3, *SIZE, *channels)).astype(np.uint16)
    labels = np.stack([[LABELS, LABELS[::-1], LABELS[:, ::-1]]] * 2)
    out = refine_labels(stack, labels)
    for place in np.ndindex(2, 3):
        np.testing.assert_array_equal(out[place], refine_labels(stack[place], labels[place]))


def test_layers_of_different_sizes_are_refused():
    with pytest.raises(BprError, match=r"image has the shape \(40, 52, 3\) and the labels \(52, 40\)"):
        refine_labels(picture(SIZE), LABELS.T)


def test_napari_finds_and_runs_the_command():
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    plugins = npe2.PluginManager()
    plugins.register(manifest)
    [widget] = plugins.iter_widgets()
    plugins.activate(manifest.name)
    out = plugins.commands.execute(widget.command, (picture(SIZE), LABELS))
    np.testing.assert_array_equal(out, refine_labels(picture(SIZE), LABELS))


def test_the_form_runs_on_layers(monkeypatch):
    """Without a window: the layers of a viewer, and the form that napari makes of the function."""
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    pytest.importorskip("napari")
    pytest.importorskip("qtpy.QtWidgets")
    from magicgui import magicgui
    from napari.components import ViewerModel

    viewer = ViewerModel()
    image, labels = viewer.add_image(picture(SIZE)), viewer.add_labels(LABELS)
    form = magicgui(refine_labels)
    assert [widget.name for widget in form] == ["image", "label_map", "background_stays", "call_button"]
    form.image.choices, form.label_map.choices = [image.data], [labels.data]
    np.testing.assert_array_equal(form(), refine_labels(image.data, labels.data))
