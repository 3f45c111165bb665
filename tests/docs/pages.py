"""The code of documentation pages."""

import re
import shlex
from pathlib import Path

import bpr_cli

DOCS = Path(bpr_cli.__file__).parents[1] / "docs"


def blocks_of(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language, such as ``sh`` or ``python``."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands_of(page: str, program: str = "bpr") -> list[list[str]]:
    """The arguments of a program in the shell blocks of a page, also where another program is to run it."""
    lines = "\n".join(blocks_of(page, "sh")).replace("\\\n", " ").splitlines()
    split = [shlex.split(line, comments=True) for line in lines]
    return [words[words.index(program) + 1 :] for words in split if program in words]
