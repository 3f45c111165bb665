"""What comes from outside, such as names of files and values in JSON, made fit to be shown."""

from __future__ import annotations


def shorten(value: object, longest: int = 40) -> str:
    """A value as Python writes it, for a message: cut to what a line can hold."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of more digits than Python prints, lists in lists in lists
        return "a huge value"
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def printable(text: str) -> str:
    """The text in one line: a line break or control character in a file's name is shown as its escape sequence."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
