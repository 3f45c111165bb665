"""The files of a patch set.

======================  =============================================================================================
``set.json``            version, settings, sources, counts, and size and SHA-256 of every other file; written last
``items.json``          the images of the set: a list of ``[source, name, image id]``
``index.npy``           position and origin of each patch: a NumPy file of ``INDEX_TYPE`` records, without pickle
``patches-00000.bin``   the records, one after the other, see ``record.py`` and ``whole.py``; and so on
======================  =============================================================================================

No file contains a time or a duration, so equal patches give equal files.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.formats.json_files import Json, read_json
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.settings import Natural, build
from bpr_cli.system.atomic import writing
from bpr_cli.system.paths import write_bytes

DOCUMENT, ITEMS, INDEX = "set.json", "items.json", "index.npy"
KIND, VERSION = "bpr patch set", 1
"""Version of the layout, raised when older readers would misunderstand a set."""

NO_CATEGORY = np.iinfo(np.int64).min

INDEX_TYPE = np.dtype(
    [
        ("shard", "<u4"),
        ("offset", "<u8"),
        ("length", "<u4"),
        ("crc", "<u4"),
        ("item", "<u4"),
        ("category", "<i8"),
        ("segment", "<i8"),
        ("box", "<i4", (4,)),
    ]
)
"""The index entry of a patch: shard, first byte, number of bytes, CRC-32, and position of its image in ``items.json``.
The other fields are those of ``PatchOrigin``, with ``NO_CATEGORY`` for None."""

_BLOCK = 2**20


@dataclass(frozen=True)
class SourceCounts:
    """Counts of one source of coarse masks, or of one of its images.

    Attributes:
        images: number of images read.
        failed: number of images that could not be used.
        segments: number of coarse masks.
        matched: number of coarse masks that match a ground-truth mask.
        no_truth: number of coarse masks whose image has no ground truth of their category.
        patches: number of useful patches along them, before ``max_patches`` samples from them.
        dropped: number of patches left out because they are inferior or their ground truth is void.
    """

    images: Natural = 0
    failed: Natural = 0
    segments: Natural = 0
    matched: Natural = 0
    no_truth: Natural = 0
    patches: Natural = 0
    dropped: Natural = 0

    def __add__(self, other: SourceCounts) -> SourceCounts:
        return SourceCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def why_unmatched(self, min_iou: float) -> str:
        """Why coarse masks do not match, with counts.

        >>> SourceCounts(segments=9, matched=4, no_truth=2).why_unmatched(0.5)
        '2 without ground truth of their category in the image, 3 with an IoU of at most 0.5'
        """
        reasons = {
            "without ground truth of their category in the image": self.no_truth,
            f"with an IoU of at most {min_iou:g}": self.segments - self.matched - self.no_truth,
        }
        return ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)


@dataclass(frozen=True)
class PatchSource:
    """A source of coarse masks, with paths as given by the user.

    Attributes:
        name: path of the predictions, or ``simulated from`` and the path of the ground truth.
        format: format of the predictions.
        images: folder of the images.
        truth: path of the ground truth.
        counts: counts of its masks and patches.
    """

    name: str
    format: str
    images: str
    truth: str
    counts: SourceCounts = SourceCounts()


@dataclass(frozen=True)
class SetFile:
    """The entry of another file in ``set.json``."""

    name: str
    bytes: Natural
    sha256: str

    def check_size(self, folder: Path) -> None:
        """Check that the file exists and has the stated size.

        Raises:
            BprError: the file is missing or has another size.
        """
        path = folder / self.name
        if not path.is_file():
            raise BprError(f"{path} does not exist, but belongs to the patch set; copy or extract the set again")
        found = path.stat().st_size
        if found != self.bytes:
            raise BprError(f"{path} has {found} bytes, expected {self.bytes}; copy or extract the patch set again")

    def check(self, folder: Path) -> None:
        """Check the content of the file.

        Raises:
            BprError: the file is missing or was changed.
        """
        self.check_size(folder)
        digest = hashlib.sha256()
        with open_for_reading(folder / self.name) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        if digest.hexdigest() != self.sha256:
            raise BprError(f"{folder / self.name} is not as it was written; copy or extract the patch set again")


@dataclass(frozen=True)
class SetDocument:
    """The content of ``set.json``.

    Attributes:
        digest: SHA-256 of all other fields, hexadecimal; these include the digests of all files.
    """

    settings: PatchSetSettings
    sources: tuple[PatchSource, ...]
    patches: Natural
    images: Natural
    items: SetFile
    index: SetFile
    shards: tuple[SetFile, ...]
    digest: str = ""

    @property
    def files(self) -> tuple[SetFile, ...]:
        """All files of the set except ``set.json``."""
        return self.items, self.index, *self.shards

    def write(self, folder: Path) -> None:
        """Write ``set.json`` atomically, with its digest."""
        content = asdict(self)
        del content["digest"]
        document = {"kind": KIND, "version": VERSION, "digest": digest_of(content), **content}
        write_bytes(folder / DOCUMENT, (json.dumps(document, indent=2) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> SetDocument:
        """Read and check ``set.json``, and check the sizes of the other files.

        Raises:
            BprError: the set is missing, unfinished or damaged, or has another version.
        """
        path = folder / DOCUMENT
        if not path.is_file():
            raise BprError(
                f"{folder} holds no {DOCUMENT}, expected a finished patch set; make one, or finish it, with bpr extract"
            )
        content = read_json(path)
        if not isinstance(content, dict) or content.pop("kind", None) != KIND:
            raise BprError(f"{path} is not the {DOCUMENT} of a patch set; make a patch set with bpr extract")
        version = content.pop("version", None)
        if version != VERSION:
            raise BprError(
                f"{path} has the version {version!r}, expected {VERSION}; extract the patch set again with this "
                "version of bpr"
            )
        try:
            document = build(cls, content)
        except BprError as error:
            raise BprError(f"{path} is damaged ({error}); copy or extract the patch set again") from error
        if document.digest != digest_of({name: value for name, value in content.items() if name != "digest"}):
            raise BprError(f"{path} does not have the digest it states; copy or extract the patch set again")
        names = [ITEMS, INDEX, *map(shard_name, range(len(document.shards)))]
        if [file.name for file in document.files] != names:
            raise BprError(f"{path} is damaged (it names other files); copy or extract the patch set again")
        for file in document.files:
            file.check_size(folder)
        return document


def digest_of(content: Json) -> str:
    """SHA-256 of the content of ``set.json`` without kind, version and digest, hexadecimal."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_file(folder: Path, name: str, content: bytes) -> SetFile:
    """Write a file of a set atomically."""
    return SetFile(name, len(content), write_bytes(folder / name, content))


def read_index(folder: Path, document: SetDocument) -> NDArray[np.void]:
    """Read the index; check its digest, and that every record lies inside a shard.

    Raises:
        BprError: the index is damaged.
    """
    path = folder / INDEX
    document.index.check(folder)
    try:
        # Memory mapping never allocates more memory than the file has bytes.
        index = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:
        # NumPy parses the header as Python source, so broken bytes can raise almost any exception.
        raise BprError(f"{path} is not a NumPy file ({error}); extract the patch set again") from error
    if index.dtype != INDEX_TYPE or index.shape != (document.patches,):
        raise BprError(f"{path} is not the index of {document.patches} patches; extract the patch set again")
    sizes = np.array([shard.bytes for shard in document.shards], dtype=np.uint64)
    if len(index) and (
        index["shard"].max() >= len(sizes)
        or index["item"].max() >= document.images
        or np.any(index["offset"] > sizes[index["shard"]])
        or np.any(index["length"] > sizes[index["shard"]] - index["offset"])
    ):
        raise BprError(f"{path} points outside of the set's files; extract the patch set again")
    return index


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"patches-{number:05d}.bin"


def open_for_reading(path: Path) -> IO[bytes]:
    """Open a file for a single read, so that threads and forked processes share no file position."""
    try:
        return path.open("rb")
    except OSError as error:
        raise BprError(f"{path} cannot be read: {error.strerror or error}; copy the patch set again") from error


def remove_set(folder: Path) -> None:
    """Remove the files of a set, ``set.json`` first, so that an incomplete set never looks finished.

    Raises:
        BprError: a file cannot be removed.
    """
    with writing(folder):
        for path in (folder / DOCUMENT, folder / ITEMS, folder / INDEX, *folder.glob("patches-*.bin")):
            path.unlink(missing_ok=True)
