"""Made-up frames of 2048 x 1024; with 12 masks they take about 135 patches."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

WIDTH, HEIGHT = 2048, 1024
RADII = (67, 46)
"""Half axes of an object in pixels."""


@dataclass(frozen=True)
class Frame:
    """A JPEG file, and masks, bool, (M, H, W)."""

    jpeg: bytes
    masks: np.ndarray

    def decode(self) -> np.ndarray:
        return cv2.cvtColor(cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def frames(count: int, masks: int) -> list[Frame]:
    return [frame(seed, masks) for seed in range(count)]


def frame(seed: int, count: int) -> Frame:
    """Ellipses over smooth noise, each with a mask that is a few pixels off."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (32, 64, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    masks = np.zeros((count, HEIGHT, WIDTH), np.uint8)
    for number, mask in enumerate(masks):
        centre = np.array([170 + number % 6 * 340, 256 + number // 6 * 512]) + random.integers(-40, 41, 2)
        angle = float(random.integers(0, 180))
        colour = tuple(map(int, random.integers(0, 256, 3)))
        cv2.ellipse(image, tuple(map(int, centre)), RADII, angle, 0, 360, colour, -1)
        off = centre + random.integers(-4, 5, 2)
        cv2.ellipse(mask, tuple(map(int, off)), RADII, angle + 6, 0, 360, 1, -1)
    return Frame(cv2.imencode(".jpg", image)[1].tobytes(), masks.astype(bool))
