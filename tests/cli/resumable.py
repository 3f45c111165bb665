"""A dozen predictions in every format, of which a refinement can be stopped anywhere."""

import subprocess
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from tests.cli.worlds import SIZE, record
from tests.formats.format_builders import disc, panoptic_png, png, save

NAMES = [f"{index:02d}" for index in range(12)]


def discs(index: int) -> list[np.ndarray]:
    """Two masks that do not overlap."""
    return [disc(SIZE, (25 + index, 25), 12), disc(SIZE, (40, 65 + index), 14)]


def make_masks(world: Path) -> tuple[str, ...]:
    for index, name in enumerate(NAMES):
        png(world / f"preds/{name}.png", discs(index)[0].astype(np.uint8) * 255)
    return ("preds", "--images", "photos")


def make_labels(world: Path) -> tuple[str, ...]:
    for index, name in enumerate(NAMES):
        first, second = discs(index)
        png(world / f"preds/{name}.png", (3 * first + 9 * second).astype(np.uint8))
    return ("preds", "--images", "photos")


def make_cityscapes(world: Path) -> tuple[str, ...]:
    for index, name in enumerate(NAMES):
        for number, mask in enumerate(discs(index)):
            png(world / f"preds/{name}_{number}.png", mask.astype(np.uint8) * 255)
        (world / f"preds/{name}_pred.txt").write_text(f"{name}_0.png 24 0.9\n{name}_1.png 26 0.8\n")
    return ("preds", "--images", "photos")


def make_coco(world: Path) -> tuple[str, ...]:
    # Records of one image are not neighbours, and the document has fields before and after them.
    records = [record(index, discs(index)[number]) for number in (0, 1) for index in range(len(NAMES))]
    images = [{"id": index, "file_name": f"{name}.png"} for index, name in enumerate(NAMES)]
    save(world / "preds.json", {"info": {"ä": [1.5, None]}, "annotations": records, "images": images})
    return ("preds.json", "--images", "photos")


def make_panoptic(world: Path) -> tuple[str, ...]:
    annotations = []
    for index, name in enumerate(NAMES):
        first, second = discs(index)
        panoptic_png(world / f"preds/{name}.png", 300 * first + 70_000 * second)
        segments = [{"id": each, "category_id": 1} for each in (300, 70_000)]
        annotations.append({"image_id": index, "file_name": f"{name}.png", "segments_info": segments})
    save(world / "preds.json", {"annotations": annotations, "categories": []})
    return ("preds.json", "--images", "photos")


def make_yolo(world: Path) -> tuple[str, ...]:
    (world / "preds").mkdir()
    for index, name in enumerate(NAMES):
        x = index / 100
        lines = [f"{number} {0.1 + x} 0.2 {0.3 + x} 0.2 {0.4 + x} {0.5 + number / 4} 0.9" for number in (0, 1)]
        (world / f"preds/{name}.txt").write_text("\n".join(lines))
    return ("preds", "--images", "photos")


MAKERS = {
    "masks": make_masks,
    "labels": make_labels,
    "cityscapes": make_cityscapes,
    "coco": make_coco,
    "panoptic": make_panoptic,
    "yolo": make_yolo,
}


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until a program has made a file, or has ended."""
    while not path.exists() and process.poll() is None:
        time.sleep(0.005)


def left_of(process: "subprocess.Popen[str]") -> list[str]:
    """The processes that a program of a session of its own has left behind, and zombies; only Linux tells."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            stat = path.read_text()
            if int(stat.rpartition(")")[2].split()[3]) == process.pid:
                found.append(stat)
    return found
