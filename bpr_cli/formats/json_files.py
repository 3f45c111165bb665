"""JSON files: parsing with errors that name the file, short descriptions, and atomic writing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from bpr_cli.errors import BprError, join_names
from bpr_cli.system.atomic import atomic_file, writing
from bpr_cli.system.paths import read_bytes, write_bytes

Json = Any
"""Unchecked content of a JSON file."""

Record = dict[str, Json]
"""A JSON object from the user's file; only known fields are read, but all fields are kept."""


def read_json(path: Path) -> Json:
    """Parse a JSON file.

    Raises:
        BprError: the file cannot be read, is empty, or is not valid JSON.
    """
    content = read_bytes(path)
    if not content.strip():
        raise BprError(f"{path} is empty, expected JSON; write the predictions again")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BprError(f"{path} is not valid JSON ({error}); it may be truncated; write it again") from error
    except MemoryError as error:
        raise BprError(f"{path} has {len(content) >> 20} MiB, more than the memory holds; split it by image") from error


def encode_json(document: Json) -> bytes:
    """Encode a document as JSON."""
    return json.dumps(document).encode()


def write_json(path: Path, document: Json) -> None:
    """Write a JSON file atomically."""
    write_bytes(path, encode_json(document))


def write_document(path: Path, shell: Json, records: Iterable[bytes]) -> None:
    """Write a JSON file of records atomically, without holding all records in memory.

    Args:
        path: the file.
        shell: document around the records: an object whose ``annotations`` are replaced by them, or a list.
        records: JSON of each record.

    Raises:
        BprError: the file cannot be written.
    """
    with writing(path), atomic_file(path) as file:
        if not isinstance(shell, dict):
            _write_list(file, records)
            return
        separator = b"{"
        for key, value in shell.items():
            file.write(separator + encode_json(key) + b": ")
            if key == "annotations":
                _write_list(file, records)
            else:
                file.write(encode_json(value))
            separator = b", "
        file.write(b"}")


def _write_list(file: IO[bytes], records: Iterable[bytes]) -> None:
    separator = b"["
    for record in records:
        file.write(separator + record)
        separator = b", "
    file.write(b"[]" if separator == b"[" else b"]")


def describe(document: Json) -> str:
    """Describe the content of a JSON document in a few words, for messages."""
    if isinstance(document, list):
        return _describe_list(document)
    if isinstance(document, dict):
        annotations = document.get("annotations")
        if isinstance(annotations, list):
            return f"an object whose 'annotations' are {_describe_list(annotations)}"
        return f"an object with {_fields(document)}"
    return f"a single value ({type(document).__name__})"


def _describe_list(records: list[Json]) -> str:
    if not records:
        return "an empty list"
    if isinstance(records[0], dict):
        return f"a list of objects with {_fields(records[0])}"
    return f"a list of {type(records[0]).__name__} values"


def _fields(record: Record) -> str:
    return f"the fields {join_names(sorted(map(str, record)), limit=8)}" if record else "no fields"
