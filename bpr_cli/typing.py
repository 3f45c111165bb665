"""Types of the arrays, boxes and sizes that the packages exchange.

Shapes use the same letters throughout the program: I images; M masks or segments; H, W height and width of an image;
h, w height and width of a window or feature map; P patches; S side of a box, the part of a patch that is pasted back;
T side of the network's input; C channels; N pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""``(x0, y0, x1, y1)`` in pixels, half-open: columns ``x0 .. x1 - 1`` and rows ``y0 .. y1 - 1``."""
Size = tuple[int, int]
"""``(H, W)``, height and width in pixels."""
BoolArray = NDArray[np.bool_]
ByteArray = NDArray[np.uint8]
"""RGB images, masks of 0 and 1, and 8-bit label maps."""
LabelArray = NDArray[np.int32]
"""Label maps and maps of segment ids."""
IntArray = NDArray[np.int64]
"""Boxes, indices and counts."""
FloatArray = NDArray[np.float32]
"""Probabilities, logits and intermediate pixel values."""
DoubleArray = NDArray[np.float64]
"""Metrics and their sums."""
