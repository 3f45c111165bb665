"""Command-line options: generated from settings classes, or shared by several commands.

A command takes a settings object as a parameter. ``command_of`` replaces it by one option per field:

    def blur(image: Path, settings: BlurSettings) -> None: ...

    app.command()(command_of(blur))
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import typer
from msgspec import Meta

from bpr_cli.cli.command import Debug
from bpr_cli.errors import BprError
from bpr_cli.settings import Settings, checked, hints_of

Predictions = Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="A directory, a JSON file or a single mask")]
Images = Annotated[
    Path, typer.Option("--images", "-i", metavar="PATH", help="Directory of the images, or a single image")
]
OUT = typer.Option(
    "--out", "-o", metavar="PATH", help="Output directory, created if missing, or file, replaced if it exists"
)
Json = Annotated[bool, typer.Option("--json", help="Print a machine-readable summary on standard output")]

COMPARED = ("format", "task", "ids", "image_pattern", "threshold", "max_pixels")
"""The fields of ``ReadSettings`` that are options of commands that compare predictions with ground truth."""

KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY

WORDS = {float: "NUMBER", int: "NUMBER", str: "TEXT", Path: "PATH"}
"""Metavar of an option in help texts, by the type of its value."""


@dataclass(frozen=True)
class OptionsOf:
    """Marks a parameter that receives a dict of the values the user set, by field name.

        options: Annotated[dict[str, Any], OptionsOf(ReadSettings, ("format", "task"))]

    Attributes:
        kind: settings class whose fields become options.
        only: names of the fields that become options; empty for all.
        changes: whether the options change existing values. Help texts then show no defaults, and every switch also
            has a ``--no-`` form.
    """

    kind: type[Settings]
    only: tuple[str, ...] = ()
    changes: bool = False

    @property
    def options(self) -> list[FieldOption]:
        """The options, in the order of the fields."""
        chosen = [each for each in options_of(self.kind) if not self.only or each.name in self.only]
        return [replace(each, default=MISSING) for each in chosen] if self.changes else chosen

    def take(self, values: dict[str, Any]) -> dict[str, Any]:
        """Remove the values of these options from ``values`` and return those that the user set."""
        given = {each.name: each.read(values.pop(each.name)) for each in self.options}
        return {name: value for name, value in given.items() if value is not None}


def command_of(
    function: Callable[..., None], *, fixed: Mapping[str, object] = {}, defaults: Mapping[str, object] = {}
) -> Callable[..., None]:
    """Turn a function into one that Typer accepts, with an option per field of its settings, and ``--debug``.

    Only values that the user set are passed to the settings, so that every default is defined in one place.

    Args:
        function: a command. A parameter whose type is a settings class, or that is marked by ``OptionsOf``, becomes
            one option per field. A parameter that is described like a field, by ``option``, becomes one option.
        fixed: values of parameters that are not options of this command.
        defaults: defaults of parameters that are required otherwise.
    """
    asked = inspect.signature(function, eval_str=True).parameters
    hints = {name: parameter.annotation for name, parameter in asked.items()}
    parameters: list[inspect.Parameter] = []
    single: dict[str, FieldOption] = {}
    for name, parameter in asked.items():
        if name in fixed:
            continue
        if expanded := expansion(hints[name]):
            parameters += [each.parameter for each in expanded.options]
        elif described := option_of(name, hints[name], parameter.default):
            single[name] = described
            parameters.append(described.parameter)
        else:
            default = defaults.get(name, parameter.default)
            parameters.append(inspect.Parameter(name, KEYWORD_ONLY, default=default, annotation=hints[name]))
    parameters.append(inspect.Parameter("_debug", KEYWORD_ONLY, default=False, annotation=Debug))

    def command(**values: Any) -> None:  # noqa: ANN401 - whatever Typer read
        del values["_debug"]
        settle(values, {name: hint for name, hint in hints.items() if name not in fixed}, single)
        from bpr_cli.cli.console import notes_shown  # noqa: PLC0415 - help texts need no notes

        with notes_shown():
            function(**values, **fixed)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def settle(values: dict[str, Any], hints: Mapping[str, Any], single: Mapping[str, FieldOption]) -> None:
    """Turn what Typer read into the arguments of a command, in place.

    Args:
        values: values of all options, by name.
        hints: types of the parameters of the command.
        single: parameters that are one option each.
    """
    for name, hint in hints.items():
        if expanded := expansion(hint):
            given = expanded.take(values)
            values[name] = hint(**given) if isinstance(hint, type) else given
        elif name in single:
            value = single[name].read(values[name])
            values[name] = single[name].default if value is None else value


def expansion(hint: Any) -> OptionsOf | None:  # noqa: ANN401
    """The options that replace a parameter of a command; None for an ordinary parameter."""
    if isinstance(hint, type) and issubclass(hint, Settings):
        return OptionsOf(hint)
    return next((each for each in getattr(hint, "__metadata__", ()) if isinstance(each, OptionsOf)), None)


@dataclass(frozen=True)
class FieldOption:
    """The option of one field of a settings class.

    Attributes:
        name: name of the field.
        hint: type of its value, with its bounds.
        default: default of the field.
        about: description of the field, as made by ``option``.
    """

    name: str
    hint: Any
    default: object
    about: Meta

    @property
    def type(self) -> Any:  # noqa: ANN401
        """Type of its value, without bounds and None, such as ``tuple[int]``."""
        return plain_type(self.hint)

    @property
    def flags(self) -> tuple[str, ...]:
        """Names on the command line."""
        flags: tuple[str, ...] = self._extra["flags"] or (f"--{self.name.replace('_', '-')}",)
        return flags if self.type is not bool or self.unset is False else (f"{flags[0]}/--no-{flags[0][2:]}",)

    @property
    def unset(self) -> bool | None:
        """The value that Typer passes if the user does not give the option."""
        return False if self.type is bool and self.default is False else None

    @property
    def help(self) -> str:
        """Description of the field, with its default if there is one."""
        text = self.about.description or ""
        if self.default is False or self.default in (MISSING, None, (), "") or "(default" in text:
            return text
        if self.default is True:
            return f"{text} (default: {self.flags[0].partition('/')[0]})"
        values = sorted(self.default) if isinstance(self.default, frozenset) else [self.default]
        shown = [f"{each:g}" if isinstance(each, float) else str(each) for each in values]
        return f"{text} (default: {', '.join(shown)})"

    @property
    def choices(self) -> tuple[str, ...]:
        """Allowed values; empty if the type does not list them."""
        if isinstance(self.type, type) and issubclass(self.type, Enum):
            return tuple(str(each.value) for each in self.type)
        return typing.get_args(self.type) if typing.get_origin(self.type) is Literal else ()

    @property
    def metavar(self) -> str | None:
        """Placeholder of the value in help texts."""
        word = "|".join(self.choices) or WORDS.get(self._item)
        return self._extra["metavar"] or (f"{word}S" if self._is_joined else word)

    @property
    def annotation(self) -> Any:  # noqa: ANN401
        """Annotation for Typer, which reads values as text; ``read`` converts them."""
        value = bool if self.type is bool else list[str] if self._is_repeated else str
        option = typer.Option(
            *self.flags,
            help=self.help,
            metavar=self.metavar,
            rich_help_panel=self._extra["panel"] or None,
            autocompletion=self._complete if self.choices else None,
        )
        return Annotated[value | None, option]

    @property
    def parameter(self) -> inspect.Parameter:
        """Function parameter from which Typer makes the option."""
        return inspect.Parameter(self.name, KEYWORD_ONLY, default=self.unset, annotation=self.annotation)

    def read(self, given: Any) -> Any:  # noqa: ANN401
        """Convert what Typer read to the value of the field; None if the user did not give it.

        Raises:
            BprError: the value has the wrong type or is out of bounds; the message names the option.
        """
        if given is None or given == []:
            return None
        flag = self.flags[0].partition("/")[0]
        if self._is_joined:
            return checked(flag, numbers(flag, given, self._item), self.hint)
        value = [self._number(each) for each in given] if self._is_repeated else self._number(given)
        return checked(flag, value, self.hint)

    def _number(self, text: Any) -> Any:  # noqa: ANN401
        """A text as a number, if the field needs one and the text is one."""
        if self._item not in (int, float):
            return text
        with suppress(ValueError):
            return self._item(text)
        return checked(self.flags[0], text, self._item) if self._is_repeated else text

    def _complete(self, incomplete: str) -> list[str]:
        return [each for each in self.choices if each.startswith(incomplete)]

    @property
    def _extra(self) -> dict[str, Any]:
        return self.about.extra or {}

    @property
    def _item(self) -> Any:  # noqa: ANN401
        """Type of a single value."""
        return typing.get_args(self.type)[0] if typing.get_origin(self.type) in (tuple, frozenset) else self.type

    @property
    def _is_joined(self) -> bool:
        """Whether the values are given as one comma-separated list."""
        is_tuple = typing.get_origin(self.type) is tuple
        return is_tuple and self._item in (int, float) and not self._extra["repeated"]

    @property
    def _is_repeated(self) -> bool:
        """Whether the option is repeated for each value."""
        return typing.get_origin(self.type) in (tuple, frozenset) and not self._is_joined


def options_of(kind: type[Settings]) -> list[FieldOption]:
    """The options of a settings class, in the order of its fields."""
    hints = hints_of(kind)
    found = (option_of(field.name, hints[field.name], field.default) for field in fields(kind))
    return [each for each in found if each]


def option_of(name: str, hint: Any, default: object) -> FieldOption | None:  # noqa: ANN401
    """The option of a field or parameter; None if ``option`` does not describe it."""
    about = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Meta) and each.extra]
    return FieldOption(name, hint, default, about[-1]) if about else None


def plain_type(hint: Any) -> Any:  # noqa: ANN401
    """A type without its bounds, None and the length of tuples."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return plain_type(arguments[0])
    if origin in (Union, types.UnionType):
        return plain_type(next(each for each in arguments if each is not type(None)))
    return origin[plain_type(arguments[0])] if origin in (tuple, frozenset) else hint


def numbers(option: str, text: str, kind: type[float]) -> tuple[float, ...]:
    """Parse the comma-separated numbers of an option, such as ``2,1``.

    Raises:
        BprError: a part is not a number of this type.
    """
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        what = "whole numbers such as 1,2,3" if kind is int else "numbers such as 2,1"
        raise BprError(f"{option} is {text!r}; expected {what}") from None
