"""The files of a patch set.

======================  =============================================================================================
``set.json``            version, settings, sources, counts, and size and SHA-256 of every other file; written last
``items.json``          the images of the set: a list of ``[source, name, image id]``
``index.npy``           position and origin of each patch: a NumPy file of ``INDEX_TYPE`` records, without pickle
``patches-00000.bin``   the records, one after the other, see ``record.py`` and ``whole.py``; and so on
======================  =============================================================================================

No file holds a time or a duration: equal patches make equal files.
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
"""The version is raised when older readers would misunderstand a set."""

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
"""One patch: its shard, first byte, number of bytes and CRC-32; its image as a position in ``items.json``; the rest as
in ``PatchOrigin``, with ``NO_CATEGORY`` for None."""

_BLOCK = 2**20


@dataclass(frozen=True)
class SourceCounts:
    """What was found in one source of coarse masks, or in one of its images.

    Attributes:
        images: images read.
        failed: images that could not be used.
        segments: coarse masks.
        matched: coarse masks that match a ground-truth mask.
        patches: useful patches along them, of which ``max_patches`` may have kept a part.
        dropped: patches left out because all of their ground truth is void or they are inferior.
    """

    images: Natural = 0
    failed: Natural = 0
    segments: Natural = 0
    matched: Natural = 0
    patches: Natural = 0
    dropped: Natural = 0

    def __add__(self, other: SourceCounts) -> SourceCounts:
        return SourceCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class PatchSource:
    """A source of coarse masks; paths are as the user gave them.

    Attributes:
        name: the predictions, or ``simulated from`` the ground truth.
        format: of the predictions.
        images: the folder of the images.
        truth: the ground truth.
        counts: what was found in it.
    """

    name: str
    format: str
    images: str
    truth: str
    counts: SourceCounts = SourceCounts()


@dataclass(frozen=True)
class SetFile:
    """What ``set.json`` states of another file."""

    name: str
    bytes: Natural
    sha256: str

    def check_size(self, folder: Path) -> None:
        """Raise BprError if the file is missing or has another size."""
        path = folder / self.name
        if not path.is_file():
            raise BprError(f"{path} does not exist, but belongs to the patch set; copy or extract the set again")
        found = path.stat().st_size
        if found != self.bytes:
            raise BprError(f"{path} has {found} bytes, expected {self.bytes}; copy or extract the patch set again")

    def check(self, folder: Path) -> None:
        """Raise BprError if the file is not, byte for byte, the one that was written."""
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
        digest: SHA-256 of all else, hexadecimal; it covers the digests of all files.
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
        """All files of the set but ``set.json``."""
        return self.items, self.index, *self.shards

    def write(self, folder: Path) -> None:
        """Write ``set.json`` atomically, with its digest."""
        content = asdict(self)
        del content["digest"]
        document = {"kind": KIND, "version": VERSION, "digest": digest_of(content), **content}
        write_bytes(folder / DOCUMENT, (json.dumps(document, indent=2) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> SetDocument:
        """Read ``set.json`` and check it and the sizes of the other files.

        Raises:
            BprError: the set is missing, unfinished, damaged or of another version.
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
    """The index, compared with its digest, and with every record inside a shard.

    Raises:
        BprError: it is damaged.
    """
    path = folder / INDEX
    document.index.check(folder)
    try:
        # Mapped, so that no more memory is allocated than the file has bytes.
        index = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:
        # NumPy reads the header as Python source, so broken bytes raise almost anything.
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
    """Name of the file of a shard."""
    return f"patches-{number:05d}.bin"


def open_for_reading(path: Path) -> IO[bytes]:
    """The file, opened for one read, so that threads and forked processes share no position in it."""
    try:
        return path.open("rb")
    except OSError as error:
        raise BprError(f"{path} cannot be read: {error.strerror or error}; copy the patch set again") from error


def remove_set(folder: Path) -> None:
    """Remove the files of a set from a folder, ``set.json`` first, so that no incomplete set looks finished.

    Raises:
        BprError: they cannot be removed.
    """
    with writing(folder):
        for path in (folder / DOCUMENT, folder / ITEMS, folder / INDEX, *folder.glob("patches-*.bin")):
            path.unlink(missing_ok=True)
