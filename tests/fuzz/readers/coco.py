"""COCO results and annotations, with every form of mask."""

from contextlib import suppress
from pathlib import Path

from bpr_cli.errors import BprError
from tests.formats.format_builders import SIZE, compressed, disc, photo, save, uncompressed
from tests.fuzz.fuzzing import Reader
from tests.fuzz.readers.predictions import refine_nothing

FORMS = (compressed(disc()), uncompressed(disc()), [[2.0, 2.0, 20.0, 2.0, 20.0, 15.0]])


def record(number: int, form: object) -> dict[str, object]:
    image_id = number % 2 + 1
    fields = {"area": 10.0, "bbox": [1, 2, 3, 4], "iscrowd": 0}
    return {"id": number, "image_id": image_id, "category_id": 1, "score": 0.5, "segmentation": form, **fields}


def make(folder: Path) -> None:
    names = ("a.png", "b.jpg")
    for name in names:
        photo(folder / "images" / name)
    records = [record(number, form) for number, form in enumerate(FORMS * 2)]
    images = [
        {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]} for number, name in enumerate(names, 1)
    ]
    save(folder / "results.json", records)
    save(folder / "info.json", {"images": images})
    save(folder / "annotations.json", {"images": images, "annotations": records, "categories": [{"id": 1}]})


def read(folder: Path) -> None:
    images, out = folder / "images", folder.parent / "out"
    with suppress(BprError):
        refine_nothing(folder / "results.json", images, out, image_info=folder / "info.json")
    refine_nothing(folder / "annotations.json", images, out)


READER = Reader("coco", make, read)
