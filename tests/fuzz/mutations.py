"""Mutations of samples: of their bytes, and of the structure of JSON, PNG, safetensors, zip and text files.

Every function takes a random number generator and gives something new; nothing is changed in place.
"""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from tests.fuzz.samples import Sample, Special

NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    7,
    255,
    256,
    2**15,
    2**16,
    2**24,
    2**31 - 1,
    2**31,
    2**32,
    2**63 - 1,
    2**63,
    -(2**63),
    10**30,
)
FLOATS = (0.5, -0.5, 1e-300, 1e308, -1e308, float("nan"), float("inf"), float("-inf"))
NAMES = (
    "../secret.png",
    "/etc/passwd",
    "C:\\secret.png",
    "..\\secret.png",
    "a/../../secret.png",
    "a b.png",
    "a\nb.png",
    "ä ネコ.png",
    "A.PNG",
    "\udcff.png",
    "x" * 240 + ".png",
    "x" * 5000,
    "<script>alert(1)</script>.png",
    "-rf.png",
    "CON.png",
    "..",
    ".",
    "",
    "\0",
    "\ud800",
    "\x1b[31m.png",
    "/dev/zero",
    "~/secret.png",
    "$HOME.png",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    *NUMBERS,
    *FLOATS,
    *NAMES,
    10**400,
    [],
    {},
    [[]],
    [None],
    [1, 2],
    {"": 0},
    [0] * 1000,
    "0" * 1000,
    "b'0'",
)
BOMB = zlib.compress(bytes(2**26), 9)
"""64 MiB of zeros."""


def mutate(sample: Sample, rng: random.Random) -> Sample:
    """A sample with one to four mutations."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        sample = _mutate_once(sample, rng)
    return sample


def _mutate_once(sample: Sample, rng: random.Random) -> Sample:
    if not sample:
        return sample
    name = rng.choice(sorted(sample))
    content = sample[name]
    if rng.random() < 0.1 or not isinstance(content, bytes):
        return _mutate_tree(sample, name, rng)
    by_structure = STRUCTURES.get(PurePosixPath(name).suffix)
    if by_structure and rng.random() < 0.8:
        return {**sample, name: by_structure(content, rng)}
    return {**sample, name: mutate_bytes(content, rng)}


def _mutate_tree(sample: Sample, name: str, rng: random.Random) -> Sample:
    """Another name, another kind of file, or none."""
    rest = {other: content for other, content in sample.items() if other != name}
    kind = rng.randrange(6)
    if kind == 0:
        return rest
    if kind == 1:
        return {**sample, name: b""}
    if kind == 2:
        return {**rest, str(PurePosixPath(name).with_name(_file_name(rng))): sample[name]}
    if kind == 3:
        return {**sample, str(PurePosixPath(name).with_name(_file_name(rng))): sample[name]}
    if kind == 4:
        return {**sample, name: sample[rng.choice(sorted(sample))]}
    return {**rest, name: rng.choice(list(Special))}


def _file_name(rng: random.Random) -> str:
    return rng.choice([name for name in NAMES if name not in ("", ".", "..") and not set("/\0") & set(name)])


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, inserted, repeated or cut off."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place, kind = rng.randrange(len(data) + 1), rng.randrange(6)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            number = rng.choice(NUMBERS) % 2**32
            packed = struct.pack(rng.choice("<>") + "I", number)[: rng.choice((1, 2, 4))]
            data[place : place + len(packed)] = packed
        elif kind == 2:
            data[place:place] = rng.randbytes(rng.choice((1, 4, 100)))
        elif kind == 3:
            stop = min(len(data), place + rng.choice((1, 4, 100)))
            data[place:stop] = data[place:stop] * rng.choice((2, 50))
        elif kind == 4:
            del data[place : place + rng.choice((1, 4, 100))]
        else:
            del data[place:]
    return bytes(data)


def mutate_json(content: bytes, rng: random.Random) -> bytes:
    """A value, key or item of a JSON document changed."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return mutate_bytes(content, rng)
    if rng.random() < 0.03:
        return content.replace(rng.choice((b"[", b"{", b"0", b":")), b"[" * 20000, 1)
    for _ in range(rng.choice((1, 1, 2))):
        document = _changed(document, rng)
    return json.dumps(document).encode()


def _changed(node: Any, rng: random.Random) -> Any:
    """A copy with a change somewhere within."""
    if isinstance(node, (dict, list)) and node and rng.random() < 0.9:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = rng.choice(keys)
        if rng.random() < 0.75:
            return _replaced(node, key, _changed(node[key], rng))
        return _rearranged(node, key, rng)
    return _another(node, rng)


def _replaced(node: Any, key: Any, value: Any) -> Any:
    if isinstance(node, dict):
        return {**node, key: value}
    return [*node[:key], value, *node[key + 1 :]]


def _rearranged(node: Any, key: Any, rng: random.Random) -> Any:
    """An entry dropped, doubled, renamed or swapped."""
    entries = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    place = next(index for index, (own, _) in enumerate(entries) if own == key)
    kind = rng.randrange(4)
    if kind == 0:
        del entries[place]
    elif kind == 1:
        entries.insert(place, (f"{key}2", node[key]))
    elif kind == 2:
        entries[place] = (rng.choice((*NAMES, "id", "size")), node[key])
    else:
        other = rng.randrange(len(entries))
        swapped = entries[place][1], entries[other][1]
        entries[other], entries[place] = (entries[other][0], swapped[0]), (key, swapped[1])
    return dict(entries) if isinstance(node, dict) else [value for _, value in entries]


def _another(value: Any, rng: random.Random) -> Any:
    """Another value, often one that is like it."""
    if type(value) in (int, float) and rng.random() < 0.5:
        try:
            return rng.choice((value + 1, value - 1, -value, value * 2, value / 2, str(value), float(value), [value]))
        except OverflowError:
            return 0
    if isinstance(value, str) and value and rng.random() < 0.6:
        place = rng.randrange(len(value))
        return value[:place] + chr(rng.randrange(48, 112)) + value[place + rng.randrange(2) :]
    return rng.choice(VALUES)


def mutate_png(content: bytes, rng: random.Random) -> bytes:
    """A chunk of a PNG file changed, dropped, moved or added, with checksums that are right."""
    chunks = _chunks(content)
    if len(chunks) < 3:
        return mutate_bytes(content, rng)
    place, kind = rng.randrange(len(chunks)), rng.randrange(6)
    if kind == 0:
        del chunks[place]
    elif kind == 1:
        chunks.insert(rng.randrange(len(chunks)), chunks[place])
    elif kind == 2:
        chunks[0] = (b"IHDR", _other_header(chunks[0][1], rng))
    elif kind == 3:
        chunks = [(name, _other_rows(data, rng) if name == b"IDAT" else data) for name, data in chunks]
    elif kind == 4:
        names = (b"acTL", b"fcTL", b"fdAT", b"tRNS", b"PLTE", b"gAMA", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"sRGB")
        text = rng.choice((rng.randbytes(rng.choice((0, 1, 8, 26, 300))), b"a\0\0" + BOMB, struct.pack(">II", 5, 0)))
        chunks.insert(rng.randrange(1, len(chunks)), (rng.choice(names), text))
    else:
        chunks[place] = (chunks[place][0], mutate_bytes(chunks[place][1], rng))
    return content[:8] + b"".join(_chunk(name, data) for name, data in chunks)


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    place, chunks = 8, []
    while place + 12 <= len(content):
        stop = place + 8 + int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : stop]))
        place = stop + 4
    return chunks


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _other_header(header: bytes, rng: random.Random) -> bytes:
    try:
        values = list(struct.unpack(">IIBBBBB", header))
    except struct.error:
        return header
    choices = (
        ((0, 1, 5, 2**14, 2**26, 2**31 - 1, 2**32 - 1),) * 2 + ((1, 2, 4, 8, 16, 3), (0, 2, 3, 4, 6, 1)) + ((0, 1),) * 3
    )
    place = rng.randrange(7)
    values[place] = rng.choice(choices[place])
    return struct.pack(">IIBBBBB", *values)


def _other_rows(data: bytes, rng: random.Random) -> bytes:
    try:
        # No more of them than honest samples have, as these may be a bomb that was planted before.
        rows = zlib.decompressobj().decompress(data, 2**16)
    except zlib.error:
        return BOMB
    return rng.choice((BOMB, zlib.compress(mutate_bytes(rows, rng)), zlib.compress(rows + bytes(100)), data[:-4]))


def mutate_safetensors(content: bytes, rng: random.Random) -> bytes:
    """The header of a safetensors file changed."""
    size = int.from_bytes(content[:8], "little")
    if size > len(content):
        return mutate_bytes(content, rng)
    header = mutate_json(content[8 : 8 + size], rng)
    # What stands in the metadata, or in the tensor of bytes that bpr keeps JSON in, is a document of its own.
    if rng.random() < 0.6:
        header = _mutate_inner(content[8 : 8 + size], rng)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def _mutate_inner(header: bytes, rng: random.Random) -> bytes:
    try:
        document = json.loads(header)
        metadata = document["__metadata__"]
        key = rng.choice(sorted(metadata))
        metadata[key] = mutate_json(metadata[key].encode(), rng).decode("utf-8", "replace")
        return json.dumps(document).encode()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return mutate_json(header, rng)


def mutate_zip(content: bytes, rng: random.Random) -> bytes:
    """A part of a zip file changed."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:
        return mutate_bytes(content, rng)
    name = rng.choice([name for name in parts if name.endswith(".pkl")] or list(parts))
    if rng.random() < 0.2:
        name = rng.choice(list(parts))
    parts[name] = mutate_bytes(parts[name], rng)
    stream = io.BytesIO()
    with zipfile.ZipFile(
        stream, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    ) as archive:
        for part, data in parts.items():
            archive.writestr(part, data)
    return stream.getvalue()


def mutate_text(content: bytes, rng: random.Random) -> bytes:
    """A line or word of a text changed."""
    lines = content.split(b"\n")
    place, kind = rng.randrange(len(lines)), rng.randrange(5)
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(place, rng.choice(lines))
    elif kind == 2:
        lines[place] = mutate_bytes(lines[place], rng)
    elif kind == 3:
        lines[place] += rng.choice((b"\r", b" ", b"\x00", b"\x85", b"\xff", b" # x", b"=", b'"'))
    else:
        words = lines[place].split(b" ")
        value = rng.choice(VALUES)
        word = value if isinstance(value, str) else json.dumps(value)
        words[rng.randrange(len(words))] = word.encode("utf-8", "surrogatepass")
        lines[place] = b" ".join(words)
    return b"\n".join(lines)


STRUCTURES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": mutate_json,
    ".png": mutate_png,
    ".safetensors": mutate_safetensors,
    ".pth": mutate_zip,
    ".txt": mutate_text,
    ".toml": mutate_text,
    ".csv": mutate_text,
}
