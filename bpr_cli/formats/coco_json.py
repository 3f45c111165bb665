"""The ``images`` list of COCO-like JSON files: which image an id means, and how large it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bpr_cli.errors import BprError, shorten
from bpr_cli.formats.base import ImageRecord, Searched
from bpr_cli.formats.json_files import Json, Record, describe, read_json
from bpr_cli.typing import Size

_COCO_DIGITS = 12


class ImageTable:
    """Image records by id; 42, "42" and, where nothing has exactly that id, "000000000042" are the same."""

    def __init__(self, records: Iterable[Json], path: Path) -> None:
        """Take what is usable of the records; an id without a usable record is unknown.

        Args:
            records: the ``images`` list.
            path: of the file that holds it, for messages.

        Raises:
            BprError: two different images have one id.
        """
        self._exact: dict[str, ImageRecord] = {}
        self._plain: dict[str, ImageRecord] = {}
        for record in records:
            name = _name_of(record) if isinstance(record, dict) and is_id(record.get("id")) else None
            if name is not None:
                image = ImageRecord(record["id"], name, _size_of(record), _searched_of(record))
                known = self._exact.get(str(record["id"]), image)
                if known != image:
                    raise BprError(
                        f"{path} has two images with the id {shorten(record['id'])}, {known.file_name} and {name}, "
                        "expected an id of its own for each"
                    )
                self._exact[str(record["id"])] = image
                self._plain[plain_id(record["id"])] = image

    @classmethod
    def read(cls, path: Path) -> ImageTable:
        """The images of a COCO-like JSON file.

        Raises:
            BprError: not JSON, or without images.
        """
        if not path.is_file():
            raise BprError(f"{path} is not a file, expected a JSON file with an 'images' list; check --image-info")
        document = read_json(path)
        images = document.get("images") if isinstance(document, dict) else None
        table = cls(images if isinstance(images, list) else [], path)
        if not table:
            raise BprError(
                f"{path} holds {describe(document)}, expected an object with an 'images' list of id and file_name; "
                "check --image-info"
            )
        return table

    def __bool__(self) -> bool:
        return bool(self._exact)

    @property
    def records(self) -> tuple[ImageRecord, ...]:
        """The images in the order of the file."""
        return tuple(self._exact.values())

    def get(self, image_id: int | str) -> ImageRecord | None:
        """The record of an id, or None."""
        return self._exact.get(str(image_id)) or self._plain.get(plain_id(image_id))


def is_id(value: Json) -> bool:
    """Whether a JSON value can be an image id."""
    return type(value) is int or (isinstance(value, str) and value != "")


def image_names_of(image_id: int | str) -> tuple[str, ...]:
    """What the image of an id may be called when no list says it: the id as it is, plain, or with COCO's zeros."""
    plain = plain_id(image_id)
    names = [str(image_id), plain]
    if plain.isdecimal():
        names.append(plain.zfill(_COCO_DIGITS))
    return tuple(dict.fromkeys(names))


def plain_id(image_id: int | str) -> str:
    """The id as text without the zeros that COCO's file names put before it."""
    text = str(image_id)
    return text.lstrip("0") or "0" if text.isdecimal() else text


def _name_of(record: Record) -> str | None:
    """The file name; LVIS gives only the address that the image once had."""
    name = record.get("file_name")
    address = record.get("coco_url")
    if isinstance(name, str):
        return name
    return address.rsplit("/", 1)[-1] if isinstance(address, str) else None


def _searched_of(record: Record) -> Searched | None:
    absent, incomplete = record.get("neg_category_ids"), record.get("not_exhaustive_category_ids")
    if not isinstance(absent, list) and not isinstance(incomplete, list):
        return None
    return Searched(*(_whole_numbers(ids) for ids in (absent, incomplete)))


def _whole_numbers(ids: Json) -> frozenset[int]:
    """The ids of categories in a list of them; anything else is the id of no category."""
    return frozenset(number for number in ids if type(number) is int) if isinstance(ids, list) else frozenset()


def _size_of(record: Record) -> Size | None:
    height, width = record.get("height"), record.get("width")
    if type(height) is int and type(width) is int and height > 0 and width > 0:
        return height, width
    return None
