"""Augmentation of the image: what cameras, light and compression change."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.training.settings import ImageSettings

Random = np.random.Generator
Image = NDArray[np.uint8]
"""(E, E, 3), RGB."""

BRIGHTNESS_DELTA, HUE_DELTA = 32, 18
CONTRAST_RANGE = SATURATION_RANGE = (0.5, 1.5)
"""Of MMSegmentation's PhotoMetricDistortion, which the authors' configuration uses with its defaults."""

LOG_GAMMA_RANGE = (-0.8, 0.9)
DARKNESS_RANGE = (0.15, 0.8)
"""From the deepest shadow in which noise leaves anything to be seen, to a cloudy day."""

HUES = 180
"""OpenCV gives hues of 8-bit images in steps of two degrees."""

GREY = np.array([0.299, 0.587, 0.114])
"""Share of R, G and B in luminance (ITU-R BT.601)."""


def vary_image(image: Image, settings: ImageSettings, random: Random) -> Image:
    """Change an image by chance; what would leave 0..255 is cut off there."""
    if random.random() < settings.distort:
        image = distort(image, random)
    if random.random() < settings.colour:
        image = recolour(image, random)
    if random.random() < settings.gamma:
        image = curve(image, math.exp(random.uniform(*LOG_GAMMA_RANGE)))
    if random.random() < settings.darken:
        image = _linear(image, random.uniform(*DARKNESS_RANGE), 0)
    if random.random() < settings.blur:
        image = _pixels(cv2.GaussianBlur(image, (0, 0), random.uniform(0.4, 1.3)))
    if random.random() < settings.noise:
        image = add_noise(image, random)
    if random.random() < settings.jpeg:
        image = compress(image, int(random.integers(30, 96)))
    return image


def distort(image: Image, random: Random) -> Image:
    """Brightness, contrast, saturation and hue, each with a chance of one half, as in MMSegmentation.

    Contrast comes before saturation and hue or after them, with equal chance.
    """
    contrast_first = random.random() < 0.5
    if random.random() < 0.5:
        image = _linear(image, 1, random.uniform(-BRIGHTNESS_DELTA, BRIGHTNESS_DELTA))
    change_contrast = random.random() < 0.5
    contrast = random.uniform(*CONTRAST_RANGE)
    if change_contrast and contrast_first:
        image = _linear(image, contrast, 0)
    image = _distort_hue_and_saturation(image, random)
    if change_contrast and not contrast_first:
        image = _linear(image, contrast, 0)
    return image


def _distort_hue_and_saturation(image: Image, random: Random) -> Image:
    """The changes that need another colour space."""
    saturate, turn = (random.random(2) < 0.5).tolist()
    if not (saturate or turn):
        return image
    hsv = _pixels(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    if saturate:
        hsv[..., 1] = _linear(hsv[..., 1], random.uniform(*SATURATION_RANGE), 0)
    if turn:
        hue = hsv[..., 0].astype(np.int16) + random.integers(-HUE_DELTA, HUE_DELTA)
        hsv[..., 0] = hue % HUES
    return _pixels(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def recolour(image: Image, random: Random) -> Image:
    """Saturation, contrast, brightness and white balance as one linear map of the colours."""
    saturation, contrast = random.uniform(0.4, 1.6), random.uniform(0.7, 1.4)
    gains = random.uniform(0.75, 1.3) * random.uniform(0.88, 1.12, 3)
    mix = saturation * np.eye(3) + (1 - saturation) * np.tile(GREY, (3, 1))
    middle = float(image.mean())
    matrix = np.column_stack([gains[:, None] * contrast * mix, gains * (1 - contrast) * middle])
    return _pixels(cv2.transform(image, matrix))


def curve(image: Image, gamma: float) -> Image:
    """Every value, as a share of 255, raised to the power ``gamma``: above 1 shadows close, below they open."""
    values = 255 * (np.arange(256) / 255) ** gamma
    return _pixels(cv2.LUT(image, values.astype(np.uint8)))


def add_noise(image: Image, random: Random) -> Image:
    """Gaussian noise, independent for every pixel and colour."""
    noise = random.standard_normal(image.shape, dtype=np.float32) * np.float32(random.uniform(2, 14))
    return _clipped(image + noise)


def compress(image: Image, quality: int) -> Image:
    """The image after a way through JPEG, ``quality`` 0 to 100."""
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = _pixels(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return _pixels(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))


def _linear(plane: Image, factor: float, offset: float) -> Image:
    """Scaled and moved."""
    return _clipped(plane * np.float32(factor) + np.float32(offset))


def _clipped(values: NDArray[np.float32]) -> Image:
    """Numbers as pixels: cut off at 0 and 255, and without the fraction."""
    return np.minimum(np.maximum(values, 0), 255).astype(np.uint8)


def _pixels(array: object) -> Image:
    """What OpenCV returned, which is uint8 already."""
    return np.asarray(array, dtype=np.uint8)
