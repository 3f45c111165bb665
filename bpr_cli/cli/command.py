"""What all commands share: their help texts, and ``--debug``.

Help texts are written by the small formatter that Typer brings along. The one that Typer takes by default imports a
Markdown parser and a syntax highlighter first, which takes longer than all the rest of ``bpr --help``.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

NAME_WIDTH = 26
"""Most characters of a name that its text stands beside; that of a longer name begins in the next line."""

Rows = list[tuple[str, str]]


@dataclass
class Switches:
    """What the user may set before or after the subcommand, and who runs the subcommand must know.

    Attributes:
        debug: show the traceback of an expected error.
    """

    debug: bool = False


def switch_debug(context: typer.Context, wanted: bool) -> None:
    """Take note of ``--debug``, wherever it stands."""
    if wanted:
        context.ensure_object(Switches).debug = True


Debug = Annotated[bool, typer.Option("--debug", callback=switch_debug, help="Show the traceback of an error")]


class Command(TyperCommand):
    """A command with a help text of headings and two columns."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - of Click or, by version, of Typer's copy
        """Read the arguments."""
        convert_on_demand(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 - as above
        """``[OPTIONS]`` and the names of the arguments."""
        return ["[OPTIONS]", *(argument_name(each) for each in self.get_params(ctx) if is_argument(each))]

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """Write usage, description, a section for each panel of options, and examples."""
        write_help(self, ctx, formatter)


class Group(TyperGroup):
    """A command of subcommands, with a help text like theirs, which is also shown where no subcommand is given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - as above
        """Read the arguments up to the subcommand."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), color=ctx.color)
            ctx.exit(2)
        convert_on_demand(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """Write usage, description, options and commands."""
        write_help(self, ctx, formatter)


def app_of(function: Callable[..., None], examples: str, summary: str | None = None) -> typer.Typer:
    """The application of one command.

    Args:
        function: as Typer takes it, see ``command_of``.
        examples: shown below its help text.
        summary: its help text, if not the docstring of the function.
    """
    app = typer.Typer(add_completion=False)
    app.command(cls=Command, epilog=examples, help=summary)(function)
    return app


def convert_on_demand(parameters: Iterable[Any]) -> None:
    """Leave alone what the user did not give, and everything while a shell completes a command.

    To convert a value, even None, Typer imports pydantic, which takes longer than a help text or a completion.
    """
    for parameter in parameters:
        parameter.process_value = partial(_process_value, parameter, parameter.process_value)


def _process_value(parameter: Any, convert: Callable[..., Any], ctx: Any, value: Any) -> Any:  # noqa: ANN401
    return value if ctx.resilient_parsing or (value is None and not parameter.required) else convert(ctx, value)


def write_help(command: Any, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
    """Write the help text of a command to a formatter of Typer, and let it keep its colours on a terminal."""
    ctx.color = wants_colour()
    formatter.write_usage(ctx.command_path, " ".join(command.collect_usage_pieces(ctx)), f"{heading('Usage')}: ")
    formatter.write_paragraph()
    formatter.write_text(inspect.cleandoc(command.help or ""))
    sections = sections_of(command.get_params(ctx))
    if isinstance(command, Group):
        sections["Commands"] = [(name, summary_of(each)) for name, each in command.commands.items()]
    width = max(len(name) for rows in sections.values() for name, _ in rows if len(name) <= NAME_WIDTH)
    for title, rows in sections.items():
        with formatter.section(heading(title)):
            formatter.write_dl([(typer.style(f"{name:<{width}}", fg="cyan"), text) for name, text in rows], width)
    if command.epilog:
        formatter.write(f"\n{inspect.cleandoc(command.epilog)}\n")


def sections_of(parameters: Iterable[Any]) -> dict[str, Rows]:
    """Names and texts of arguments and options, under the headings that they belong to."""
    found: dict[str, Rows] = {"Arguments": [], "Options": []}
    for each in parameters:
        panel = "Arguments" if is_argument(each) else getattr(each, "rich_help_panel", None) or "Options"
        text = (getattr(each, "help", None) or "").rstrip(".")
        found.setdefault(panel, []).append((names_of(each), f"{text} (required)" if each.required else text))
    return {title: rows for title, rows in found.items() if rows}


def names_of(parameter: Any) -> str:  # noqa: ANN401
    """All names of an option, short ones first, and what stands for its value; or the name of an argument."""
    if is_argument(parameter):
        return argument_name(parameter)
    names = ", ".join(sorted(parameter.opts, key=lambda name: name.startswith("--")))
    negated = "".join(f" / {name}" for name in parameter.secondary_opts)
    return f"{names}{negated}" if parameter.is_flag else f"{names} {parameter.metavar or 'TEXT'}"


def is_argument(parameter: Any) -> bool:  # noqa: ANN401
    """Whether it has a place and no name."""
    return bool(parameter.param_type_name == "argument")


def argument_name(parameter: Any) -> str:  # noqa: ANN401
    """The name of an argument in capitals, with dots where it takes several values."""
    name = parameter.metavar or parameter.name.upper()
    shown = name if parameter.nargs == 1 else f"{name}..."
    return shown if parameter.required else f"[{shown}]"


def summary_of(command: Any) -> str:  # noqa: ANN401
    """The first line of a command's help, without its full stop."""
    return (command.help or "").partition("\n")[0].rstrip(".")


def heading(title: str) -> str:
    """A title that stands out on a terminal."""
    return typer.style(title, fg="green", bold=True)


def wants_colour() -> bool:
    """Whether standard output is a terminal that shows colours, and the user did not refuse them."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout is not None and sys.stdout.isatty())
