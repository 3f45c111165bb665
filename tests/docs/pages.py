"""The code of documentation pages."""

import re
from pathlib import Path

import bpr_cli

DOCS = Path(bpr_cli.__file__).parents[1] / "docs"


def blocks_of(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language, such as ``sh`` or ``python``."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
