"""The script that trained the shipped weights: that it runs on data of their form, and computes what its head says."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as rle

from bpr_cli.networks.lite_unet import LiteUNet
from bpr_cli.patchset.record import VOID
from bpr_cli.weights.files import load_weights
from bpr_cli.weights.imagenet import _names
from tests.formats.format_builders import disc

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "weights/train.py"
SIZE = (150, 200)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("weights_train", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # data classes look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def encoded(mask: np.ndarray) -> dict:
    found = rle.encode(np.asfortranarray(mask))
    return {**found, "counts": found["counts"].decode()}


def record(number: int, mask: np.ndarray, **more) -> dict:
    x, y, width, height = rle.toBbox(rle.encode(np.asfortranarray(mask))).tolist()
    area = int(mask.sum())
    own = {"id": number, "area": area, "bbox": [x, y, width, height], "iscrowd": 0}
    return {"image_id": number, "category_id": 1, "segmentation": encoded(mask), **own, **more}


def write_listing(root: Path, results: str, names: list[str], truths: list, coarse: list) -> None:
    images = [
        {"id": n, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]} for n, name in enumerate(names)
    ]
    annotations = [record(n, mask) for n, mask in enumerate(truths)]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (root / "instances_train.json").write_text(json.dumps(document))
    path = root / results
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([record(n, mask, score=0.9) for n, mask in enumerate(coarse)]))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two videos, two street scenes of two classes and void, two images of nuclei: bright discs on noise."""
    root = tmp_path_factory.mktemp("weights-train")
    random = np.random.default_rng(0)
    truths = [disc(SIZE, (70, 90 + 10 * n), 40).astype(np.uint8) for n in range(2)]
    coarse = [disc(SIZE, (73, 92 + 10 * n), 36).astype(np.uint8) for n in range(2)]
    for n, (name, city) in enumerate((("bear_00000", "0001TP_0"), ("bus_00000", "0001TP_1"))):
        image = (random.integers(0, 90, (*SIZE, 3)) + 150 * truths[n][..., None]).astype(np.uint8)
        for path in (
            f"objects/images/train/{name}.jpg",
            f"street/images/train/{city}.png",
            f"cells/images/train/c{n}.jpg",
        ):
            write(root / path, image)
        labels, predicted = truths[n] + 3, coarse[n] + 3
        labels[:9] = VOID
        write(root / f"objects/masks/train/{name}.png", 255 * truths[n])
        write(root / f"street/labels/train/{city}.png", labels)
        for model in ("esp", "esp05"):
            write(root / f"objects/predictions/{model}/train/{name}.png", 255 * coarse[n])
            write(root / f"street/predictions/{model}/train/{city}.png", predicted)
    write_listing(root / "objects", "predictions/yolo/train.segm.json", ["bear_00000", "bus_00000"], truths, coarse)
    write_listing(root / "cells", "predictions/otsu/train.segm.json", ["c0", "c1"], truths, coarse)
    return root


def test_masks_are_grouped_by_video_class_and_image(script, data):
    found = {name: script.read(data, name) for name in script.FILES}
    assert {name: sorted(map(len, source.real)) for name, source in found.items()} == {
        "objects": [3, 3],
        "street": [4, 4],
        "cells": [1, 1],
    }
    assert {name: sorted(map(len, source.true)) for name, source in found.items()} == {
        "objects": [1, 1],
        "street": [2, 2],
        "cells": [1, 1],
    }


@pytest.mark.parametrize("number", [0, 1])
def test_batches_are_what_the_network_expects_and_repeat(number, script, data, monkeypatch):
    monkeypatch.setattr(script, "BATCH_SIZE", 12)
    sources = {name: script.read(data, name) for name in script.FILES}
    first, again = (script.Sampler(sources, script.STAGES[number], np.random.default_rng(5)).batch() for _ in range(2))
    for plane, same, shape in zip(first, again, ((12, 128, 128, 3), (12, 128, 128), (12, 128, 128)), strict=True):
        assert (plane.shape, plane.dtype) == (shape, np.uint8)
        np.testing.assert_array_equal(plane, same)
    assert set(np.unique(first[1])) == {0, 1}
    assert {0, 1} <= set(np.unique(first[2])) <= {0, 1, VOID}


def test_a_window_has_half_pixel_centres(script):
    """Enlarged twice, every pixel of the image is a square of four; a place is where four pixels meet."""
    plane = np.arange(40 * 40, dtype=np.int16).reshape(40, 40)
    found = script.warped(plane, np.array([20, 20]), 2.0, 16, cv2.INTER_NEAREST)
    np.testing.assert_array_equal(found, np.kron(plane[16:24, 16:24], np.ones((2, 2), np.int16)))


def test_chances_of_zooms(script):
    zooms, random = script.Zooms({1.0: 0.4, 0.5: 0.2}, 0.7, 2), np.random.default_rng(0)
    drawn = np.array([zooms.draw(random) for _ in range(4000)])
    assert np.mean(drawn == 1) == pytest.approx(0.4, abs=0.03)
    assert np.mean(drawn == 0.5) == pytest.approx(0.2, abs=0.03)
    rest = np.log(drawn[(drawn != 1) & (drawn != 0.5)])
    assert (rest.min(), rest.max(), rest.mean()) == pytest.approx((np.log(0.7), np.log(2), np.log(1.4) / 2), abs=0.03)


def test_the_loss_against_erosion_and_dilation(script):
    """Pixels at most 2 px from the boundary count twice, the outer 16 px 0.3 times, void ones not at all."""
    random = np.random.default_rng(1)
    truth = np.stack([disc((128, 128), (60, 50 + 9 * n), 30) for n in range(3)]).astype(np.uint8)
    truth[1, 40:60, 30:50] = VOID
    truth[2] = 0
    logits = torch.from_numpy(random.normal(0, 2, (3, 2, 128, 128)).astype(np.float32))
    true = truth == 1
    kernel = np.ones((5, 5), np.uint8)
    weights = np.full(truth.shape, 0.3)
    weights[:, 16:-16, 16:-16] = 1
    for weight, inside in zip(weights, true.astype(np.uint8), strict=True):
        weight[cv2.dilate(inside, kernel) != cv2.erode(inside, kernel)] *= 2
    weights[truth == VOID] = 0
    foreground = 1 / (1 + np.exp((logits[:, 0] - logits[:, 1]).numpy().astype(float)))
    entropy = -np.log(np.where(true, foreground, 1 - foreground))
    inner = (slice(None), slice(16, -16), slice(16, -16))
    found, wanted = (foreground * (truth != VOID))[inner], true[inner]
    shared = (found * wanted).sum((1, 2))
    lacking = 1 - (shared + 1) / (found.sum((1, 2)) + wanted.sum((1, 2)) - shared + 1)
    expected = (entropy * weights).sum() / weights.sum(), lacking[:2].mean()
    assert [loss.item() for loss in script.losses_of(logits, torch.from_numpy(truth))] == pytest.approx(
        expected, rel=1e-4
    )


@pytest.mark.slow
def test_two_steps_give_weights(data, tmp_path):
    """Without any time, each stage makes a single step."""
    encoder = LiteUNet().state_dict()
    torch.save({theirs: encoder[own] for own, theirs in _names()}, tmp_path / "lite0.pth")
    arguments = ["--data", data, "--imagenet", tmp_path / "lite0.pth", "--out", tmp_path / "fast.safetensors"]
    command = [sys.executable, SCRIPT, *arguments, "--time-factor", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*map(str, command)], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout) == (0, "2 steps\n"), done.stderr
    found, shipped = load_weights(tmp_path / "fast.safetensors"), load_weights("fast")
    assert (found.card.network, found.card.patch_size, found.card.padding) == ("lite-unet", 64, 16)
    for name in (
        "network",
        "patch_size",
        "min_patch_size",
        "padding",
        "input_size",
        "mean",
        "std",
        "scales",
        "flip",
        "core",
    ):
        assert getattr(found.card, name) == getattr(shipped.card, name)
    assert all(torch.isfinite(tensor).all() for tensor in found.network.state_dict().values())
