"""The prediction sets in ``DATA/speed`` for speed benchmarks: complete, in part, or repeated."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bpr_cli.formats.base import PredictionSet
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings


@dataclass(frozen=True)
class SpeedSet:
    """Predictions, their images, and for instances the JSON file that names these."""

    predictions: Path
    images: Path
    image_info: Path | None = None

    def open(self) -> PredictionSet:
        return open_predictions(self.predictions, self.images, ReadSettings(image_info=self.image_info))

    def arguments(self, out: Path) -> list[str]:
        """Command-line arguments of ``bpr refine``."""
        given = [str(self.predictions), "--images", str(self.images), "--out", str(out)]
        return [*given, "--image-info", str(self.image_info)] if self.image_info else given


def instances(data: Path, folder: Path, count: int) -> SpeedSet:
    """``count`` images with instances; links in ``folder`` repeat the 8 images of the data."""
    records = json.loads((data / "speed/coarse.segm.json").read_text())
    images = sorted(json.loads((data / "speed/instances.json").read_text())["images"], key=lambda each: each["id"])
    files = _links([data / "speed/images" / each["file_name"] for each in images], folder / "images", count)
    listed, found = [], []
    for number, file in enumerate(files):
        image = images[number % len(images)]
        listed.append({**image, "id": number, "file_name": file.name})
        found += [{**record, "image_id": number} for record in records if record["image_id"] == image["id"]]
    (folder / "images.json").write_text(json.dumps({"images": listed}))
    (folder / "found.json").write_text(json.dumps(found))
    return SpeedSet(folder / "found.json", folder / "images", folder / "images.json")


def label_maps(data: Path, folder: Path, count: int) -> SpeedSet:
    """``count`` images with label maps; links in ``folder`` repeat the 8 images of the data."""
    for side in ("predictions", "images"):
        _links(sorted((data / "speed" / side).iterdir()), folder / side, count)
    return SpeedSet(folder / "predictions", folder / "images")


def _links(files: list[Path], folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True)
    links = []
    for number in range(count):
        file = files[number % len(files)]
        links.append(folder / f"{number:06}{file.suffix}")
        links[-1].symlink_to(file.resolve())
    return links
