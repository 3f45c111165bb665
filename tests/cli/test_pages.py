"""The commands of pages in docs/how-to, as they stand there."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.cli.worlds import INFO, MASK, REPOSITORY, record
from tests.formats.format_builders import png, save

PAGES = REPOSITORY / "docs/how-to"

pytestmark = pytest.mark.skipif(not PAGES.is_dir(), reason="the documentation is not here")


def run_page(name, bpr, weights):
    """Run all commands of a page; returns their number."""
    blocks = re.findall(r"```sh\n(.*?)```", (PAGES / name).read_text(encoding="utf-8"), re.DOTALL)
    commands = [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]
    for command in commands:
        more = ["--weights", weights] if command[0] == "refine" else []
        outcome = bpr(*command, *more)
        assert (outcome.code, outcome.errors) == (0, []), command
    return len(commands)


def names(folder, pattern):
    return sorted(path.name for path in Path(folder).glob(pattern))


def test_polygons(world, bpr, random_weights):
    annotations = [{**record(number), "id": number} for number in (1, 2, 3)]
    save(world / "instances.json", {**INFO, "annotations": annotations, "categories": [{"id": 1, "name": "disc"}]})
    assert bpr("convert", "instances.json", "runs/segment/predict", "--format", "yolo").code == 0
    shutil.copytree("runs/segment/predict/labels", "labels")
    shutil.copytree("images", "annotated")
    assert bpr("convert", "instances.json", "made", "--format", "labelme", "--images", "annotated").code == 0
    for path in Path("made").glob("*.json"):
        document = json.loads(path.read_text())
        save(world / "annotated" / path.name, {**document, "imagePath": Path(document["imagePath"]).name})
    shutil.copy("runs/segment/predict/data.yaml", "data.yaml")
    assert run_page("polygons.md", bpr, random_weights) == 7
    assert names("refined", "*.txt") == ["a.txt", "b.txt", "c.txt"]
    assert names("refined-shapes", "*.json") == ["a.json", "b.json", "c.json", "run.json"]


def test_objects(world, bpr, random_weights):
    tifffile = pytest.importorskip("tifffile")
    labels = MASK.astype(np.uint8) * 7
    labels[:5] = 2
    for name in "abc":
        for folder in ("Annotations", "truth"):
            png(world / folder / f"{name}.png", labels)
    shutil.copytree("images", "JPEGImages")
    shutil.copytree("images", "cells")
    for name in "abc":
        tifffile.imwrite(world / f"cells/{name}_cp_masks.tif", labels.astype(np.uint16), compression="zlib")
    assert run_page("objects.md", bpr, random_weights) == 4
    assert names("refined", "*.png") == ["a.png", "b.png", "c.png"]
    assert names("refined-cells", "*.tif") == [f"{name}_cp_masks.tif" for name in "abc"]
