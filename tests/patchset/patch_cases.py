"""Patches made of noise, and sets of them."""

from pathlib import Path

import numpy as np

from bpr_cli.patchset.record import VOID, PatchSample, encode_sample
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.patchset.store import PatchOrigin, PatchSet, PatchSetWriter

SETTINGS = PatchSetSettings(patch_size=16, padding=4)


def noise(seed: int, side: int = SETTINGS.side) -> PatchSample:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    coarse = rng.integers(0, 2, (side, side), dtype=np.uint8)
    truth = rng.choice(np.array([0, 1, VOID], dtype=np.uint8), (side, side))
    return PatchSample(image, coarse, truth)


def origin(number: int) -> PatchOrigin:
    category = None if number % 3 == 0 else number - 5
    image_id = [None, number // 2, f"id {number}"][number % 3]
    box = (number, 2 * number, number + 16, 2 * number + 16)
    return PatchOrigin("preds/", f"image {number // 2}.png", image_id, category, box, 7 * number)


def write_set(path: Path, count: int = 9, settings: PatchSetSettings = SETTINGS, shard_bytes: int = 4000) -> PatchSet:
    writer = PatchSetWriter(path, settings, shard_bytes)
    for number in range(count):
        writer.add(encode_sample(noise(number, settings.side), settings.jpeg), origin(number))
    return writer.close()


def assert_same(found: PatchSample, expected: PatchSample) -> None:
    np.testing.assert_array_equal(found.image, expected.image)
    np.testing.assert_array_equal(found.coarse, expected.coarse)
    np.testing.assert_array_equal(found.truth, expected.truth)


def contents(folder: Path) -> dict[str, bytes]:
    """All files under a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
