"""Images: decode them to RGB, know their size, and find the one that belongs to a prediction."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure, Item
from bpr_cli.formats.documents import join_names
from bpr_cli.formats.files import list_files
from bpr_cli.masks import Size

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")

_PILLOW_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP")
_CITYSCAPES_IMAGE = "_leftImg8bit"
_TAG = re.compile(
    r"(\.(png|jpe?g|tiff?|webp)"
    r"|_leftImg8bit"
    r"|_gt(Fine|Coarse)(_[a-z]+)?"
    r"|_pred[a-z]*(_[a-z]+)?"
    r"|_(label|instance)(Train)?Ids"
    r"|_(panoptic|labels?|masks?))$",
    re.IGNORECASE,
)


def load_pillow(path: Path, formats: tuple[str, ...], kind: str) -> Image.Image:
    """Open and fully decode an image file; pixels are as stored, EXIF rotation is not applied.

    Args:
        path: the file.
        formats: names of the formats it may have, as Pillow calls them.
        kind: what it should have been, for messages.

    Raises:
        BprError: missing, unreadable, truncated or not such a file.
    """
    try:
        with Image.open(path, formats=formats) as image:
            image.load()
            decoded: Image.Image = image
            return decoded
    except Exception as error:
        # Decoders raise almost anything on broken bytes (SyntaxError, IndexError, zlib.error): all mean the same here.
        raise BprError(_explain(path, kind, error)) from error


def image_size(path: Path) -> Size:
    """(H, W) of an image file from its header.

    Raises:
        BprError: missing, unreadable or not an image.
    """
    try:
        with Image.open(path, formats=_PILLOW_FORMATS) as image:
            return image.height, image.width
    except Exception as error:
        raise BprError(_explain(path, "a PNG, JPEG, TIFF or WebP image", error)) from error


def _explain(path: Path, kind: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path} does not exist, expected {kind}"
    if isinstance(error, Image.DecompressionBombError):
        return f"{path} claims to have more pixels than can be processed safely; cut it into tiles"
    if path.is_file() and path.stat().st_size == 0:
        return f"{path} is empty (0 bytes), expected {kind}"
    if isinstance(error, UnidentifiedImageError):
        return f"{path} is not {kind}"
    if isinstance(error, (SyntaxError, EOFError, struct.error)) or "truncated" in str(error).lower():
        return f"{path} is truncated or damaged ({error}), expected {kind}; copy or export it again"
    return f"{path} cannot be read as {kind}: {error or type(error).__name__}"


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decode an image to RGB: uint8, (H, W, 3).

    Gray and palette images become RGB, transparency is dropped, CMYK is converted. Images with more than 8 bits are
    scaled from the smallest of 8, 10, 12, 14, 16 or 32 bits that holds their brightest pixel, because cameras and
    microscopes often store 12 bits in 16.

    Raises:
        BprError: missing, unreadable, truncated or not an image.
    """
    image = load_pillow(path, _PILLOW_FORMATS, "a PNG, JPEG, TIFF or WebP image")
    if image.mode == "F" or image.mode.startswith("I"):
        gray = _to_eight_bits(np.asarray(image), path)
        return np.repeat(gray[:, :, None], 3, axis=2)
    try:
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        return np.array(image.convert("RGB"))
    except ValueError as error:
        raise BprError(f"{path} has the colour mode {image.mode}, which is not supported; convert it to RGB") from error


def _to_eight_bits(gray: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    values = gray.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0:
        raise BprError(f"{path} has pixel values from {low:g} to {high:g}, expected 0 or more; convert it to 8 bits")
    if gray.dtype.kind == "f":
        full = 1.0 if high <= 1 else 255.0
    else:
        full = next(2.0**bits - 1 for bits in (8, 10, 12, 14, 16, 32) if high < 2**bits)
    if high > full:
        raise BprError(f"{path} has float pixels up to {high:g}, expected 0..1 or 0..255; convert it to 8 bits")
    return np.rint(values * (255 / full)).astype(np.uint8)


def stems_of(name: str) -> list[str]:
    """The stems an image for the prediction ``name`` may have, the most specific first.

    One known ending after the other is taken off: ``a_gtFine_labelIds.png`` gives ``a_gtFine_labelIds.png``,
    ``a_gtFine_labelIds`` and ``a``.
    """
    stems = [name]
    while (shorter := _TAG.sub("", stems[-1])) not in ("", stems[-1]):
        stems.append(shorter)
    return stems


class ImageIndex:
    """The images under a directory, or one image file, to be found by the name of a prediction.

    A prediction's image is the file with exactly the relative path asked for; else a Cityscapes image
    (``…_leftImg8bit``) whose stem, without that ending, is one of ``stems_of``; else a file with such a stem. Among
    several, the one in the same relative folder wins, then the one whose folder ends with the prediction's.
    """

    def __init__(self, root: Path, paths: Iterable[Path], lone: Path | None = None) -> None:
        """Index ``paths``, which are relative to ``root``; see ``scan``."""
        self.root = root
        self.lone = lone
        self._paths = {path.as_posix(): path for path in paths}
        self._cityscapes: dict[str, list[Path]] = {}
        self._stems: dict[str, list[Path]] = {}
        for path in self._paths.values():
            self._stems.setdefault(path.stem, []).append(path)
            if path.stem.endswith(_CITYSCAPES_IMAGE):
                self._cityscapes.setdefault(path.stem.removesuffix(_CITYSCAPES_IMAGE), []).append(path)

    @classmethod
    def scan(cls, images: Path) -> ImageIndex:
        """Index a directory of images or one image file.

        Raises:
            BprError: it does not exist or holds no image.
        """
        if images.is_file():
            return cls(images.parent, [Path(images.name)], lone=images)
        if not images.is_dir():
            raise BprError(f"{images} does not exist, expected a directory of images or one image; check --images")
        paths = list_files(images, IMAGE_SUFFIXES)
        if not paths:
            raise BprError(f"{images} holds no image, expected {', '.join(IMAGE_SUFFIXES)} files; check --images")
        return cls(images, paths)

    def find(self, names: Sequence[str]) -> Path:
        """The image of a prediction.

        Args:
            names: what the image may be called, in order of preference: file names or stems, with folders if known.

        Raises:
            BprError: no such image, or several.
        """
        for name in names:
            if name in self._paths:
                return self.root / self._paths[name]
            matches = self._matches(Path(name).name)
            if matches:
                return self.root / self._choose(name, matches)
        where = self.lone or self.root
        raise BprError(f"no image called {_quote(names[0])} in {where} ({len(self._paths)} images); check --images")

    def _matches(self, name: str) -> list[Path]:
        stems = stems_of(name)
        for known in (self._cityscapes, self._stems):
            for stem in stems:
                if stem in known:
                    return known[stem]
        return []

    def _choose(self, name: str, matches: list[Path]) -> Path:
        folder = Path(name).parent
        same = [path for path in matches if path.parent == folder]
        ending = [path for path in matches if folder.parts and path.parent.parts[-len(folder.parts) :] == folder.parts]
        for group in (matches, same, ending):
            if len(group) == 1:
                return group[0]
        raise BprError(
            f"several images match {_quote(name)}: {join_names(self.root / path for path in matches)}; "
            "give a directory with one of them"
        )


def _quote(name: str) -> str:
    return repr(stems_of(Path(name).name)[-1])


@dataclass(frozen=True)
class Entry:
    """An item before its image is known.

    Attributes:
        name: becomes the item's name.
        image_names: what its image may be called, as ``ImageIndex.find`` takes it.
        problem: why it cannot be processed at all, or None.
    """

    name: str
    image_names: tuple[str, ...] = ()
    problem: str | None = None


def match_images(entries: Sequence[Entry], index: ImageIndex) -> tuple[list[Item], list[Failure]]:
    """Find the image of every entry; entries with a problem, or without an image, become failures.

    A single entry belongs to a single image file whatever the two are called.
    """
    items: list[Item] = []
    failures: list[Failure] = []
    for entry in entries:
        try:
            if entry.problem is not None:
                raise BprError(entry.problem)
            alone = index.lone is not None and len(entries) == 1
            image = index.lone if alone and index.lone else index.find(entry.image_names)
            items.append(Item(entry.name, image))
        except BprError as error:
            failures.append(Failure(entry.name, str(error)))
    return items, failures
