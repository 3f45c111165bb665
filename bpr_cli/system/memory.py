"""How much memory the program has taken."""

from __future__ import annotations

import sys


def peak_memory() -> int | None:
    """The most memory that this process has had at a time, in bytes; None where the system does not tell (Windows)."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - only there on other systems

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
