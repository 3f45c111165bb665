"""Recipes as text: one ``key = value`` a line, ``#`` begins a comment. Free of torch.

The lines are TOML of the simplest kind (dotted keys; texts in double quotes, numbers, true, false, lists of numbers on
one line), so editors know them; Python 3.10 has no TOML reader, and JSON, which has one, knows no comments.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from bpr_cli.errors import BprError
from bpr_cli.system.text import shorten
from bpr_cli.training.recipe import Recipe

RECIPES = Path(__file__).resolve().parent / "recipes"
SUFFIX = ".toml"
DEFAULT_RECIPE = "modern"

BASE = "base"
"""The key by which a recipe takes what it does not say from a shipped one."""

LARGEST_FILE = 1 << 20

Values = dict[str, Any]
Kind = TypeVar("Kind")


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with the program, by name."""
    return {path.stem: path for path in sorted(RECIPES.glob(f"*{SUFFIX}"))}


def load_recipe(name_or_path: str = DEFAULT_RECIPE, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        name_or_path: one of ``shipped_recipes()``, or a file. A file says every key, or names a shipped recipe as
            ``base = "modern"`` and says what is different.
        overrides: values by key that take the place of the recipe's.

    Raises:
        BprError: there is no such recipe, or a line, key or value of it (or of the overrides) is wrong.
    """
    values = _read(_find(name_or_path))
    base = values.pop(BASE, None)
    if base is not None:
        if not isinstance(base, str) or base not in shipped_recipes():
            raise BprError(
                f"the recipe {name_or_path}: {BASE} is {shorten(base)}, expected {_one_of(shipped_recipes())}"
            )
        values = {**_read(shipped_recipes()[base]), **values}
    try:
        return recipe_of({**values, **(overrides or {})})
    except BprError as error:
        raise BprError(f"the recipe {name_or_path} cannot be used: {error}") from None


def recipe_of(values: Mapping[str, Any]) -> Recipe:
    """The recipe with these values by dotted key.

    Raises:
        BprError: a key is unknown or missing, or a value is of the wrong type or out of range.
    """
    known = _keys(Recipe)
    unknown = [key for key in values if key not in known]
    if unknown:
        raise BprError(f"there is no key {unknown[0][:80]!r}; the keys are {', '.join(known)}")
    missing = [key for key in known if key not in values]
    if missing:
        raise BprError(f'{", ".join(missing[:5])} missing; name all keys, or a shipped recipe as base = "modern"')
    return _build(Recipe, values)


def values_of(recipe: object, prefix: str = "") -> Values:
    """The values of a recipe by dotted key, the inverse of ``recipe_of``."""
    values: Values = {}
    for entry in fields(recipe):  # type: ignore[arg-type]
        value = getattr(recipe, entry.name)
        if is_dataclass(value):
            values.update(values_of(value, f"{prefix}{entry.name}."))
        else:
            values[f"{prefix}{entry.name}"] = list(value) if isinstance(value, tuple) else value
    return values


def parse_overrides(texts: Sequence[str]) -> Values:
    """The values of ``key=value`` texts; a text that is no number, list or truth value needs no quotes.

    Raises:
        BprError: a text has no ``=``.
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


def _find(name_or_path: str) -> Path:
    """The recipe's file."""
    shipped = shipped_recipes()
    if name_or_path in shipped:
        return shipped[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        raise BprError(f"there is no recipe {name_or_path!r}; give a file, or one of {', '.join(shipped)}")
    return path


def _read(path: Path) -> Values:
    """Values by key, as the file says them."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise BprError(f"the recipe {path} has more than {LARGEST_FILE} bytes, expected a few lines of text")
        text = content.decode()
    except OSError as error:
        raise BprError(f"the recipe {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise BprError(f"the recipe {path} is no text file") from None
    values: Values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            _read_line(line, values)
        except BprError as error:
            raise BprError(f"the recipe {path} has a wrong line {number}, {line.strip()[:60]!r}: {error}") from None
    return values


def _read_line(line: str, values: Values) -> None:
    """Add what a line says."""
    content = _without_comment(line).strip()
    if not content:
        return
    key, equals, value = (part.strip() for part in content.partition("="))
    if not equals:
        raise BprError("expected key = value; sections are written as dotted keys, such as loss.boundary_weight = 2")
    if key in values:
        raise BprError(f"{key} stands there twice")
    try:
        values[key] = json.loads(value)
    except (ValueError, RecursionError):
        raise BprError('expected a number, true, false, a list of numbers or a text in "quotes" after =') from None


def _without_comment(line: str) -> str:
    """The line up to a ``#`` that is not inside of quotes."""
    quoted = False
    for index, letter in enumerate(line):
        if letter == '"':
            quoted = not quoted
        elif letter == "#" and not quoted:
            return line[:index]
    return line


def _keys(kind: type, prefix: str = "") -> list[str]:
    """The dotted keys of a recipe, or of a part of it."""
    keys: list[str] = []
    for name, hint in typing.get_type_hints(kind).items():
        keys += _keys(hint, f"{prefix}{name}.") if is_dataclass(hint) else [f"{prefix}{name}"]  # type: ignore[arg-type]
    return keys


def _build(kind: Callable[..., Kind], values: Mapping[str, Any], prefix: str = "") -> Kind:
    """A recipe, or a part of it, of values that are all there."""
    arguments = {
        name: _build(hint, values, f"{prefix}{name}.")  # type: ignore[arg-type]
        if is_dataclass(hint)
        else _checked(f"{prefix}{name}", values[f"{prefix}{name}"], hint)
        for name, hint in typing.get_type_hints(kind).items()
    }
    return kind(**arguments)


def _checked(key: str, value: Any, hint: Any) -> Any:  # noqa: ANN401 - what a file may hold
    """The value in the type of its key."""
    if typing.get_origin(hint) is Literal:
        if value not in typing.get_args(hint):
            raise BprError(f"{key} is {shorten(value)}, expected {_one_of(typing.get_args(hint))}")
        return value
    if typing.get_origin(hint) is tuple:
        count = len(typing.get_args(hint))
        if not isinstance(value, list) or len(value) != count:
            raise BprError(f"{key} is {shorten(value)}, expected a list of {count} numbers such as [0.5, 2]")
        return tuple(_checked(key, each, float) for each in value)
    # A whole number is a number, but a truth value is not, though Python says so.
    accepted = (int, float) if hint is float else (hint,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        names = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}
        raise BprError(f"{key} is {shorten(value)}, expected {names[hint]}")
    try:
        return float(value) if hint is float else value
    except OverflowError:
        raise BprError(f"{key} is {shorten(value)}, which no computer's numbers hold") from None


def _one_of(names: typing.Iterable[str]) -> str:
    return f"one of {', '.join(names)}"
