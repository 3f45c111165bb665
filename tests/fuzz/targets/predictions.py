"""What refinement reads: photographs, predictions of every format, and its own journal."""

import base64
import io
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.images import image_size, read_image
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.output_checks import check_outputs
from bpr_cli.formats.reading import ReadSettings
from tests.formats.format_builders import (
    SIZE,
    compressed,
    disc,
    indexed_png,
    panoptic_png,
    photo,
    png,
    save,
    uncompressed,
)
from tests.fuzz.harness import Target
from tests.system.test_journal import inputs, opened, work

tifffile = import_module("tifffile") if find_spec("tifffile") else None
LABELS = np.random.default_rng(1).integers(0, 9, SIZE)
JOURNAL = "out/.bpr"


def refine_nothing(predictions: Path, images: Path, out: Path, **options: object) -> None:
    """Do all that refinement does with predictions, except refining: open, read and write every item."""
    opened = open_predictions(predictions, images, ReadSettings(**options))
    check_outputs(out, refined=opened)
    writer, records = opened.writer(out), {}
    for item in opened.items:
        with suppress(BprError):
            opened.size(item)
        with suppress(BprError):
            records.update(writer.write(item, opened.read(item)).records)
    writer.close(sorted(records.items()))


def reader(name: str) -> Callable[[Path], None]:
    return lambda folder: refine_nothing(folder / name, folder / "images", folder.parent / "out")


def make_images(folder: Path) -> None:
    for suffix in ("png", "jpg", "tif", "webp"):
        photo(folder / f"{suffix}.{suffix}", (12, 14))
    photo(folder / "packed.tif", (12, 14), compression="tiff_lzw")


def read_images(folder: Path) -> None:
    index = ImageIndex.scan(folder)
    for stem in ("png", "jpg", "tif", "webp", "packed"):
        with suppress(BprError):
            path = index.find([stem])
            image_size(path)
            assert read_image(path).shape[2] == 3


def make_masks(folder: Path) -> None:
    for name, mode in (("a", "L"), ("b", "1"), ("c", "P"), ("d", "RGB")):
        photo(folder / f"images/{name}.png")
        png(folder / f"preds/{name}.png", disc().astype("uint8") * 255, mode)


def make_labels(folder: Path) -> None:
    for name in "abc":
        photo(folder / f"images/{name}.jpg")
    png(folder / "preds/a_labelIds.png", LABELS.astype(np.uint8))
    png(folder / "preds/b_labelIds.png", LABELS.astype(np.uint16) * 999)
    indexed_png(folder / "preds/c_labelIds.png", LABELS, bytes(range(27)))


def make_coco(folder: Path) -> None:
    """Results and annotations with every form of mask."""
    forms = (compressed(disc()), uncompressed(disc()), [[2.0, 2.0, 20.0, 2.0, 20.0, 15.0]])
    names = ("a.png", "b.jpg")
    for name in names:
        photo(folder / "images" / name)
    fields = {"category_id": 1, "score": 0.5, "area": 10.0, "bbox": [1, 2, 3, 4], "iscrowd": 0}
    records = [
        {"id": number, "image_id": number % 2 + 1, "segmentation": form, **fields}
        for number, form in enumerate(forms * 2)
    ]
    images = [
        {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]} for number, name in enumerate(names, 1)
    ]
    save(folder / "results.json", records)
    save(folder / "info.json", {"images": images})
    save(folder / "annotations.json", {"images": images, "annotations": records, "categories": [{"id": 1}]})


def read_coco(folder: Path) -> None:
    images, out = folder / "images", folder.parent / "out"
    with suppress(BprError):
        refine_nothing(folder / "results.json", images, out, image_info=folder / "info.json")
    refine_nothing(folder / "annotations.json", images, out)


def make_cityscapes(folder: Path) -> None:
    for name in "ab":
        photo(folder / f"images/{name}.png")
        png(folder / f"preds/masks/{name}_0.png", disc().astype("uint8") * 255)
        png(folder / f"preds/masks/{name} 1.png", disc(radius=3).astype("uint8"))
        (folder / f"preds/{name}_pred.txt").write_text(f"masks/{name}_0.png 24 0.97\nmasks/{name} 1.png 26 0.1\n")


def make_panoptic(folder: Path) -> None:
    annotations = []
    for number, name in enumerate("ab", 1):
        photo(folder / f"images/{name}.png")
        panoptic_png(folder / f"preds/{name}.png", np.where(disc(), 70000, 300))
        segments = [{"id": n, "category_id": 1, "area": 5, "bbox": [0, 0, 1, 1]} for n in (300, 70000)]
        annotations.append({"image_id": number, "file_name": f"{name}.png", "segments_info": segments})
    images = [{"id": number, "file_name": f"{name}.png"} for number, name in enumerate("ab", 1)]
    save(folder / "preds.json", {"images": images, "annotations": annotations})


def make_yolo(folder: Path) -> None:
    (folder / "preds").mkdir()
    for name in "ab":
        photo(folder / f"images/{name}.png")
        (folder / f"preds/{name}.txt").write_text("1 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9 0.75\n0 0.5 0.5 0.7 0.5 0.6 0.8\n")
    (folder / "data.yaml").write_text("names: [cat, dog]\n")


def read_yolo(folder: Path) -> None:
    with suppress(BprError):
        _ = open_predictions(folder / "preds", folder / "images").categories
    refine_nothing(folder / "preds", folder / "images", folder.parent / "out")


def make_labelme(folder: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(disc().astype(np.uint8)).save(stream, "PNG")
    pixels = base64.b64encode(stream.getvalue()).decode()
    for name in "ab":
        photo(folder / f"images/{name}.png")
        polygon = {"label": "cat", "points": [[1.0, 1.0], [20.0, 1.0], [20.0, 9.0]], "shape_type": "polygon"}
        mask = {"label": "dog", "points": [[0, 0], [31, 23]], "shape_type": "mask", "mask": pixels}
        stated = {"imagePath": f"{name}.png", "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
        save(folder / f"preds/{name}.json", {"shapes": [polygon, mask], **stated})


def make_objects(folder: Path) -> None:
    for name in "ab":
        photo(folder / f"images/{name}.png")
        png(folder / f"preds/{name}.png", LABELS.astype(np.uint8))


def read_objects(folder: Path) -> None:
    refine_nothing(folder / "preds", folder / "images", folder.parent / "out", ids="objects")


def make_tiff(folder: Path) -> None:
    photo(folder / "images/a.png")
    tifffile.imwrite(
        folder / "a.tif", np.stack([LABELS.astype(np.uint16)] * 2), photometric="minisblack", compression="zlib"
    )


def read_tiff(folder: Path) -> None:
    refine_nothing(folder / "a.tif", folder / "images/a.png", folder.parent / "out", format="tiff")


def make_journal(folder: Path) -> None:
    for name in ("shared.json", *"abc"):
        (folder / "in").mkdir(exist_ok=True)
        (folder / "in" / name).write_text("{}")
    work(folder / JOURNAL)


def read_journal(folder: Path) -> None:
    with opened(folder / JOURNAL) as journal:
        for name in "abc":
            journal.done(name, inputs(folder / JOURNAL, name))
        list(journal.records())


TARGETS = (
    Target("images", make_images, read_images),
    Target("masks", make_masks, reader("preds")),
    Target("labels", make_labels, reader("preds")),
    Target("coco", make_coco, read_coco),
    Target("cityscapes", make_cityscapes, reader("preds")),
    Target("panoptic", make_panoptic, reader("preds.json")),
    Target("yolo", make_yolo, read_yolo),
    Target("labelme", make_labelme, reader("preds")),
    Target("objects", make_objects, read_objects),
    *([Target("tiff", make_tiff, read_tiff)] if tifffile else []),
    Target("journal", make_journal, read_journal),
)
