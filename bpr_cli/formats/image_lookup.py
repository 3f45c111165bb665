"""Finds the image of a prediction by its file name, ignoring known endings such as ``_gtFine_labelIds``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpr_cli.errors import BprError, join_names
from bpr_cli.formats.base import Failure, Item
from bpr_cli.formats.images import image_size
from bpr_cli.system.paths import list_files, system_name
from bpr_cli.typing import Size

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")

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


def stems_of(name: str) -> list[str]:
    """Possible stems of the image of the prediction ``name``, most specific first.

    Known endings are removed one by one: ``a_gtFine_labelIds.png`` gives ``a_gtFine_labelIds.png``,
    ``a_gtFine_labelIds`` and ``a``.
    """
    stems = [name]
    while (shorter := _TAG.sub("", stems[-1])) not in ("", stems[-1]):
        stems.append(shorter)
    return stems


class ImageIndex:
    """The images under a folder, or one image file, indexed by name.

    The image of a prediction is the file with exactly its relative path; else a Cityscapes image (``…_leftImg8bit``)
    whose stem, without that ending, is one of ``stems_of``; else a file with such a stem. If several files match, one
    in the same relative folder wins, then one whose folder ends with the folder of the prediction.

    Attributes:
        root: the folder.
        lone: the image, if a single file was given instead of a folder.
    """

    def __init__(self, root: Path, paths: Iterable[Path], lone: Path | None = None) -> None:
        """Index ``paths``, relative to ``root``; see ``scan``."""
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
        """Index a folder of images or one image file.

        Raises:
            BprError: the path does not exist, or the folder holds no image.
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
        """Find the image of a prediction.

        Args:
            names: possible names of the image in order of preference: file names or stems, with folders if known.

        Raises:
            BprError: no image matches, or several do.
        """
        for name in map(system_name, names):
            if name in self._paths:
                return self.root / self._paths[name]
            matches = self._matches(Path(name).name)
            if matches:
                return self.root / self._choose(name, matches)
        where = self.lone or self.root
        raise BprError(f"no image called {_quote(names[0])} in {where} ({len(self._paths)} images); check --images")

    def size(self, image: Path, max_pixels: int) -> Size:
        """(H, W) of an image that ``find`` returned.

        Raises:
            BprError: the file is broken or too large.
        """
        return image_size(image, max_pixels)

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


class NoImages(ImageIndex):
    """An index for tasks that need no images; it returns a possible name of the image instead of a path."""

    def __init__(self) -> None:
        """Make an empty index."""
        super().__init__(Path(), [])

    def find(self, names: Sequence[str]) -> Path:
        """The first name, as a path that need not exist."""
        return Path(names[0])

    def size(self, image: Path, max_pixels: int) -> Size:  # noqa: ARG002
        """Always fails, because the name comes from a prediction and no such file may be opened.

        Raises:
            BprError: always.
        """
        raise BprError(
            f"the size of the image {str(image)!r} is not stated, expected height and width in an images list"
        )


def image_stem(name: Path) -> str:
    """The shortest stem of ``stems_of``; all files of one image share it."""
    return stems_of(name.name)[-1]


def _quote(name: str) -> str:
    return repr(stems_of(Path(name).name)[-1])


@dataclass(frozen=True)
class Candidate:
    """An item whose image is not found yet.

    Attributes:
        name: name of the item.
        image_names: possible names of its image, for ``ImageIndex.find``.
        problem: reason why it cannot be processed, or None.
        hint: advice appended to the message if no image is found.
    """

    name: str
    image_names: tuple[str, ...] = ()
    problem: str | None = None
    hint: str = ""


def match_images(candidates: Sequence[Candidate], index: ImageIndex) -> tuple[list[Item], list[Failure]]:
    """Find the image of every candidate; candidates with a problem or without an image become failures.

    If there is only one candidate and one image file, they match whatever their names.
    """
    items: list[Item] = []
    failures: list[Failure] = []
    for candidate in candidates:
        if candidate.problem is not None:
            failures.append(Failure(candidate.name, candidate.problem))
            continue
        try:
            alone = index.lone is not None and len(candidates) == 1
            image = index.lone if alone and index.lone else index.find(candidate.image_names)
            items.append(Item(candidate.name, image))
        except BprError as error:
            failures.append(Failure(candidate.name, f"{error}{candidate.hint}"))
    return items, failures
