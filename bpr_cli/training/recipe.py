"""Recipe files in TOML; dotted keys and tables are equivalent. Does not import NumPy or PyTorch."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec

from bpr_cli.errors import BprError, shorten
from bpr_cli.settings import build
from bpr_cli.system.paths import as_path
from bpr_cli.training.settings import Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = Path(__file__).resolve().parent / "recipes"
SUFFIX = ".toml"
DEFAULT_RECIPE = "modern"

BASE = "base"
"""Key that names a shipped recipe, which supplies all values that a recipe leaves out."""

LARGEST_FILE = 1 << 20

Values = dict[str, Any]


def shipped_recipes() -> dict[str, Path]:
    """Paths of the shipped recipes by name."""
    return {path.stem: path for path in sorted(RECIPES.glob(f"*{SUFFIX}"), key=lambda path: path.stem)}


def purpose_of(recipe: Path) -> str:
    """What a recipe is for: the first sentence of the comment that it begins with.

    >>> purpose_of(shipped_recipes()["images"])
    'Patches sampled from whole images, at many zooms, half of them with simulated coarse masks'
    """
    lines = takewhile(lambda line: line.startswith("# "), recipe.read_text(encoding="utf-8").splitlines())
    return re.split(r"[.:]\s+(?=[A-Z])|[.:]$", " ".join(line.removeprefix("# ") for line in lines), maxsplit=1)[0]


def load_recipe(name_or_path: Path | str = DEFAULT_RECIPE, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        name_or_path: name of a shipped recipe, or a file. A file contains all keys, or names a shipped recipe, such as
            ``base = "modern"``, and contains only the differences.
        overrides: values by dotted key that replace those of the recipe.

    Raises:
        BprError: the recipe does not exist, or the recipe or an override is invalid.
    """
    shipped = shipped_recipes()
    path = as_path(name_or_path, "name_or_path")
    path = shipped.get(str(path), path)
    if not path.is_file():
        raise BprError(f"there is no recipe {name_or_path!r}; give a file, or one of {', '.join(shipped)}")
    try:
        return recipe_of(_merged(_read(path), _nested(overrides or {})))
    except BprError as error:
        raise BprError(f"the recipe {name_or_path} cannot be used: {error}") from None


def recipe_of(content: Mapping[str, Any]) -> Recipe:
    """Create a recipe from values that are nested as in TOML.

    Raises:
        BprError: a key is unknown or missing, or a value is invalid.
    """
    try:
        return build(Recipe, content)
    except BprError as error:
        hint = f'; give all keys, or a shipped recipe as {BASE} = "{DEFAULT_RECIPE}"'
        raise BprError(f"{error}{hint if str(error).endswith('is missing') else ''}") from None


def values_of(recipe: object, prefix: str = "") -> Values:
    """The values of a recipe by dotted key, ready for JSON.

    Optional values are left out at their default, so that runs of older versions, which lack them, can resume.
    """
    values: Values = {}
    for field in fields(recipe):  # type: ignore[arg-type]
        value = getattr(recipe, field.name)
        if is_dataclass(value):
            values.update(values_of(value, f"{prefix}{field.name}."))
        elif isinstance(value, dict) and any(map(is_dataclass, value.values())):
            for name, each in value.items():
                values.update(values_of(each, f"{prefix}{field.name}.{name}."))
        elif value != field.default:
            values[f"{prefix}{field.name}"] = json.loads(json.dumps(value))
    return values


def to_toml(recipe: Recipe) -> str:
    """All values of a recipe as a TOML file, which ``load_recipe`` reads."""
    return "".join(f"{key} = {value}\n" for key, value in _toml_lines(msgspec.to_builtins(recipe)))


def _toml_lines(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys with their values in TOML, whose numbers, texts and lists look like those of JSON."""
    for name, value in values.items():
        key = prefix + (name if name.replace("_", "").replace("-", "").isalnum() else json.dumps(name))
        if isinstance(value, Mapping) and value:
            yield from _toml_lines(value, f"{key}.")
        elif value is not None:
            yield key, json.dumps(value)


def parse_overrides(texts: Sequence[str]) -> Values:
    """Parse ``key=value`` texts to values by dotted key; a text value needs quotes only if it is ambiguous.

    Raises:
        BprError: a text has no key, no ``=`` or no value.
    """
    values: Values = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key or not value:
            raise BprError(f"--set is {text!r}, expected key=value such as optimiser.learning_rate=0.001")
        try:
            values[key] = json.loads(value)
        except (ValueError, RecursionError):
            values[key] = value
    return values


def _read(path: Path) -> Values:
    """Read a recipe file and complete it from its base."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise BprError(f"it has more than {LARGEST_FILE} bytes, expected a few lines of text")
        values: Values = tomllib.loads(content.decode())
    except OSError as error:
        raise BprError(f"it cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise BprError("it is not a text file") from None
    except (ValueError, RecursionError) as error:
        raise BprError(f"it is not TOML: {shorten(str(error))}") from None
    base, shipped = values.pop(BASE, None), shipped_recipes()
    if base is None:
        return values
    if not isinstance(base, str) or base not in shipped:
        raise BprError(f"{BASE} is {shorten(base)}; expected one of {', '.join(shipped)}")
    return _merged(_read(shipped[base]), values)


def _nested(values: Mapping[str, Any]) -> Values:
    """Convert values by dotted key to nested tables."""
    content: Values = {}
    for key, value in values.items():
        for part in reversed(key.split(".")):
            value = {part: value}  # noqa: PLW2901
        content = _merged(content, value)
    return content


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> Values:
    """Merge two nested tables; values of the second one take precedence."""
    both = {
        key: _merged(first[key], value) if isinstance(value, dict) and isinstance(first.get(key), dict) else value
        for key, value in second.items()
    }
    return {**first, **both}
