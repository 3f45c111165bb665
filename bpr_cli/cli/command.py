"""Help texts, sentences on wrong usage and the ``--debug`` option, shared by all commands.

Typer's default formatter imports a Markdown parser and a syntax highlighter, which takes longer than all the rest of
``bpr --help``. The plain formatter used here needs neither.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from bpr_cli.errors import BprError, join_names

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Base class of all wrong usage: Click's, or by version that of Typer's copy of Click."""


@contextmanager
def explained(ctx: Any) -> Iterator[None]:  # noqa: ANN401 - of Click or, by version, of Typer's copy
    """Turn wrong usage that a parser finds into one sentence.

    Raises:
        BprError: an option is unknown, missing or lacks its value, or the like.
    """
    try:
        yield
    except UsageError as error:
        raise wrong_usage(ctx, _sentence(error, ctx)) from None


def wrong_usage(ctx: Any, sentence: str) -> BprError:  # noqa: ANN401 - as above
    """The error for a sentence about wrong usage, with a hint at the help text of the command."""
    return BprError(f"{sentence}{' See' if sentence.endswith('?') else '; see'} {ctx.command_path} --help")


def check_once(ctx: Any, given: Iterable[Any]) -> None:  # noqa: ANN401 - as above
    """Refuse an option that is given several times but takes one value: nobody would know which one counts.

    A switch without an opposite may be repeated.

    Args:
        ctx: the context of the command.
        given: parameters in the order in which they were given.

    Raises:
        BprError: such an option is given several times.
    """
    for each, count in Counter(given).items():
        if count == 1 or each.param_type_name == "argument" or each.multiple:
            continue
        name = max(each.opts, key=len)
        if not each.is_flag:
            raise wrong_usage(ctx, f"{name} was given {count} times, but it takes one value; give it once")
        if each.secondary_opts:
            raise wrong_usage(ctx, f"{name} or {each.secondary_opts[0]} was given {count} times; give one of them once")


def check_no_more(ctx: Any, rest: Sequence[str], names: Sequence[str]) -> None:  # noqa: ANN401 - as above
    """Refuse arguments beyond those that a command takes, such as the names a shell makes of ``masks/*.png``.

    Raises:
        BprError: there are such arguments.
    """
    if not rest:
        return
    if not names:
        raise wrong_usage(ctx, f"{ctx.command_path} takes no argument, but found {join_names(rest)}")
    raise wrong_usage(
        ctx,
        f"{ctx.command_path} takes one {' and one '.join(names)}, but found also {join_names(rest)}; give a directory "
        "for several files, and quote names with spaces",
    )


def check_command(ctx: Any, name: str, known: Iterable[str]) -> None:  # noqa: ANN401 - as above
    """Refuse a subcommand that does not exist.

    Raises:
        BprError: no known subcommand has this name.
    """
    commands = list(known)
    if name not in commands:
        raise wrong_usage(ctx, f"{name!r} is no command of {ctx.command_path}; {_suggestion(name, commands)}")


def _sentence(error: Any, ctx: Any) -> str:  # noqa: ANN401 - as above
    """What is wrong, without a full stop."""
    if hasattr(error, "possibilities"):  # an unknown option
        names = [name for each in ctx.command.get_params(ctx) for name in (*each.opts, *each.secondary_opts)]
        known = [name for name in names if name.startswith("--")]
        return f"there is no option {error.option_name}; {_suggestion(error.option_name, known, listed=False)}"
    parameter = getattr(error, "param", None)
    if parameter is not None and not error.message:  # a missing one
        name = parameter.metavar if parameter.param_type_name == "argument" else max(parameter.opts, key=len)
        return f"{name} is missing ({parameter.help})"
    message: str = error.format_message().rstrip(".")
    return message[:1].lower() + message[1:]


def _suggestion(name: str, known: Sequence[str], listed: bool = True) -> str:
    """Advice on the name that may have been meant, or else all names."""
    close = get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"expected one of {', '.join(known)}" if listed else "check its spelling"


NAME_WIDTH = 26
"""Width of the name column in help texts; the description of a longer name starts on the next line."""

Rows = list[tuple[str, str]]


@dataclass
class Switches:
    """Options that the user may give before or after the subcommand.

    Attributes:
        debug: whether to show the traceback of an expected error.
    """

    debug: bool = False


def switch_debug(context: typer.Context, wanted: bool) -> None:
    """Record ``--debug``, given before or after the subcommand."""
    if wanted:
        context.ensure_object(Switches).debug = True


Debug = Annotated[bool, typer.Option("--debug", callback=switch_debug, help="Show the traceback of an error")]


class Command(TyperCommand):
    """A command with a two-column help text under headings; wrong usage is a ``BprError``.

    Attributes:
        explained: texts on names below the options of the help text, by the title of their section.
    """

    allow_extra_args = True  # refused here, with advice
    explained: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - of Click or, by version, of Typer's copy
        """Parse the arguments."""
        rest = parse(super(), ctx, args)
        if not ctx.resilient_parsing:
            check_no_more(ctx, rest, [argument_name(each) for each in self.get_params(ctx) if is_argument(each)])
        return rest

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 - as above
        """``[OPTIONS]`` and the names of the arguments."""
        return ["[OPTIONS]", *(argument_name(each) for each in self.get_params(ctx) if is_argument(each))]

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """Write usage, description, a section for each panel of options, and examples."""
        write_help(self, ctx, formatter)


class Group(TyperGroup):
    """A command with subcommands; shows its help text when none is given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - as above
        """Parse the arguments up to the subcommand."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), color=ctx.color)
            ctx.exit(2)
        return parse(super(), ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 - as above
        """Find the subcommand named first in ``args``; returns its name, the command and the remaining arguments."""
        if not ctx.resilient_parsing:
            check_command(ctx, args[0], self.commands)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """Write usage, description, options and commands."""
        write_help(self, ctx, formatter)


def parse(command: Any, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - as above
    """Parse arguments by the base class of a command; returns those that are left.

    Raises:
        BprError: wrong usage.
    """
    parameters = ctx.command.get_params(ctx)
    convert_on_demand(parameters)
    if ctx.resilient_parsing:
        return list(command.parse_args(ctx, args))
    with explained(ctx):
        _, _, given = ctx.command.make_parser(ctx).parse_args(list(args))
        check_once(ctx, given)
        return list(command.parse_args(ctx, args))


def app_of(
    function: Callable[..., None], examples: str, summary: str | None = None, command: type[Command] = Command
) -> typer.Typer:
    """Make the Typer application of one command.

    Args:
        function: a function that Typer accepts; see ``command_of``.
        examples: text shown below the help text.
        summary: help text; by default the docstring of the function.
        command: the class of the command.
    """
    app = typer.Typer(add_completion=False)
    app.command(cls=command, epilog=examples, help=summary)(function)
    return app


def explaining(title: str, texts: Mapping[str, str]) -> type[Command]:
    """The class of a command whose help text explains names in a section with a title."""

    class Explaining(Command):
        explained = {title: texts}  # noqa: RUF012 - of the base class

    return Explaining


def convert_on_demand(parameters: Iterable[Any]) -> None:
    """Convert only values that the user gave, and none during shell completion.

    To convert a value, even None, Typer imports pydantic, which takes longer than a help text or a completion.
    """
    for parameter in parameters:
        parameter.process_value = partial(_process_value, parameter, parameter.process_value)


def _process_value(parameter: Any, convert: Callable[..., Any], ctx: Any, value: Any) -> Any:  # noqa: ANN401
    return value if ctx.resilient_parsing or (value is None and not parameter.required) else convert(ctx, value)


def write_help(command: Any, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
    """Write the help text of a command to a Typer formatter, in colour on a terminal."""
    ctx.color = wants_colour()
    formatter.write_usage(ctx.command_path, " ".join(command.collect_usage_pieces(ctx)), f"{heading('Usage')}: ")
    formatter.write_paragraph()
    formatter.write_text(inspect.cleandoc(command.help or ""))
    sections = sections_of(command.get_params(ctx))
    if isinstance(command, Group):
        sections["Commands"] = [(name, summary_of(each)) for name, each in command.commands.items()]
    else:
        sections |= {title: [*texts.items()] for title, texts in command.explained.items()}
    width = max(len(name) for rows in sections.values() for name, _ in rows if len(name) <= NAME_WIDTH)
    for title, rows in sections.items():
        with formatter.section(heading(title)):
            formatter.write_dl([(typer.style(f"{name:<{width}}", fg="cyan"), text) for name, text in rows], width)
    if command.epilog:
        formatter.write(f"\n{inspect.cleandoc(command.epilog)}\n")


def sections_of(parameters: Iterable[Any]) -> dict[str, Rows]:
    """Group arguments and options by help panel, each with its name and description."""
    found: dict[str, Rows] = {"Arguments": [], "Options": []}
    for each in parameters:
        panel = "Arguments" if is_argument(each) else getattr(each, "rich_help_panel", None) or "Options"
        text = (getattr(each, "help", None) or "").rstrip(".")
        found.setdefault(panel, []).append((names_of(each), f"{text} (required)" if each.required else text))
    return {title: rows for title, rows in found.items() if rows}


def names_of(parameter: Any) -> str:  # noqa: ANN401
    """The names of an option, short ones first, and its metavar; or the name of an argument."""
    if is_argument(parameter):
        return argument_name(parameter)
    names = ", ".join(sorted(parameter.opts, key=lambda name: name.startswith("--")))
    negated = "".join(f" / {name}" for name in parameter.secondary_opts)
    return f"{names}{negated}" if parameter.is_flag else f"{names} {parameter.metavar or 'TEXT'}"


def is_argument(parameter: Any) -> bool:  # noqa: ANN401
    """Whether a parameter is positional."""
    return bool(parameter.param_type_name == "argument")


def argument_name(parameter: Any) -> str:  # noqa: ANN401
    """The name of an argument in capitals, followed by dots if it takes several values."""
    name = parameter.metavar or parameter.name.upper()
    shown = name if parameter.nargs == 1 else f"{name}..."
    return shown if parameter.required else f"[{shown}]"


def summary_of(command: Any) -> str:  # noqa: ANN401
    """The first line of a command's help, without its full stop."""
    return (command.help or "").partition("\n")[0].rstrip(".")


def heading(title: str) -> str:
    """A title in bold green."""
    return typer.style(title, fg="green", bold=True)


def wants_colour() -> bool:
    """Whether standard output is a colour terminal and the user did not turn colours off."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout is not None and sys.stdout.isatty())
