"""Text that comes from outside, such as names of files, made fit to be shown."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text in one line: a line break or control character in a file's name is shown as its escape sequence."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
