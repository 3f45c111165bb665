"""Memory for large JSON files of COCO and panoptic results, plain and compressed by gzip.

    python tests/benchmarks/large_json.py [--megabytes 100,300] [--large]

Files are generated: images with 100 records each. New processes open them, as `bpr refine` and `bpr evaluate` do, and
read the masks of every hundredth image. Beside the size of the plain file stands what this took beyond a file of a
hundredth of the images. --large adds files of one gigabyte.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from new_process import measured
from rows import Row, show

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from tests.formats.format_builders import compressed, disc, panoptic_png, photo  # noqa: E402

SIZE = (96, 128)
RECORDS = 100
SAMPLE = 100
MOST = 0.5
"""Times the size of the file."""


@dataclass(frozen=True)
class Document:
    """What is in the JSON of a set.

    Attributes:
        kind: name of the format.
        entries: those of one image in its list of annotations; ``IMAGE`` stands for the number of the image.
    """

    kind: str
    entries: str

    @classmethod
    def coco(cls) -> Document:
        """Records with compressed run lengths."""
        rng = np.random.default_rng(0)
        records = []
        for _ in range(RECORDS):
            y, x, radius = rng.integers(20, 76), rng.integers(20, 108), rng.integers(4, 18)
            record = {"image_id": "IMAGE", "category_id": int(rng.integers(1, 80)), "score": round(rng.random(), 5)}
            box = [float(x - radius), float(y - radius), 2.0 * radius, 2.0 * radius]
            records.append(record | {"bbox": box, "segmentation": compressed(disc(SIZE, (y, x), radius))})
        return cls("coco", ",".join(map(json.dumps, records)).replace('"IMAGE"', "IMAGE"))

    @classmethod
    def panoptic(cls) -> Document:
        """Annotations with the segments of ``panoptic_map``."""
        segments = [
            {"id": number, "category_id": number, "iscrowd": 0, "area": 96, "bbox": [number, 0, 1, 96]}
            for number in range(1, RECORDS + 1)
        ]
        entry = json.dumps({"image_id": "IMAGE", "file_name": "IMAGE.png", "segments_info": segments})
        return cls("panoptic", entry.replace('"IMAGE"', "IMAGE"))

    def write(self, folder: Path, images: int) -> Path:
        """Write it with photographs, all links to one, and give its path."""
        (folder / "photos").mkdir(parents=True)
        (folder / "preds").mkdir()
        shared = photo(folder / "photo.png", SIZE)
        for number in range(images):
            (folder / f"photos/{number}.png").symlink_to(shared)
        if self.kind == "panoptic":
            panoptic_png(folder / "map.png", np.tile(np.arange(SIZE[1]) % RECORDS + 1, (SIZE[0], 1)))
            for number in range(images):
                (folder / f"preds/{number}.png").write_bytes((folder / "map.png").read_bytes())
        listed = [{"id": n, "file_name": f"{n}.png", "height": SIZE[0], "width": SIZE[1]} for n in range(images)]
        path = folder / "preds.json"
        with path.open("w") as file:
            file.write(f'{{"images": {json.dumps(listed)}, "categories": [], "annotations": [')
            for number in range(images):
                file.write(("," if number else "") + self.entries.replace("IMAGE", f"{number}"))
            file.write("]}")
        return path


def opened(path: Path) -> None:
    """Open a set, and read some of its images."""
    from bpr_cli.formats.open import open_predictions
    from bpr_cli.refinement.result import read_usable

    predictions = open_predictions(path, path.parent / "photos")
    for item in predictions.items[::SAMPLE]:
        read_usable(predictions, item)
    if predictions.faults() or predictions.failures:
        raise RuntimeError(str([*predictions.faults(), *predictions.failures][:3]))


def packed(path: Path) -> Path:
    """The same file compressed by gzip."""
    with path.open("rb") as plain, gzip.open(path.with_name(f"{path.name}.gz"), "wb", compresslevel=1) as file:
        shutil.copyfileobj(plain, file, 2**20)
    return path.with_name(f"{path.name}.gz")


def rows(megabytes: list[int]) -> Iterator[Row]:
    """A row for every file."""
    for document in (Document.coco(), Document.panoptic()):
        for size in megabytes:
            with tempfile.TemporaryDirectory() as name:
                images = size * 1_000_000 // len(document.entries)
                few, many = (document.write(Path(name) / f"{n}", n) for n in (max(1, images // 100), images))
                least, whole = measured(opened, few).peak, many.stat().st_size / 1e6
                for path in (many, packed(many)):
                    took = measured(opened, path).peak - least
                    what = f"{document.kind}, {''.join(path.suffixes)}"
                    yield Row(what, took, "the plain file", whole, "MB", f"at most {MOST}", took <= MOST * whole)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", default="100,300")
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    sizes = [int(each) for each in options.megabytes.split(",")] + [1000] * options.large
    show("memory for JSON files", rows(sizes))


if __name__ == "__main__":
    main()
