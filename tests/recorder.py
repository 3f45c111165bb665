"""Record what the commands write, before a large change, and compare it afterwards.

    python tests/recorder.py record DATA BEFORE      # with the code as it was
    python tests/recorder.py record DATA AFTER       # with the changed code
    python tests/recorder.py compare BEFORE AFTER    # prints what differs; exit code 1 if anything does

DATA is the directory of real images that ``tests/benchmarks`` read too. Small parts of every set go through ``refine``
(all formats, CPU, PyTorch, float32), ``evaluate``, ``extract`` and ``train``. Commands run in the output directory with
relative paths, so that nothing in their output depends on where it lies. Times, versions and memory are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

VOLATILE = {
    "elapsed",
    "seconds",
    "peak_memory",
    "versions",
    "estimate",
    "created",
    "date",
    "bpr",
    "time",
    "steps_per_second",
    "patches_per_second",
    "version",
}
"""JSON keys whose values differ from run to run, or from release to release."""

ENGINE = ["--device", "cpu", "--backend", "pytorch", "--precision", "float32"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record")
    recording.add_argument("data", type=Path)
    recording.add_argument("out", type=Path)
    recording.set_defaults(run=lambda given: Recorder(given.data.resolve(), given.out.resolve()).record())
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.set_defaults(run=lambda given: sys.exit(compare(given.before, given.after)))
    given = parser.parse_args()
    given.run(given)


class Recorder:
    """Runs the commands over small parts of the data, and keeps the digests of all they write."""

    def __init__(self, data: Path, out: Path) -> None:
        self.data, self.out = data, out

    def record(self) -> None:
        """Make the inputs, run everything, write ``record.json``."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)
        self.make_inputs()
        self.refine()
        self.evaluate()
        self.extract_and_train()
        found = {str(path.relative_to(self.out)): digest(path) for path in sorted(self.out.rglob("*")) if counts(path)}
        (self.out / "record.json").write_text(json.dumps(found, indent=1))
        print(f"{len(found)} files recorded in {self.out / 'record.json'}")

    def bpr(self, name: str, *arguments: str) -> None:
        """Run a command; keep what it prints on standard output for programs."""
        print("bpr", *arguments, flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "bpr_cli", *arguments],
            cwd=self.out,
            capture_output=True,
            check=False,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # sums of PyTorch may depend on the number of threads
        )
        (self.out / "printed").mkdir(exist_ok=True)
        (self.out / f"printed/{name}.json").write_text(done.stdout or "{}")
        (self.out / f"printed/{name}.code").write_text(f"{done.returncode}\n")
        if done.returncode:
            print(done.stderr, file=sys.stderr)

    def make_inputs(self) -> None:
        """Copy small parts of the sets."""
        self.take_coco("coco", self.data / "coco/images", "instances.json", "predictions/yolo/yolo.segm.json", 6)
        self.take_coco(
            "objects", self.data / "objects/images/val", "instances_val.json", "predictions/yolo/val.segm.json", 6
        )
        self.take_coco(
            "cells", self.data / "cells/images/val", "instances_val.json", "predictions/otsu/val.segm.json", 2
        )
        self.take_files("esp", "objects/predictions/esp/val", "objects/images/val", "objects/masks/val", 6, step=12)
        self.take_files("street", "street/predictions/esp/val", "street/images/val", "street/labels/val", 3, step=30)
        self.take_panoptic(3)
        self.make_cityscapes(2)

    def take_coco(self, name: str, images: Path, truth: str, found: str, count: int) -> None:
        root = self.data / name
        instances = json.loads((root / truth).read_text())
        results = json.loads((root / found).read_text())
        instances["images"] = instances["images"][:: max(1, len(instances["images"]) // count)][:count]
        ids = {image["id"] for image in instances["images"]}
        instances["annotations"] = [each for each in instances["annotations"] if each["image_id"] in ids]
        folder = self.out / f"in/{name}"
        (folder / "images").mkdir(parents=True)
        for image in instances["images"]:
            shutil.copy(images / Path(image["file_name"]).name, folder / "images")
        (folder / "instances.json").write_text(json.dumps(instances))
        (folder / "results.json").write_text(json.dumps([each for each in results if each["image_id"] in ids]))

    def take_files(self, name: str, found: str, images: str, truth: str, count: int, step: int) -> None:
        folder = self.out / f"in/{name}"
        for file in sorted((self.data / found).glob("*.png"))[::step][:count]:
            for side, source in (("predictions", found), ("images", images), ("truth", truth)):
                (folder / side).mkdir(parents=True, exist_ok=True)
                shutil.copy(next((self.data / source).glob(f"{file.stem}.*")), folder / side)
        if name == "street":
            shutil.copy(self.data / "street/classes.txt", folder)

    def take_panoptic(self, count: int) -> None:
        folder = self.out / "in/panoptic"
        (folder / "images").mkdir(parents=True)
        for side, source in (("found", "esp_val"), ("truth", "gt_val")):
            root = self.data / "street/panoptic"
            content = json.loads((root / f"{source}.json").read_text())
            content["annotations"] = content["annotations"][::30][:count]
            ids = {each["image_id"] for each in content["annotations"]}
            if "images" in content:
                content["images"] = [each for each in content["images"] if each["id"] in ids]
            (folder / side).mkdir()
            for each in content["annotations"]:
                shutil.copy(root / source / each["file_name"], folder / side)
                image = next((self.data / "street/images/val").glob(f"{Path(each['file_name']).stem}.*"))
                shutil.copy(image, folder / "images")
            (folder / f"{side}.json").write_text(json.dumps(content))

    def make_cityscapes(self, count: int) -> None:
        """A Cityscapes result folder of a few COCO results."""
        from pycocotools import mask as rle

        folder = self.out / "in/cityscapes/predictions"
        images = self.out / "in/cityscapes/images/town"
        folder.mkdir(parents=True)
        images.mkdir(parents=True)
        listed = json.loads((self.data / "speed/instances.json").read_text())["images"][:count]
        results = json.loads((self.data / "speed/coarse.segm.json").read_text())
        for number, image in enumerate(listed):
            stem = f"town_{number:06}_000019"
            content = cv2.imread(str(self.data / "speed/images" / image["file_name"]))
            cv2.imwrite(str(images / f"{stem}_leftImg8bit.png"), content)
            lines = []
            for index, each in enumerate(result for result in results if result["image_id"] == image["id"]):
                name = f"{stem}_{index}.png"
                cv2.imwrite(str(folder / name), rle.decode(each["segmentation"]) * np.uint8(255))
                lines.append(f"{name} {24 + index % 3} {each.get('score', 0.9):.6f}\n")
            (folder / f"{stem}_pred.txt").write_text("".join(lines))

    def refine(self) -> None:
        """All formats, and the options that change results."""
        coco = ["in/coco/results.json", "--images", "in/coco/images", "--image-info", "in/coco/instances.json"]
        objects = [
            "in/objects/results.json",
            "--images",
            "in/objects/images",
            "--image-info",
            "in/objects/instances.json",
        ]
        cells = ["in/cells/results.json", "--images", "in/cells/images", "--image-info", "in/cells/instances.json"]
        esp = ["in/esp/predictions", "--images", "in/esp/images"]
        street = ["in/street/predictions", "--images", "in/street/images"]
        panoptic = ["in/panoptic/found.json", "--images", "in/panoptic/images"]
        annotations = ["in/objects/instances.json", "--images", "in/objects/images"]
        city = ["in/cityscapes/predictions", "--images", "in/cityscapes/images"]
        runs: dict[str, list[str]] = {
            "coco": coco,
            "objects": objects,
            "cells": cells,
            "esp": esp,
            "street": street,
            "panoptic": panoptic,
            "annotations": annotations,
            "cityscapes": city,
            "objects-best": [*objects, "--weights", "best"],
            "esp-grid": [*esp, "--scheme", "grid"],
            "esp-instance": [*esp, "--scheme", "instance"],
            "esp-dense": [*esp, "--nms-threshold", "0.55", "--core", "1"],
            "esp-bounds": [*esp, "--max-area-change", "0.05", "--min-iou-with-coarse", "0.9"],
            "street-passes": [*street, "--scales", "2,1", "--flip"],
            "street-ignore": [*street, "--ignore-label", "0"],
        }
        for name, arguments in runs.items():
            self.bpr(f"refine-{name}", "refine", *arguments, "--out", f"out/{name}", *ENGINE, "--json")
        self.bpr("check-coco", "check", *coco, "--json")
        mask = next((self.out / "in/esp/predictions").iterdir()).name
        image = next((self.out / "in/esp/images").glob(f"{Path(mask).stem}.*")).name
        single = [f"in/esp/predictions/{mask}", "--images", f"in/esp/images/{image}"]
        self.bpr("refine-single", "refine", *single, "--out", "out/single.png", *ENGINE, "--json")

    def evaluate(self) -> None:
        """Reports of every kind, with baseline, oracle and pictures."""
        runs = {
            "coco": ["out/coco", "in/coco/instances.json", "in/coco/results.json", "in/coco/images"],
            "objects": ["out/objects", "in/objects/instances.json", "in/objects/results.json", "in/objects/images"],
            "cells": ["out/cells", "in/cells/instances.json", "in/cells/results.json", "in/cells/images"],
            "esp": ["out/esp", "in/esp/truth", "in/esp/predictions", "in/esp/images"],
            "street": ["out/street", "in/street/truth", "in/street/predictions", "in/street/images"],
            "panoptic": ["out/panoptic", "in/panoptic/truth.json", "in/panoptic/found.json", "in/panoptic/images"],
        }
        for name, (refined, truth, coarse, images) in runs.items():
            arguments = [refined, "--ground-truth", truth, "--baseline", coarse, "--images", images]
            options = ["--oracle", "1,2", "--out", f"reports/{name}", "--json", "--workers", "1"]
            self.bpr(f"evaluate-{name}", "evaluate", *arguments, *options)
        self.bpr(
            "evaluate-classes",
            "evaluate",
            "out/street",
            "--ground-truth",
            "in/street/truth",
            "--label-set",
            "in/street/classes.txt",
            "--tolerance",
            "2",
            "--json",
        )
        self.bpr(
            "evaluate-alone", "evaluate", "out/objects-best", "--ground-truth", "in/objects/instances.json", "--json"
        )

    def extract_and_train(self) -> None:
        """Patch sets of masks, maps and simulated masks, and the weights after a few steps."""
        objects = [
            "in/objects/results.json",
            "in/esp/predictions",
            "--images",
            "in/objects/images",
            "--images",
            "in/esp/images",
        ]
        truths = ["--ground-truth", "in/objects/instances.json", "--ground-truth", "in/esp/truth"]
        self.bpr("extract-objects", "extract", *objects, *truths, "--out", "sets/objects", "--json")
        self.bpr(
            "extract-street",
            "extract",
            "in/street/predictions",
            "--images",
            "in/street/images",
            "--ground-truth",
            "in/street/truth",
            "--max-patches",
            "300",
            "--jpeg",
            "90",
            "--out",
            "sets/street",
            "--json",
        )
        self.bpr(
            "extract-simulated",
            "extract",
            "--simulate",
            "--simulations",
            "2",
            "--images",
            "in/cells/images",
            "--ground-truth",
            "in/cells/instances.json",
            "--max-patches",
            "200",
            "--out",
            "sets/cells",
            "--json",
        )
        few = ["--steps", "4", "--batch-size", "4", "--device", "cpu", "--validation-patches", "20", "--json"]
        self.bpr(
            "train-modern",
            "train",
            "sets/objects",
            "sets/street",
            "--init",
            "fast",
            "--out",
            "runs/modern",
            *few,
            "--set",
            "validate_every=2",
        )
        self.bpr("train-paper", "train", "sets/cells", "--recipe", "paper", "--out", "runs/paper", *few)


def counts(path: Path) -> bool:
    """Whether a file is output: not an input, a lock, or what only resuming needs."""
    hidden = any(part.startswith(".") for part in path.parts)
    return path.is_file() and not hidden and "in" not in path.parts and path.suffix in KEPT


KEPT = {
    ".json",
    ".code",
    ".txt",
    ".png",
    ".csv",
    ".html",
    ".safetensors",
    ".bin",
    ".patches",
    ".jsonl",
    ".npy",
    ".npz",
    ".md",
}


def digest(path: Path) -> str:
    """SHA-256 of the content, without what differs from run to run."""
    return hashlib.sha256(content(path)).hexdigest()


def content(path: Path) -> bytes:
    """The content without what differs from run to run."""
    if path.suffix == ".json":
        return json.dumps(lasting(json.loads(path.read_text() or "{}")), indent=1, sort_keys=True).encode()
    if path.suffix == ".jsonl":
        return b"\n".join(json.dumps(lasting(json.loads(line))).encode() for line in path.read_text().splitlines())
    if path.suffix == ".safetensors":
        return tensors(path)
    if path.suffix in {".html", ".csv"}:
        return re.sub(r"\d+(\.\d+)? s\b|in \d+[.\d]* seconds", "TIME", path.read_text()).encode()
    return path.read_bytes()


def lasting(value: Any) -> Any:
    """JSON without the keys that differ from run to run."""
    if isinstance(value, dict):
        return {key: lasting(each) for key, each in value.items() if key not in VOLATILE}
    return [lasting(each) for each in value] if isinstance(value, list) else value


def tensors(path: Path) -> bytes:
    """Digests of the tensors of a weights file; its card may be worded anew."""
    from safetensors.numpy import load_file

    return "\n".join(
        f"{name} {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
        for name, value in sorted(load_file(path).items())
    ).encode()


def compare(before: Path, after: Path) -> int:
    """Print every file that differs, is missing or new; 1 if there is any."""
    old, new = (json.loads((folder / "record.json").read_text()) for folder in (before, after))
    differ = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    for name in differ:
        state = "missing" if name not in new else "new" if name not in old else "differs"
        print(f"{state:8} {name}")
    print(f"{len(old)} files before, {len(new)} after, {len(differ)} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    main()
