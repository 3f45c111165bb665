"""The files of a patch set and what ``set.json`` says of them.

======================  =============================================================================================
``set.json``            version, settings, sources, counts, and size and SHA-256 of every other file; written last
``items.json``          the images of the set: a list of ``[source, name, image id]``
``index.npy``           where each patch lies and comes from: a NumPy file of ``INDEX_TYPE`` records, without pickle
``patches-00000.bin``   the records of the patches, one after the other, see ``patch_record.py``; and so on
======================  =============================================================================================

Nothing in them tells when or how fast they were made: equal patches make equal files.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.formats.json_files import Json, read_json
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.settings import build
from bpr_cli.system.atomic import writing
from bpr_cli.system.paths import write_bytes

DOCUMENT, ITEMS, INDEX = "set.json", "items.json", "index.npy"
KIND, VERSION = "bpr patch set", 1
"""The version is raised when a reader of the version before would misunderstand a set."""

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
"""One patch: its shard, first byte, bytes and CRC-32; its image as a place in ``items.json``; the rest as in
``PatchOrigin``, a category of ``NO_CATEGORY`` being none."""

_HASHED_AT_ONCE = 2**20


@dataclass(frozen=True)
class Counts:
    """What was seen of one source of coarse masks, or of one of its images.

    Attributes:
        images: images read.
        failed: images that could not be used.
        segments: coarse masks.
        matched: those with a true counterpart.
        patches: useful patches cut along them, of which ``max_patches`` may have kept a part.
        dropped: patches left out, because nothing is known of them or they are inferior.
    """

    images: int = 0
    failed: int = 0
    segments: int = 0
    matched: int = 0
    patches: int = 0
    dropped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class PatchSource:
    """A source of coarse masks; paths are as the user gave them.

    Attributes:
        name: the predictions; ``simulated from`` the ground truth where there were none.
        format: of the predictions.
        images: the folder of the images.
        truth: the ground truth.
        counts: what was seen of it.
    """

    name: str
    format: str
    images: str
    truth: str
    counts: Counts = Counts()

    @classmethod
    def from_json(cls, content: Json) -> PatchSource:
        """Read what ``asdict`` gave.

        Raises:
            TypeError: it is something else.
        """
        return cls(**{**content, "counts": Counts(**content["counts"])})


@dataclass(frozen=True)
class SetFile:
    """What ``set.json`` says of another file."""

    name: str
    bytes: int
    sha256: str

    def check_size(self, folder: Path) -> None:
        """Refuse a file that is missing, cut short or too long."""
        path = folder / self.name
        if not path.is_file():
            raise BprError(f"{path} does not exist, but belongs to the patch set; copy or extract the set again")
        found = path.stat().st_size
        if found != self.bytes:
            raise BprError(f"{path} has {found} bytes, expected {self.bytes}; copy or extract the patch set again")

    def check(self, folder: Path) -> None:
        """Refuse a file that is not, byte for byte, the one that was written."""
        self.check_size(folder)
        with reading(folder / self.name) as file:
            found = _hash(file)
        if found != self.sha256:
            raise BprError(f"{folder / self.name} is not as it was written; copy or extract the patch set again")


@dataclass(frozen=True)
class SetDocument:
    """The content of ``set.json``."""

    settings: PatchSetSettings
    sources: tuple[PatchSource, ...]
    patches: int
    images: int
    items: SetFile
    index: SetFile
    shards: tuple[SetFile, ...]

    @property
    def files(self) -> tuple[SetFile, ...]:
        """All files of the set but ``set.json``."""
        return self.items, self.index, *self.shards

    @property
    def digest(self) -> str:
        """SHA-256 over all that the document says, which includes the digests of all files."""
        return _digest(asdict(self))

    def write(self, folder: Path) -> None:
        """Write the file, atomically."""
        document = {"kind": KIND, "version": VERSION, "digest": self.digest, **asdict(self)}
        write_bytes(folder / DOCUMENT, (json.dumps(document, indent=2) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> SetDocument:
        """Read the file and check it, and the sizes of the others."""
        path = folder / DOCUMENT
        if not path.is_file():
            raise BprError(
                f"{folder} holds no {DOCUMENT}, expected a finished patch set; make one, or finish it, with bpr extract"
            )
        content = read_json(path)
        if not isinstance(content, dict) or content.get("kind") != KIND:
            raise BprError(f"{path} is not the {DOCUMENT} of a patch set; make a patch set with bpr extract")
        if content.get("version") != VERSION:
            raise BprError(
                f"{path} has the version {content.get('version')!r}, expected {VERSION}; extract the patch set again "
                "with this version of bpr"
            )
        try:
            document = cls._parse(content)
        except (BprError, TypeError, KeyError, ValueError) as error:
            raise BprError(f"{path} is damaged ({error}); copy or extract the patch set again") from error
        stated = content.pop("digest", None)
        if stated != _digest({name: value for name, value in content.items() if name not in ("kind", "version")}):
            raise BprError(f"{path} does not have the digest it states; copy or extract the patch set again")
        for file in document.files:
            file.check_size(folder)
        return document

    @classmethod
    def _parse(cls, content: dict[str, Json]) -> SetDocument:
        settings, shards = content["settings"], content["shards"]
        if not isinstance(settings, dict) or {field.name for field in fields(PatchSetSettings)} != set(settings):
            raise BprError("its settings are not those of this version")
        if not isinstance(shards, list):
            raise BprError("it lists no shards")
        return cls(
            build(PatchSetSettings, settings),
            tuple(PatchSource.from_json(source) for source in content["sources"]),
            _count(content["patches"]),
            _count(content["images"]),
            _parse_file(content["items"], ITEMS),
            _parse_file(content["index"], INDEX),
            tuple(_parse_file(shard, shard_name(number)) for number, shard in enumerate(shards)),
        )


def _digest(content: Json) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _count(value: Json) -> int:
    if type(value) is not int or value < 0:
        raise BprError(f"{value!r} is not a number of patches or images")
    return value


def _parse_file(content: Json, name: str) -> SetFile:
    """What ``set.json`` says of the file that must be called ``name``."""
    if not isinstance(content, dict) or content.get("name") != name or type(content.get("bytes")) is not int:
        raise BprError(f"it does not say what {name} holds")
    return SetFile(name, content["bytes"], str(content.get("sha256")))


def read_index(folder: Path, document: SetDocument) -> NDArray[np.void]:
    """The index, once it is known to be the one written and to point only at what is there."""
    path = folder / INDEX
    document.index.check(folder)
    try:
        # Mapped, so that no memory is taken for more than the file holds.
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


def reading(path: Path) -> IO[bytes]:
    """The file, opened for one read: threads and forked processes share no position in it."""
    try:
        return path.open("rb")
    except OSError as error:
        raise BprError(f"{path} cannot be read: {error.strerror or error}; copy the patch set again") from error


def remove_set(folder: Path) -> None:
    """Remove the files of a set from a folder, ``set.json`` first, so that no set is ever there in part.

    Raises:
        BprError: they cannot be removed.
    """
    with writing(folder):
        for path in (folder / DOCUMENT, folder / ITEMS, folder / INDEX, *folder.glob("patches-*.bin")):
            path.unlink(missing_ok=True)


def move_set(source: Path, target: Path) -> None:
    """Move the files of a set to another folder of the same disk, ``set.json`` last.

    Raises:
        BprError: they cannot be moved.
    """
    remove_set(target)
    with writing(target):
        for name in (ITEMS, INDEX, *(path.name for path in source.glob("patches-*.bin")), DOCUMENT):
            (source / name).replace(target / name)


def _hash(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(_HASHED_AT_ONCE):
        digest.update(block)
    return digest.hexdigest()
