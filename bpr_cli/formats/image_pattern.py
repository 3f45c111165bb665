"""Patterns that say how the image of a mask is called, such as ``{stem}_leftImg8bit.png``."""

from __future__ import annotations

import re
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.formats.image_names import IMAGE_SUFFIXES, stems_of

FIELDS = ("stem", "name", "folder", "number")
"""What may stand in braces: the name without known endings, the full name, its folder, its last number."""

_FIELD = re.compile(r"\{(\w*)\}")


def check_pattern(pattern: str) -> None:
    """Check the fields of a pattern.

    Raises:
        BprError: a field is unknown, or there is none.
    """
    fields = _FIELD.findall(pattern)
    known = ", ".join(f"{{{field}}}" for field in FIELDS)
    unknown = [field for field in fields if field not in FIELDS]
    if unknown or not fields:
        found = f"has the unknown field {{{unknown[0]}}}" if unknown else "has no field"
        raise BprError(f"--image-pattern {pattern!r} {found}, expected a name with {known}")


def fill_pattern(pattern: str, name: str) -> str:
    """The name of the image of a prediction, whose own name may have a folder and a suffix.

    >>> fill_pattern("{folder}/rgb_{number}.png", "s1/shot_0042_mask.png")
    's1/rgb_0042.png'
    """
    path = Path(name)
    bare = path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path
    digits = re.findall(r"\d+", bare.name)
    values = {
        "stem": stems_of(bare.name)[-1],
        "name": bare.name,
        "folder": path.parent.name,
        "number": digits[-1] if digits else "",
    }
    return _FIELD.sub(lambda field: values[field[1]], pattern)


def ends_with(path: Path, wanted: Path) -> bool:
    """Whether the folders of a path end with those of a wanted path."""
    parts = wanted.parent.parts
    return not parts or path.parent.parts[-len(parts) :] == parts
