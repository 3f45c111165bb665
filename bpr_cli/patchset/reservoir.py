"""A draw without replacement from patches whose number is known only at the end."""

from __future__ import annotations

import hashlib
from heapq import heappush, heapreplace

KEY_LIMIT = 2**64


def random_key(*parts: object) -> int:
    """A number below ``KEY_LIMIT`` that looks random and depends on nothing but the parts, such as names."""
    text = "\0".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")


class Draw:
    """Draws the ``count`` smallest of the keys offered, or all if it is None.

    With random keys that is a uniform draw, whatever the order they come in.
    """

    def __init__(self, count: int | None) -> None:
        self._count = count
        self._smallest: list[int] = []

    @property
    def limit(self) -> int:
        """The largest key that may still be drawn; it only falls."""
        full = self._count is not None and len(self._smallest) == self._count
        return -self._smallest[0] if full else KEY_LIMIT

    def offer(self, key: int) -> bool:
        """Take note of a key; whether it may be drawn."""
        if self._count is None:
            return True
        if len(self._smallest) < self._count:
            heappush(self._smallest, -key)
            return True
        if key >= self.limit:
            return False
        heapreplace(self._smallest, -key)
        return True
