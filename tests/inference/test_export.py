"""Exported networks: other programs run them as PyTorch does, and find the card in their metadata."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from bpr_cli.errors import BprError
from bpr_cli.inference import export
from bpr_cli.inference.export import export_weights
from bpr_cli.inference.patch_model import PatchModel
from bpr_cli.inference.settings import ExportSettings
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import load_weights, save_weights
from tests.cli.worlds import REPOSITORY
from tests.inference.engines import CARDS, random_patches, untrained_network


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights that average mirrored patches."""
    card = WeightsCard("mirrored", "unet-s", patch_size=16, padding=8, input_size=32, flip=True, core=0.2)
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_weights(path, untrained_network("unet-s"), card)
    return path


def run_onnx(path, patches):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    predicted = session.run(["foreground"], {"image": patches.image, "mask": patches.mask})[0]
    return predicted, session.get_modelmeta().custom_metadata_map["bpr"]


def run_openvino(path, patches):
    openvino = pytest.importorskip("openvino")
    model = openvino.Core().read_model(path)
    predicted = openvino.compile_model(model, "CPU")({"image": patches.image, "mask": patches.mask})["foreground"]
    return predicted, model.get_rt_info(["bpr"]).astype(str)


def run_torchscript(path, patches):
    extra = {"bpr": ""}
    model = torch.jit.load(path, _extra_files=extra)
    with torch.inference_mode():
        predicted = model(torch.from_numpy(patches.image), torch.from_numpy(patches.mask)).numpy()
    return predicted, extra["bpr"].decode()


RUN = {"onnx": run_onnx, "openvino": run_openvino, "torchscript": run_torchscript}
ENDINGS = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".torchscript"}


def needs(format_):
    for package in export.NEEDED[format_]:
        pytest.importorskip(package)


@pytest.mark.parametrize("format_", RUN)
def test_other_programs_predict_any_number_of_patches_as_pytorch_does(format_, weights, tmp_path):
    needs(format_)
    done = export_weights(ExportSettings(str(weights), format_), tmp_path / f"net{ENDINGS[format_]}")
    loaded = load_weights(weights)
    model = PatchModel(loaded.network, loaded.card, flip=True).eval()
    for count in (1, 7):
        patches = random_patches(count, seed=count)
        predicted, card = RUN[format_](done.files[0], patches)
        with torch.inference_mode():
            expected = model(torch.from_numpy(patches.image), torch.from_numpy(patches.mask)).numpy()
        assert (predicted.dtype, predicted.shape) == (np.uint8, (count, 16, 16))
        assert np.abs(predicted.astype(int) - expected).max() <= 1
        assert WeightsCard.from_json(card) == loaded.card
    assert done.difference <= 1


@pytest.mark.parametrize("format_", ["onnx", "openvino"])
def test_a_fixed_number_of_patches(format_, weights, tmp_path):
    needs(format_)
    done = export_weights(ExportSettings(str(weights), format_, batch=4), tmp_path / f"net{ENDINGS[format_]}")
    predicted, _ = RUN[format_](done.files[0], random_patches(4))
    assert predicted.shape == (4, 16, 16)
    with pytest.raises(Exception, match=r"(?i)dimension|shape"):
        RUN[format_](done.files[0], random_patches(3))


def test_the_file_is_named_after_the_weights_and_stays_unless_told(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ExportSettings(str(weights), "torchscript")
    assert export_weights(settings).files == (Path("mine.torchscript"),)
    before = Path("mine.torchscript").stat().st_mtime_ns
    with pytest.raises(BprError, match=r"mine\.torchscript exists; pass --overwrite"):
        export_weights(settings)
    assert Path("mine.torchscript").stat().st_mtime_ns == before
    export_weights(settings, overwrite=True)
    assert Path("mine.torchscript").stat().st_mtime_ns != before


def test_a_network_that_differs_is_not_written(weights, tmp_path, monkeypatch):
    def wrong(model, card, batch):
        artifact = export.to_torchscript(model, card, batch)
        return export.Artifact(artifact.content, lambda *patches: 255 - artifact.predict(*patches))

    monkeypatch.setitem(export.EXPORTERS, "torchscript", wrong)
    with pytest.raises(BprError, match=r"differ from PyTorch by up to \d+/255, expected at most 1/255"):
        export_weights(ExportSettings(str(weights), "torchscript"), tmp_path / "net.torchscript")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_refused(weights, tmp_path, monkeypatch):
    with pytest.raises(BprError, match=r"net\.xml should end in \.onnx"):
        export_weights(ExportSettings(str(weights), "onnx"), tmp_path / "net.xml")
    with pytest.raises(BprError, match=r"TorchScript files take any number of patches; leave --batch away"):
        export_weights(ExportSettings(str(weights), "torchscript", batch=2), tmp_path / "net.torchscript")
    monkeypatch.setattr(export, "find_spec", lambda _: None)
    with pytest.raises(BprError, match=r"needs the packages onnxruntime and onnx; install them with pip install"):
        export_weights(ExportSettings(str(weights), "onnx"), tmp_path / "net.onnx")
    monkeypatch.setattr(export, "find_spec", lambda _: object())
    pooled = tmp_path / "pooled.safetensors"
    save_weights(pooled, untrained_network("fast-scnn"), WeightsCard("pooled", "fast-scnn", **SIZES))
    with pytest.raises(BprError, match=r"ONNX lacks an operation of fast-scnn; use --format torchscript"):
        export_weights(ExportSettings(str(pooled), "onnx"), tmp_path / "net.onnx")


def test_the_example_of_the_documentation_runs(weights, tmp_path, monkeypatch):
    needs("onnx")
    monkeypatch.chdir(tmp_path)
    export_weights(ExportSettings(str(weights), "onnx"), Path("fast.onnx"))
    page = (REPOSITORY / "docs/how-to/export.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict = {}
    exec(block, names)
    assert names["foreground"].shape == (1, 16, 16)


SIZES = {name: getattr(CARDS["unet-s"], name) for name in ("patch_size", "padding", "input_size")}
