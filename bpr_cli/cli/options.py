"""Command-line options made from settings classes, and those that several commands share.

A command asks for settings as for any other value; ``command_of`` puts an option for every field in their place:

    def blur(image: Path, settings: BlurSettings) -> None: ...

    app.command()(command_of(blur))
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Collection
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

import typer
from msgspec import Meta

from bpr_cli.cli.command import Debug
from bpr_cli.errors import BprError
from bpr_cli.settings import Settings, hints_of

Predictions = Annotated[
    Path, typer.Argument(metavar="PREDICTIONS", help="Predictions: a directory, a JSON file or a single mask")
]
Images = Annotated[
    Path, typer.Option("--images", "-i", metavar="PATH", help="Directory of the images, or a single image")
]
Json = Annotated[bool, typer.Option("--json", help="Print a machine-readable summary on standard output")]

WORDS = {float: "NUMBER", int: "NUMBER", str: "TEXT", Path: "PATH"}
"""What stands for a value in help texts, by its type."""

Kind = TypeVar("Kind", bound=Settings)
Parameters = dict[str, inspect.Parameter]


def command_of(function: Callable[..., None], **fixed: object) -> Callable[..., None]:
    """The function as Typer takes it: with an option for every field of the settings it asks for, and ``--debug``.

    Only what the user sets is passed on to the settings, so that every default stands in one place.

    Args:
        function: a command. A parameter whose type is a settings class stands for the options of that class.
        fixed: values of parameters that are no options of this command.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    made: dict[str, type[Settings]] = {}
    parameters: Parameters = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if isinstance(hints[name], type) and issubclass(hints[name], Settings):
            made[name] = hints[name]
            parameters |= parameters_of(hints[name])
        elif name not in fixed:
            parameters[name] = parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
    parameters |= {
        "_debug": inspect.Parameter("_debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)
    }

    def command(**values: Any) -> None:  # noqa: ANN401 - whatever Typer read
        del values["_debug"]
        settings = {name: take(kind, values) for name, kind in made.items()}
        function(**values, **settings, **fixed)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    command.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    return command


def parameters_of(kind: type[Settings], only: Collection[str] = ()) -> Parameters:
    """A parameter with an option of Typer for every field that describes itself by ``settings.option``.

    Args:
        kind: the settings class.
        only: names of the fields to take; empty for all.
    """
    return {
        each.name: inspect.Parameter(
            each.name, inspect.Parameter.KEYWORD_ONLY, default=each.unset, annotation=each.annotation
        )
        for each in options_of(kind)
        if not only or each.name in only
    }


def take(kind: type[Kind], values: dict[str, Any]) -> Kind:
    """The settings that the user asked for, whose values are taken out of ``values``.

    Raises:
        BprError: a value is out of bounds.
    """
    given = {each.name: each.read(values.pop(each.name)) for each in options_of(kind)}
    return kind(**{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class FieldOption:
    """The option of one field of a settings class.

    Attributes:
        name: of the field.
        type: of its value, without bounds and None, such as ``tuple[int]``.
        default: of the field.
        about: what the field says of itself.
    """

    name: str
    type: Any
    default: object
    about: Meta

    @property
    def flags(self) -> tuple[str, ...]:
        """Its names on the command line."""
        flags: tuple[str, ...] = self._extra["flags"] or (f"--{self.name.replace('_', '-')}",)
        return flags if self.type is not bool or self.unset is False else (f"{flags[0]}/--no-{flags[0][2:]}",)

    @property
    def unset(self) -> bool | None:
        """What Typer passes on where the user says nothing."""
        return False if self.type is bool and self.default is False else None

    @property
    def help(self) -> str:
        """The phrase of the field with its default, where there is one to tell."""
        text = self.about.description or ""
        if self.default in (MISSING, None, False, (), "") or "(default" in text:
            return text
        values = sorted(self.default) if isinstance(self.default, frozenset) else [self.default]
        shown = self.flags[0].partition("/")[0] if self.default is True else ", ".join(map(str, values))
        return f"{text} (default: {shown})"

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it takes; empty for any."""
        return typing.get_args(self.type) if typing.get_origin(self.type) is Literal else ()

    @property
    def annotation(self) -> Any:  # noqa: ANN401
        """Type and option as Typer takes them; it knows lists, but neither tuples of any length nor all choices."""
        item, choices = self._item, self.choices
        known = item if item in (float, int, Path, bool) and (item is self.type or self._is_repeated) else str
        option = typer.Option(
            *self.flags,
            help=self.help,
            metavar=self._extra["metavar"] or "|".join(choices) or WORDS.get(item),
            rich_help_panel=self._extra["panel"] or None,
            autocompletion=(lambda incomplete: [each for each in choices if each.startswith(incomplete)])
            if choices
            else None,
        )
        return Annotated[list[known] | None if self._is_repeated else known | None, option]  # type: ignore[valid-type]

    def read(self, value: Any) -> Any:  # noqa: ANN401
        """The value for the field of what Typer read.

        Raises:
            BprError: they should be numbers with commas between, and are not.
        """
        if isinstance(value, str) and self._is_collection and not self._is_repeated:
            return numbers(self.flags[0], value, self._item)
        return None if value == [] else value

    @property
    def _extra(self) -> dict[str, Any]:
        return self.about.extra or {}

    @property
    def _is_collection(self) -> bool:
        return typing.get_origin(self.type) in (tuple, frozenset)

    @property
    def _item(self) -> Any:  # noqa: ANN401
        return typing.get_args(self.type)[0] if self._is_collection else self.type

    @property
    def _is_repeated(self) -> bool:
        """Whether it is given once for every value, and not once for all of them."""
        in_one = typing.get_origin(self.type) is tuple and self._item in (int, float) and not self._extra["repeated"]
        return self._is_collection and not in_one


def options_of(kind: type[Settings]) -> list[FieldOption]:
    """The options of a settings class, in the order of its fields."""
    hints = hints_of(kind)
    found = []
    for field in fields(kind):
        hint = hints[field.name]
        about = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Meta) and each.description]
        if about:
            found.append(FieldOption(field.name, plain_type(hint), field.default, about[-1]))
    return found


def plain_type(hint: Any) -> Any:  # noqa: ANN401
    """A type without its bounds, None and the length of tuples."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return plain_type(arguments[0])
    if origin in (Union, types.UnionType):
        return plain_type(next(each for each in arguments if each is not type(None)))
    return origin[plain_type(arguments[0])] if origin in (tuple, frozenset) else hint


def numbers(option: str, text: str, kind: type[float]) -> tuple[float, ...]:
    """The numbers of an option such as ``2,1``.

    Raises:
        BprError: they are no numbers of this kind.
    """
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        what = "whole numbers such as 1,2,3" if kind is int else "numbers such as 2,1"
        raise BprError(f"{option} is {text!r}; expected {what}") from None
