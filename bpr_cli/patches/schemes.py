"""Names of the schemes by which ``boxes.py`` places patches; free of NumPy, for settings and help texts."""

from __future__ import annotations

from typing import Literal

Scheme = Literal["dense", "grid", "instance", "cover"]
