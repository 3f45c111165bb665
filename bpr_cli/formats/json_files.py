"""JSON files: parsing with errors that name the file, short descriptions, and atomic writing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from bpr_cli.errors import BprError, join_names, note, shorten
from bpr_cli.formats import large_json
from bpr_cli.formats.large_json import JsonLines, index_records
from bpr_cli.formats.packed_files import is_packed, open_content, packing
from bpr_cli.system.atomic import atomic_file, writing
from bpr_cli.system.paths import read_bytes, write_bytes

Json = Any
"""Unchecked content of a JSON file."""

Record = dict[str, Json]
"""A JSON object from the user's file; only known fields are read, but all fields are kept."""


_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[\]}])')
"""A text in quotation marks, or a comma before a closing bracket."""


def read_json(path: Path) -> Json:
    """Parse a JSON file. Commas before closing brackets are passed over, with a note.

    Raises:
        BprError: the file cannot be read, is empty, or is not valid JSON.
    """
    content = _content(path)
    with _explained(path, content):
        return _parse(content, path)


def read_records(path: Path) -> Json:
    """Parse a JSON file of records, which may hold one object a line; the document is then ``JsonLines``.

    The records of a large file stay in it; see ``large_json.py``.

    Raises:
        BprError: see ``read_json``.
    """
    document = _indexed(path)
    if document is not None:
        return document
    content = _content(path)
    with _explained(path, content):
        try:
            document = _parse(content, path)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data":
                raise
            return JsonLines(_read_lines(_decode(content), path))
    return JsonLines([document]) if isinstance(document, dict) and "image_id" in document else document


def _indexed(path: Path) -> Json:
    """The document of a large file of records; None for any other, which is parsed as a whole."""
    with suppress(OSError):  # reading it as a whole tells what is wrong
        document = index_records(path, large_json.LARGE)
        return None if isinstance(document, dict) and "image_id" in document else document
    return None


def _parse(content: bytes, path: Path) -> Json:
    """Parse JSON, if need be without commas before closing brackets."""
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        text = _decode(content)
        plain = _TRAILING_COMMA.sub(lambda match: match[1] or "", text)
        if error.msg == "Extra data" or plain == text:
            raise
        document = json.loads(plain)
        note("%s has commas before closing brackets, which JSON does not allow; they are passed over", path)
        return document


def _decode(content: bytes) -> str:
    return content.decode(json.detect_encoding(content), "surrogatepass")


def _read_lines(text: str, path: Path) -> Iterator[Json]:
    """The objects of a text with one JSON object a line; empty lines are skipped."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise BprError(
                    f"{path}, line {number} is not valid JSON ({error}), expected one JSON object a line or one list"
                ) from error


def _content(path: Path) -> bytes:
    content = read_bytes(path)
    if is_packed(path):
        with open_content(path) as file:
            content = file.read()
    if not content.strip():
        raise BprError(f"{path} is empty, expected JSON; write the predictions again")
    return content


@contextmanager
def _explained(path: Path, content: bytes) -> Iterator[None]:
    """Turn errors of parsing into messages that name the file."""
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise BprError(f"{path} is not valid JSON ({error}); {_advice(error)}") from error
    except MemoryError as error:
        raise BprError(f"{path} has {len(content) >> 20} MiB, more than the memory holds; split it by image") from error


def _advice(error: Exception) -> str:
    """What to do about text that is not JSON: a text that breaks off is truncated."""
    if isinstance(error, UnicodeDecodeError) and error.reason != "unexpected end of data":
        return "save it as text in UTF-8"
    if isinstance(error, json.JSONDecodeError) and not error.msg.startswith("Unterminated"):
        rest = error.doc[error.pos :].strip()
        if rest:
            return f"correct it at {shorten(rest.splitlines()[0])}"
    return "it may be truncated; write it again"


def whole_number(value: Json) -> int | None:
    """The whole number that a JSON value is, also written as 1.0; None for anything else.

    >>> whole_number(7), whole_number(7.0), whole_number(7.5), whole_number("7"), whole_number(True)
    (7, 7, None, None, None)
    """
    if type(value) is float and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def encode_json(document: Json) -> bytes:
    """Encode a document as JSON."""
    return json.dumps(document).encode()


def write_json(path: Path, document: Json) -> None:
    """Write a JSON file atomically."""
    write_bytes(path, encode_json(document))


def write_document(path: Path, shell: Json, records: Iterable[bytes]) -> None:
    """Write a JSON file of records atomically, without holding all records in memory.

    Args:
        path: the file, compressed if its name ends in ``.gz``.
        shell: document around the records: an object whose ``annotations`` are replaced by them, or a list; for
            ``JsonLines``, one record is written a line.
        records: JSON of each record.

    Raises:
        BprError: the file cannot be written.
    """
    with writing(path), atomic_file(path) as plain, packing(path, plain) as file:
        if isinstance(shell, JsonLines):
            file.writelines(record + b"\n" for record in records)
            return
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
