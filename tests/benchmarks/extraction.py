"""CPU time of extraction and reassembly, compared with the work of the authors' scripts.

    python tests/benchmarks/extraction.py DATA [--rounds N]

DATA holds ``speed``: 8 images of 2048 x 1024 with 96 instances and as many label maps. Extraction is all from a mask to
the network's input, reassembly all from its answers to a mask; answers are the coarse masks with soft edges. Decoding
and encoding of files is left out on our side. Label maps are those of the data with their classes told apart by the
side of the image, which makes 19 of 11.

The work of the scripts, written anew from what they do: the image is decoded for every instance; the boundary is found
by a convolution of the whole frame; boxes are thinned out by general non-maximum suppression; patches of image and mask
pass through PNG files; and answers are summed up on whole frames.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from end_to_end import best
from rows import Row, show
from speed_set import SpeedSet, instances, label_maps

from bpr_cli.formats.images import read_image
from bpr_cli.masks.masks import LabelMap, Prediction
from bpr_cli.refinement.image import ImagePass, fill_batches
from bpr_cli.refinement.limits import Limits
from bpr_cli.refinement.settings import PassSettings, RefineSettings, passes_of
from bpr_cli.weights.files import load_weights

BATCH = RefineSettings().batch_size
INSTANCE_MS = 5.0
MAP_MS = 300.0
CLASSES = 19
SIDE, INPUT, NMS_THRESHOLD = 64, 128, 0.25  # of the paper
SAMPLE = 4
"""Instances that the scripts' work is measured on, of the first image."""


@dataclass(frozen=True)
class Case:
    """An image, its prediction and the network's answers for all patches."""

    image: np.ndarray
    prediction: Prediction
    answers: np.ndarray


def extraction_rows(data: Path, rounds: int = 3) -> list[Row]:
    """CPU milliseconds an instance and a label map."""
    how = pass_of_weights()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = instances(data, folder / "instances", 8), label_maps(data, folder / "maps", 8)
        cases, maps = (list(cases_of(each, how)) for each in sets)
        file, sample = sets[0].open().items[0].image, cases[0].prediction[:SAMPLE]
        ours, ours_maps, theirs = best(
            [
                lambda: [refine(case, how) for case in cases],
                lambda: [refine(case, how) for case in maps],
                lambda: [as_scripts_do(file, mask.to_array().view(np.uint8), folder) for mask in sample],
            ],
            rounds,
        )
    an_instance = 1000 * ours[1] / sum(len(case.prediction) for case in cases)
    a_map = 1000 * ours_maps[1] / len(maps)
    scripts = 1000 * theirs[1] / SAMPLE
    patches = sum(len(case.answers) for case in maps) // len(maps)
    return [
        Row(
            *("extract and reassemble an instance, CPU", an_instance, "work of the authors' scripts", scripts, "ms"),
            *(f"at most {INSTANCE_MS:g} ms", an_instance <= INSTANCE_MS),
        ),
        Row(
            *(
                f"{CLASSES} classes with {patches} patches, CPU",
                a_map,
                f"{CLASSES} times that",
                CLASSES * scripts,
                "ms",
            ),
            *(f"under {MAP_MS:g} ms", a_map < MAP_MS),
        ),
    ]


def pass_of_weights() -> PassSettings:
    """The first pass of the default weights."""
    settings = RefineSettings()
    return passes_of(load_weights(settings.weights).card, settings)[-1]


def cases_of(chosen: SpeedSet, how: PassSettings) -> Iterator[Case]:
    """All images of a set; label maps with more classes."""
    predictions = chosen.open()
    for item in predictions.items:
        image, prediction = read_image(item.image), predictions.read(item)
        if isinstance(prediction, LabelMap):
            prediction = more_classes(prediction)
        current = ImagePass.begin(image, prediction, how)
        (batch,) = fill_batches([(None, current)], len(current))
        yield Case(image, prediction, answers_for(batch.crop(how.input_size).mask, how))


def more_classes(prediction: LabelMap) -> LabelMap:
    """The classes 0 to 7 of the right half become 11 to 18."""
    labels = prediction.labels.copy()
    right = labels[:, labels.shape[1] // 2 :]
    right[right < CLASSES - 11] += 11
    return LabelMap(labels, prediction.void)


def answers_for(masks: np.ndarray, how: PassSettings) -> np.ndarray:
    """The coarse masks of patches, uint8 (P, T, T), without their context and with soft edges: uint8 (P, S, S)."""
    whole = how.patch_size + 2 * how.padding
    inner = slice(how.padding, how.padding + how.patch_size)
    soft = [cv2.GaussianBlur(cv2.resize(mask * 255, (whole, whole)), (5, 5), 0)[inner, inner] for mask in masks]
    return np.stack(soft)


def refine(case: Case, how: PassSettings) -> None:
    """All that refinement does with arrays, but for the network."""
    current, done = ImagePass.begin(case.image, case.prediction, how), 0
    for batch in fill_batches([(None, current)], BATCH):
        batch.crop(how.input_size)
        batch.hand_out(case.answers[done : done + len(batch)])
        done += len(batch)
    current.refine(Limits())


def as_scripts_do(image_file: Path, mask: np.ndarray, folder: Path) -> np.ndarray:
    """Extraction and reassembly of one instance as the authors' scripts work: uint8 mask of the whole frame."""
    image = cv2.imread(str(image_file))
    boxes = [tuple(box) for box in thinned_out(boundary_boxes(mask), NMS_THRESHOLD).tolist()]
    total, count = (np.zeros(mask.shape, np.float32) for _ in range(2))
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        cv2.imwrite(str(folder / f"image_{number}.png"), image[y0:y1, x0:x1])
        cv2.imwrite(str(folder / f"mask_{number}.png"), mask[y0:y1, x0:x1])
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        for kind in ("image", "mask"):
            patch = cv2.imread(str(folder / f"{kind}_{number}.png"), cv2.IMREAD_UNCHANGED)
            cv2.resize(patch, (INPUT, INPUT))
        total[y0:y1, x0:x1] += cv2.GaussianBlur(patch.astype(np.float32), (5, 5), 0)
        count[y0:y1, x0:x1] += 1
    return np.where(count > 0, total / np.maximum(count, 1) > 0.5, mask).astype(np.uint8)


def boundary_boxes(mask: np.ndarray) -> np.ndarray:
    """Boxes around all boundary pixels, inside the image: int64, (N, 5), the last column their scores times nine."""
    count = np.rint(cv2.filter2D(mask.astype(np.float32), -1, np.ones((3, 3), np.float32)))
    y, x = np.nonzero((count > 0) & (count < 9))
    left = np.clip(x - SIDE // 2, 0, mask.shape[1] - SIDE)
    top = np.clip(y - SIDE // 2, 0, mask.shape[0] - SIDE)
    scores = np.minimum(count[y, x], 9 - count[y, x]).astype(np.int64)
    return np.stack([left, top, left + SIDE, top + SIDE, scores], axis=1)


def thinned_out(boxes: np.ndarray, threshold: float) -> np.ndarray:
    """General greedy non-maximum suppression of (N, 5) boxes: the (K, 4) that stay."""
    left = boxes[np.argsort(-boxes[:, 4], kind="stable"), :4]
    kept = [np.zeros((0, 4), np.int64)]
    while len(left):
        first, left = left[:1], left[1:]
        kept.append(first)
        sides = np.minimum(first[:, 2:], left[:, 2:]) - np.maximum(first[:, :2], left[:, :2])
        shared = np.maximum(sides, 0).prod(axis=1)
        left = left[shared <= threshold * (2 * SIDE**2 - shared)]
    return np.concatenate(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    show("extraction and reassembly", extraction_rows(options.data, options.rounds))


if __name__ == "__main__":
    main()
