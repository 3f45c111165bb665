"""Notes to the person who runs the program, where a reading of the input decides the result.

They go through Python's ``logging``, so that programs can collect and silence them; ``bpr`` shows them.
"""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("bpr_cli")


def note(sentence: str, *values: object) -> None:
    """Report how an input was read; thread-safe.

    Args:
        sentence: with ``%s`` for each value. ``bpr`` shows each sentence once, and counts the others like it.
        values: names of files and the like.
    """
    LOGGER.warning(sentence, *values)
