"""The report that a refinement leaves in its output, as far as readers of predictions must know it: to pass it over."""

from __future__ import annotations

import re
from pathlib import Path

from bpr_cli.system.paths import read_bytes

REPORT, KIND = "run.json", "bpr refinement"
"""Its name, and the value of its first field, ``kind``."""

_HEAD = re.compile(rf'\s*{{\s*"kind"\s*:\s*"{KIND}"'.encode())
_HEAD_LENGTH = 100


def is_report(path: Path) -> bool:
    """Whether a file is such a report, by its name and how it begins; predictions may be called the same.

    Raises:
        BprError: it cannot be read.
    """
    return path.name == REPORT and _HEAD.match(read_bytes(path, _HEAD_LENGTH)) is not None
