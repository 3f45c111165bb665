"""Wrong usage in one sentence: unknown, missing and repeated options, surplus arguments, unknown commands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import typer

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
