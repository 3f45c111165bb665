"""Speed of panoptic and semantic metrics against the official scripts, on the same maps and one core.

    python tests/benchmarks/evaluate_maps.py DATA

DATA holds ``street/panoptic`` (maps of 480 x 360) and ``speed`` (label maps of 2048 x 1024, whose connected components
are made segments here). The official scripts come from cityscapesscripts, whose panoptic script is that of panopticapi.
For boundary PQ, the work of boundary-iou-api is added: an erosion of the entire frame for every segment.

Each metric is timed from files and from maps in memory, because both sides decode with the same library. Times are CPU
times, the best of a few alternating rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import operator
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
from cityscapesscripts.evaluation import evalPanopticSemanticLabeling as panoptic_script  # noqa: N813
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as pixel_script  # noqa: N813
from cityscapesscripts.helpers.labels import labels as cityscapes_labels
from PIL import Image
from rich.console import Console
from rich.table import Table

from bpr_cli.evaluation.boundary import band_width
from bpr_cli.evaluation.panoptic import PanopticEvaluator, measure_panoptic
from bpr_cli.evaluation.panoptic_matching import PanopticMap, SegmentInfo
from bpr_cli.evaluation.semantic import SemanticEvaluator
from bpr_cli.evaluation.semantic_sums import semantic_sums
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.png import encode_ids, read_gray, read_ids
from bpr_cli.formats.records import CategoryRecord
from bpr_cli.truth.label_sets import LabelSet

ROUNDS = 5
Row = tuple[str, float, float, float, float]


def main() -> None:
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        street = PanopticFiles(data / "street/panoptic/gt_val.json", data / "street/panoptic/esp_val.json")
        rows = [
            *panoptic_rows("480 x 360", street),
            *panoptic_rows("2048 x 1024", make_panoptic(data / "speed", folder)),
            *semantic_rows("2048 x 1024", data / "speed", folder),
        ]
    table = Table("figure", title="milliseconds an image, official / ours = ratio")
    table.add_column("from files", justify="right")
    table.add_column("in memory", justify="right")
    for title, *times in rows:
        pairs = [times[:2], times[2:]]
        table.add_row(title, *(f"{theirs:.1f} / {ours:.1f} = {theirs / ours:.1f}" for theirs, ours in pairs))
    Console(width=120).print(table)


class PanopticFiles:
    """Panoptic truth and prediction on disk, and their maps in memory."""

    def __init__(self, truth: Path, prediction: Path) -> None:
        documents = [json.loads(file.read_text()) for file in (truth, prediction)]
        records = [{each["image_id"]: each for each in document["annotations"]} for document in documents]
        self.folders = truth.with_suffix(""), prediction.with_suffix("")
        self.pairs = [(records[0][key], records[1][key]) for key in records[0]]
        self.categories = {each["id"]: each for each in documents[0]["categories"]}
        self.maps = {path: read_ids(path) for pair in self.pairs for path in self.paths(pair)}

    def paths(self, pair: tuple[dict[str, Any], dict[str, Any]]) -> list[Path]:
        return [folder / record["file_name"] for folder, record in zip(self.folders, pair, strict=True)]

    def official(self) -> float:
        folders = map(str, self.folders)
        with contextlib.redirect_stdout(io.StringIO()):
            sums = panoptic_script.pq_compute_single_core(0, self.pairs, *folders, self.categories)
        return float(sums.pq_average(self.categories, None)[0]["pq"])

    def official_boundaries(self) -> None:
        """What boundary-iou-api does on top of PQ: bands of all segments, and a second count of pairs."""
        for pair in self.pairs:
            ids = [self.maps[path] for path in self.paths(pair)]
            painted = [paint_bands(each, record) for each, record in zip(ids, pair, strict=True)]
            np.unique(painted[0].astype(np.uint64) * 256**3 + painted[1].astype(np.uint64), return_counts=True)

    @contextlib.contextmanager
    def in_memory(self) -> Iterator[None]:
        """The official script takes the maps from memory."""
        images = mock.Mock(open=lambda path: self.maps[Path(path)])
        with (
            mock.patch.object(panoptic_script, "Image", images),
            mock.patch.object(panoptic_script, "rgb2id", np.array),
        ):
            yield

    def ours(self, read: Callable[[Path], np.ndarray]) -> float:
        categories = [CategoryRecord(each["id"], "", bool(each["isthing"])) for each in self.categories.values()]
        settings, sums = EvaluateSettings(), []
        for pair in self.pairs:
            truth, prediction = (
                PanopticMap(read(path), segments_of(record))
                for path, record in zip(self.paths(pair), pair, strict=True)
            )
            sums.append(measure_panoptic(prediction, truth, categories, settings)[0])
        tables = PanopticEvaluator(settings, categories).tables(reduce(operator.add, sums))
        return (tables.summary[0].value or 0.0) / 100


def segments_of(record: dict[str, Any]) -> tuple[SegmentInfo, ...]:
    return tuple(
        SegmentInfo(each["id"], each["category_id"], bool(each.get("iscrowd")), each["area"])
        for each in record["segments_info"]
    )


def paint_bands(ids: np.ndarray, record: dict[str, Any]) -> np.ndarray:
    width, square, painted = band_width(0.02, ids.shape), np.ones((3, 3), np.uint8), ids.copy()
    for segment in record["segments_info"]:
        mask = (painted == segment["id"]).astype(np.uint8)
        padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        band = mask - cv2.erode(padded, square, iterations=width)[1:-1, 1:-1]
        painted[mask > 0] = 256**3 - 1
        painted[band > 0] = segment["id"]
    return painted


def panoptic_rows(size: str, files: PanopticFiles) -> list[Row]:
    same("PQ", files.official(), files.ours(read_ids))
    official: list[Callable[[], object]] = [files.official, files.official_boundaries]
    from_files = best([*official, lambda: files.ours(read_ids)], len(files.pairs))
    with files.in_memory():
        memory = best([*official, lambda: files.ours(files.maps.__getitem__)], len(files.pairs))
    name = f"PQ and boundary PQ, {size}"
    return [(name, from_files[0] + from_files[1], from_files[2], memory[0] + memory[1], memory[2])]


def semantic_rows(size: str, data: Path, folder: Path) -> list[Row]:
    """IoU; ours has boundary F and boundary IoU too, which the official script does not have."""
    evaluated = tuple(label.id for label in cityscapes_labels if label.id >= 0 and not label.ignoreInEval)
    ignored = frozenset(label.id for label in cityscapes_labels if label.id >= 0 and label.ignoreInEval)
    lists = [make_cityscapes(data / side, folder / side, evaluated) for side in ("predictions", "labels")]
    arguments = pixel_script.CArgs()
    vars(arguments).update(vars(pixel_script.args))
    arguments.evalInstLevelScore = arguments.JSONOutput = False
    arguments.quiet = True

    def official() -> float:
        files = ([str(path) for path in side] for side in lists)
        return float(pixel_script.evaluateImgLists(*files, arguments)["averageScoreClasses"])

    labels, settings = LabelSet("labelIds", dict.fromkeys(evaluated, ""), ignored), EvaluateSettings()

    def ours(read: Callable[[Path], np.ndarray]) -> float:
        files = zip(*lists, strict=True)
        sums = [semantic_sums(read(prediction), read(truth), labels, settings) for prediction, truth in files]
        return (SemanticEvaluator(settings, labels).tables(reduce(operator.add, sums)).summary[0].value or 0.0) / 100

    same("mIoU", official(), ours(read_gray))
    maps = {path: read_gray(path) for side in lists for path in side}
    loaded = {path: Image.fromarray(labels) for path, labels in maps.items()}
    from_files = best([official, lambda: ours(read_gray)], len(lists[0]))
    with mock.patch.object(pixel_script, "Image", mock.Mock(open=lambda path: loaded[Path(path)])):
        memory = best([official, lambda: ours(maps.__getitem__)], len(lists[0]))
    return [(f"mIoU; ours with boundary F and IoU, {size}", *from_files, *memory)]


def make_cityscapes(source: Path, folder: Path, labels: tuple[int, ...]) -> list[Path]:
    """The label maps with Cityscapes ids for classes, in the order of their names."""
    folder.mkdir()
    table = np.zeros(256, dtype=np.uint8)
    table[:11] = labels[:11]
    paths = sorted(source.glob("*.png"))
    for path in paths:
        cv2.imwrite(str(folder / path.name), table[read_gray(path)])
    return [folder / path.name for path in paths]


def make_panoptic(data: Path, folder: Path) -> PanopticFiles:
    """Panoptic files of the large label maps: components of 100 pixels and more of three classes are things."""
    documents = []
    for side in ("labels", "predictions"):
        (folder / f"panoptic_{side}").mkdir()
        annotations = []
        for path in sorted((data / side).glob("*.png")):
            ids, segments = components(read_gray(path))
            (folder / f"panoptic_{side}" / path.name).write_bytes(encode_ids(ids))
            annotations.append({"image_id": path.stem, "file_name": path.name, "segments_info": segments})
        categories = [{"id": label + 1, "isthing": int(label >= 8)} for label in range(11)]
        documents.append(folder / f"panoptic_{side}.json")
        documents[-1].write_text(json.dumps({"categories": categories, "annotations": annotations}))
    return PanopticFiles(*documents)


def components(labels: np.ndarray) -> tuple[np.ndarray, list[dict[str, Any]]]:
    ids, segments = np.zeros(labels.shape, dtype=np.int32), []
    for label in range(11):
        mask = (labels == label).astype(np.uint8)
        count, parts = cv2.connectedComponents(mask) if label >= 8 else (2, mask.astype(np.int32))
        for part in range(1, count):
            pixels = parts == part
            if np.count_nonzero(pixels) >= 100:
                number = 1000 + 77 * len(segments)
                area = int(np.count_nonzero(pixels))
                segments.append({"id": number, "category_id": label + 1, "area": area, "iscrowd": 0})
                ids[pixels] = number
    return ids, segments


def same(name: str, official: float, ours: float) -> None:
    if abs(official - ours) > 1e-9:
        raise SystemExit(f"{name} is {ours}, of the official script {official}")


def best(works: list[Callable[[], object]], images: int) -> list[float]:
    """Milliseconds an image of every work, the best of a few rounds."""
    seconds = [[float("inf")] for _ in works]
    for _ in range(ROUNDS):
        for work, times in zip(works, seconds, strict=True):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
    return [1000 * min(times) / images for times in seconds]


if __name__ == "__main__":
    main()
