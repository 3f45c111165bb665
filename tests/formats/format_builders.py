"""Small prediction sets, made with Pillow and pycocotools, and what is done with every one of them."""

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from bpr_cli.formats.base import PredictionSet
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.masks.masks import Prediction

SIZE = (24, 32)


def disc(size=SIZE, center=(12, 14), radius=7):
    rows, columns = np.ogrid[: size[0], : size[1]]
    return (rows - center[0]) ** 2 + (columns - center[1]) ** 2 <= radius**2


def photo(path: Path, size=SIZE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(7).integers(0, 255, (*size, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path, **options)
    return path


def png(path: Path, values, mode=None, palette=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette is not None:
        image = Image.frombytes("P", image.size, values.astype(np.uint8).tobytes())
        image.putpalette(palette)
    elif mode is not None:
        image = image.convert(mode)
    image.save(path, **options)
    return path


def indexed_png(path: Path, values, palette):
    """An 8-bit palette PNG whose palette may be short, as other programs than Pillow write it."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 8, 3, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in values.astype(np.uint8))
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks))
    return path


def pixels(path: Path):
    with Image.open(path) as image:
        return np.array(image)


def panoptic_png(path: Path, ids):
    return png(path, np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2).astype(np.uint8))


def panoptic_ids(path: Path):
    return pixels(path).astype(np.int64) @ np.array([1, 256, 65536])


def save(path: Path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def load(path: Path):
    return json.loads(path.read_text())


def compressed(mask):
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def uncompressed(mask):
    flat = mask.flatten(order="F").astype(int)
    changes = np.flatnonzero(np.diff(flat, prepend=0, append=-1))
    return {"size": list(mask.shape), "counts": np.diff(changes, prepend=0).tolist()}


def round_trip(predictions: Path, images: Path, out: Path, **options) -> PredictionSet:
    """Read every item and write it back unchanged, in reverse order because the order must not matter."""
    opened = open_predictions(predictions, images, ReadSettings(**options))
    write_back(opened, out, {item.name: opened.read(item) for item in reversed(opened.items)})
    return opened


def write_back(opened: PredictionSet, out: Path, refined: Mapping[str, Prediction]) -> None:
    """Write refined predictions of items, by name, in the order given."""
    writer, items, records = opened.writer(out), {item.name: item for item in opened.items}, {}
    for name, prediction in refined.items():
        records.update(writer.write(items[name], prediction).records)
    writer.close((position, records[position]) for position in sorted(records))


def read_all(opened: PredictionSet):
    return {item.name: opened.read(item) for item in opened.items}


@st.composite
def masks(draw, longest=40):
    """Masks of all kinds: empty, full, noise of any density, and rectangles."""
    height, width = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random((height, width))
    mask = noise < draw(st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]))
    if draw(st.booleans()):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        mask[top : draw(st.integers(top, height)), left : draw(st.integers(left, width))] = True
    return mask
