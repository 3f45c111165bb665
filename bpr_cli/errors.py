"""The exception type of the program, notes to the user, and helpers that format values, names and lists."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class BprError(Exception):
    """An expected failure, such as unusable input or a wrong setting.

    The message is one sentence that names the file or setting, what was found, what was expected and what to do. The
    command line shows it without a traceback.
    """

    def __str__(self) -> str:
        return with_urls(super().__str__())


MIRRORS = "bpr-mirrors-"
"""Beginning of the name of the folder whose paths stand for URLs; see ``system/store.py``."""


def begin_of(scheme: str) -> str:
    """What follows the scheme of a URL: paths of this machine begin with a slash.

    >>> begin_of("s3"), begin_of("file")
    ('://', ':///')
    """
    return ":///" if scheme in ("file", "local") else "://"


_STANDS_FOR = re.compile(rf"{MIRRORS}[^/\s]+/([a-z0-9+.-]+)/")


def with_urls(text: str) -> str:
    """A text with URLs in place of paths that stand for them.

    >>> with_urls("/tmp/bpr-mirrors-1a/s3/bucket/a.png is no image")
    's3://bucket/a.png is no image'
    """
    if MIRRORS not in text:
        return text
    parts = _STANDS_FOR.split(text)
    for place in range(0, len(parts) - 1, 2):
        before = parts[place]
        parts[place] = before[: max(map(before.rfind, " \n\t'\"(=,")) + 1]
        parts[place + 1] += begin_of(parts[place + 1])
    return "".join(parts)


def shorten(value: object, longest: int = 40) -> str:
    """The ``repr`` of a value, cut to ``longest`` characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int with more digits than Python prints, or deeply nested lists
        return "a huge value"
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def printable(text: str) -> str:
    """The text on one line: line breaks and control characters become escape sequences; file names may hold them."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in with_urls(text)
    )


def join_names(names: Iterable[object], limit: int = 3) -> str:
    """The first ``limit`` names, separated by commas, and the number of further ones."""
    every = [str(name) for name in names]
    shown = ", ".join(every[:limit])
    return shown if len(every) <= limit else f"{shown} and {len(every) - limit} more"


def lacking(what: str, packages: Iterable[str]) -> BprError:
    """The error for packages that are not installed; they are named as pip finds them.

    >>> lacking("--tensorboard", ["tensorboard"])
    BprError('--tensorboard needs the package tensorboard; install it with pip install tensorboard')

    Args:
        what: what needs them, as the subject of a sentence.
        packages: their names.
    """
    names = list(packages)
    noun, pronoun = ("packages", "them") if len(names) > 1 else ("package", "it")
    command = " ".join(["pip", "install", *names])
    return BprError(f"{what} needs the {noun} {' and '.join(names)}; install {pronoun} with {command}")


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun.

    >>> counted(1, "class", "classes"), counted(3, "image")
    ('1 class', '3 images')
    """
    return f"{number} {singular if number == 1 else plural or f'{singular}s'}"


LOGGER = logging.getLogger("bpr_cli")


def note(sentence: str, *values: object) -> None:
    """Report how an input was read; thread-safe.

    Args:
        sentence: with ``%s`` for each value. ``bpr`` shows each sentence once, and counts the others like it.
        values: names of files and the like.
    """
    LOGGER.warning(sentence, *values)


@contextmanager
def without_notes() -> Iterator[None]:
    """Report nothing meanwhile, such as while files are read a second time; in all threads."""
    LOGGER.disabled = True
    try:
        yield
    finally:
        LOGGER.disabled = False
