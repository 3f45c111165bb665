"""Patches along the boundaries of masks: where they lie, and how they are cropped and pasted back.

This file imports neither NumPy nor OpenCV, so that settings can name the schemes.
"""

from __future__ import annotations

from typing import Literal

Scheme = Literal["dense", "grid", "instance"]
"""Ways to place patches that the paper compares (Table 4); see ``boxes.boxes_along``."""
