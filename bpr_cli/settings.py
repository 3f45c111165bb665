"""Base of all settings: data classes whose fields carry their bounds and help text.

Every setting is defined once. Its field generates the command-line option, validates values from Python and JSON, and
generates the JSON schema. This module imports neither NumPy nor PyTorch, so that help texts appear at once.

    @dataclass(frozen=True)
    class BlurSettings(Settings):
        radius: Annotated[Count, option("Radius of the blur in pixels")] = 3
"""

from __future__ import annotations

import os
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

import msgspec
from msgspec import Meta

from bpr_cli.errors import BprError, shorten

Fraction = Annotated[float, Meta(ge=0, le=1)]
NonNegative = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Count = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]

Kind = TypeVar("Kind")
Changed = TypeVar("Changed", bound="Settings")


def option(
    description: str, *, panel: str = "", flags: tuple[str, ...] = (), metavar: str = "", repeated: bool = False
) -> Meta:
    """Describe a field that the command line has an option for.

    Args:
        description: phrase that begins with a noun or verb and has no full stop. Help texts add the default, unless it
            is None or the phrase contains "(default: ...)".
        panel: heading in ``--help``; empty for none.
        flags: names on the command line, such as ``("--learning-rate", "--lr")``; empty for the field's name.
        metavar: placeholder of the value in help texts; empty for that of the type.
        repeated: whether several numbers are given by repeating the option, instead of as one list such as
            ``--scales 2,1``.
    """
    extra = {"panel": panel, "flags": flags, "metavar": metavar, "repeated": repeated}
    return Meta(description=description, extra=extra)


@dataclass(frozen=True)
class Settings:
    """Base class of all settings; checks every field and converts it to its type when an object is created.

    Raises:
        BprError: a value has the wrong type or is out of bounds; the message names the field.
    """

    def __post_init__(self) -> None:
        for name, hint in hints_of(type(self)).items():
            object.__setattr__(self, name, checked(name, getattr(self, name), hint))


def check_settings(value: object, kind: type[Settings], name: str = "settings") -> None:
    """Check that an argument of the Python API holds settings of the expected class.

    Raises:
        BprError: it holds something else.
    """
    if not isinstance(value, kind):
        raise BprError(f"{name} is {shorten(value)}; expected {kind.__name__}(...)")


def changed_settings(settings: Changed, changes: Mapping[str, object]) -> Changed:
    """Settings with other values for some fields.

    Raises:
        BprError: a name is unknown, or a value is wrong.
    """
    _check_names(changes, hints_of(type(settings)))
    return replace(settings, **changes)


def _check_names(names: Iterable[str], hints: Mapping[str, object], prefix: str = "") -> None:
    if unknown := [name for name in names if name not in hints]:
        raise BprError(f"{prefix}{str(unknown[0])[:40]} is unknown; expected {', '.join(hints)}")


def hints_of(kind: type) -> dict[str, Any]:
    """Types of the fields of a data class, with their bounds and descriptions."""
    known = _type_hints(kind)
    return {field.name: known[field.name] for field in fields(kind)}


@cache
def _type_hints(kind: type) -> dict[str, Any]:
    """Evaluate the annotations of a class, once for all its objects."""
    return typing.get_type_hints(kind, include_extras=True)


def checked(name: str, value: object, hint: Any) -> Any:  # noqa: ANN401 - any type that a field may have
    """Convert a value to the type of its field.

    Raises:
        BprError: the value has the wrong type or is out of bounds.
    """
    if is_dataclass(value) and isinstance(value, _classes_of(hint)):
        return value
    try:
        converted = msgspec.convert(_plain_value(value), hint, dec_hook=_converted)
    except (msgspec.ValidationError, OverflowError):
        if isinstance(value, os.PathLike):  # for a name or a path as text
            return checked(name, os.fspath(value), hint)
        raise BprError(f"{name} is {shorten(value)}; expected {expected(hint)}") from None
    parts = converted.values() if isinstance(converted, dict) else converted
    # NaN passes all bounds, because no comparison with it holds.
    if any(each != each for each in (parts if isinstance(converted, tuple | dict) else (converted,))):  # noqa: PLR0124
        raise BprError(f"{name} is {shorten(value)}; expected {expected(hint)}")
    return converted


def _plain_value(value: Any) -> Any:  # noqa: ANN401 - as checked
    """The value without NumPy: its numbers and arrays are what people compute settings with."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, tuple | list | set | frozenset):
        return type(value)(_plain_value(each) for each in value)
    return value


def _converted(kind: type, value: Any) -> Any:  # noqa: ANN401 - as checked
    """A path, which may be given as text.

    Raises:
        TypeError: it is something else; msgspec makes a refusal of that.
    """
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise TypeError(f"expected {kind.__name__}")


def _classes_of(hint: Any) -> tuple[type, ...]:  # noqa: ANN401 - as checked
    """The classes among a type and its alternatives."""
    parts = [hint, *typing.get_args(hint)]
    return tuple(part for part in parts if isinstance(part, type) and is_dataclass(part))


def build(kind: type[Kind], content: object, prefix: str = "") -> Kind:
    """Build a data class from parsed JSON or TOML.

    Args:
        kind: the class; its fields may be data classes themselves.
        content: values by field name; fields with a default may be missing.
        prefix: prefix of field names in messages, such as ``loss.``.

    Raises:
        BprError: a name is unknown or missing, or a value is wrong; the message names the field, not the file.
    """
    if not isinstance(content, Mapping):
        raise BprError(f"{prefix.rstrip('.') or 'the content'} is {shorten(content)}; expected names with values")
    hints = hints_of(kind)
    _check_names(content, hints, prefix)
    needed = [field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING]  # type: ignore[arg-type]
    if missing := [name for name in needed if name not in content]:
        raise BprError(f"{prefix}{missing[0]} is missing")
    return kind(**{name: _built(f"{prefix}{name}", value, hints[name]) for name, value in content.items()})


def _built(name: str, value: object, hint: Any) -> Any:  # noqa: ANN401 - any type that a field may have
    """The value of a field; data classes are built, including optional ones and values of a mapping."""
    if is_dataclass(hint):
        return build(hint, value, f"{name}.")  # type: ignore[arg-type]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        inner = arguments[0]
        return _built(name, value, inner) if _holds_dataclass(inner) else checked(name, value, hint)
    if _holds_dataclass(hint) and isinstance(value, Mapping):
        kind = next(each for each in arguments if is_dataclass(each))
        if origin is dict:
            return {str(key): build(kind, each, f"{name}.{key}.") for key, each in value.items()}  # type: ignore[arg-type]
        return build(kind, value, f"{name}.")  # type: ignore[arg-type]
    return checked(name, value, hint)


def _holds_dataclass(hint: Any) -> bool:  # noqa: ANN401 - any type that a field may have
    """Whether a type is an optional data class or a mapping to data classes."""
    optional = typing.get_origin(hint) in (Union, types.UnionType, dict)
    return optional and any(is_dataclass(each) for each in typing.get_args(hint))


def expected(hint: Any) -> str:  # noqa: ANN401, PLR0911 - any type that a field may have
    """Describe the values of a type in words, for messages."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        limits = [each for each in arguments[1:] if isinstance(each, Meta)]
        return _with_bounds(arguments[0], limits)
    if origin in (Union, types.UnionType):
        return " or ".join(expected(each) for each in arguments if each is not type(None))
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (tuple, list, frozenset):
        count = "" if Ellipsis in arguments or origin is not tuple else f"{len(arguments)} "
        return f"a list of {count}values, each {expected(arguments[0])}"
    if origin is dict:
        return f"names with values, each {expected(arguments[1])}"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"one of {', '.join(str(member.value) for member in hint)}"
    names = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    return names.get(hint, f"a {getattr(hint, '__name__', hint)}".lower())


def _with_bounds(hint: Any, limits: list[Meta]) -> str:  # noqa: ANN401 - as expected
    """Like ``expected``, with the bounds of a number or the length of a text or list."""

    def bound(*names: str) -> str | None:
        values = [getattr(limit, name) for limit in limits for name in names]
        return next((_plain(value) for value in values if value is not None), None)

    low, above, high, below = bound("ge"), bound("gt"), bound("le"), bound("lt")
    shortest, longest = bound("min_length"), bound("max_length")
    text = expected(hint)
    if shortest or longest:
        ends = f"{shortest} to {longest}"
        length = ends if shortest and longest else f"at least {shortest}" if shortest else f"at most {longest}"
        return text.replace("a list of", f"a list of {length}") if hint is not str else f"text of {length} characters"
    if low and (high or below):
        text += f" from {low} to {high or f'below {below}'}"
    elif low:
        text += f" of {low} or more"
    else:
        text += "".join([f" above {above}" if above else "", f" up to {high}" if high else ""])
        text += f" and below {below}" if below else ""
    return f"{text}, a multiple of {bound('multiple_of')}" if bound("multiple_of") else text


def _plain(value: float) -> str | None:
    """Format a bound; None for a very large one, which only excludes infinity."""
    if abs(value) >= 1e12:
        return None
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else f"{value:g}"
