"""Patches along the boundaries of masks: placing, cropping and pasting back.

This file imports neither NumPy nor OpenCV, so that settings modules can import it.
"""

from __future__ import annotations

from typing import Literal

Scheme = Literal["dense", "grid", "instance"]
"""Schemes of placing patches, compared in the paper (Table 4); see ``boxes.boxes_along``."""
