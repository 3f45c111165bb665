"""Photometric augmentation: camera, light and compression."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.training.settings import ImageSettings
from bpr_cli.typing import ByteArray, FloatArray

Random = np.random.Generator

BRIGHTNESS_DELTA, HUE_DELTA = 32, 18
CONTRAST_RANGE = SATURATION_RANGE = (0.5, 1.5)
"""Ranges of MMSegmentation's PhotoMetricDistortion, which the authors' configuration uses with its defaults."""

LOG_GAMMA_RANGE = (-0.8, 0.9)
DARKNESS_RANGE = (0.15, 0.8)
"""Range of brightness factors, from a shadow just above the noise to a cloudy day."""

SATURATION_FACTORS = (0.2, 1.6)
CONTRAST_FACTORS, BRIGHTNESS_FACTORS = (0.65, 1.5), (0.7, 1.3)
WHITE_BALANCE_FACTORS = (0.85, 1.15)

LIGHT_RADII, STRIPE_WIDTHS = (6, 90), (8, 200)
PENUMBRAS = (0.6, 12)
LOG_LIGHT_RANGE, LIGHT_TINTS = (-0.9, 0.6), (0.92, 1.08)
"""Shadows and lights: sizes in pixels on a logarithmic scale, logarithm of the brightness, and colour."""

HUES = 180
"""Number of hues in OpenCV's 8-bit images, in steps of two degrees."""

GREY = np.array([0.299, 0.587, 0.114])
"""Weights of R, G and B in luminance (ITU-R BT.601)."""


def vary_image(image: ByteArray, settings: ImageSettings, random: Random) -> ByteArray:
    """Change an image at random: uint8, (E, E, 3), RGB; values are clipped to 0..255."""
    # Optional settings draw no random numbers if they are 0, so recipes without them give the same results as before.
    if happens(settings.light, random):
        image = relit(image, random)
    if random.random() < settings.distort:
        image = distort(image, random)
    if random.random() < settings.colour:
        image = recolour(image, random)
    if happens(settings.saturation, random):
        image = saturated(image, random.uniform(*SATURATION_FACTORS))
    if happens(settings.contrast, random):
        middle, factor = float(image.mean()), random.uniform(*CONTRAST_FACTORS)
        image = _linear(image, factor, middle * (random.uniform(*BRIGHTNESS_FACTORS) - factor))
    if happens(settings.white_balance, random):
        image = _scaled(image, random.uniform(*WHITE_BALANCE_FACTORS, 3))
    image = exchanged(image, settings.swap_channels, settings.negative, random)
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


def exchanged(image: ByteArray, swap: float, negative: float, random: Random) -> ByteArray:
    """Reorder red, green and blue, and take the negative, each with its chance."""
    if happens(swap, random):
        image = np.ascontiguousarray(image[..., random.permutation(3)])
    if happens(negative, random):
        image = 255 - image
    return image


def happens(chance: float, random: Random) -> bool:
    """Whether something of a chance happens; where that is certain, no random number is drawn."""
    return chance == 1 or (chance > 0 and random.random() < chance)


def distort(image: ByteArray, random: Random) -> ByteArray:
    """Change brightness, contrast, saturation and hue, each with a chance of one half, as in MMSegmentation.

    Contrast changes before saturation and hue or after them, with equal chance.
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


def _distort_hue_and_saturation(image: ByteArray, random: Random) -> ByteArray:
    """Change hue and saturation in HSV."""
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


def relit(image: ByteArray, random: Random) -> ByteArray:
    """Add ellipses and stripes of shadow or light, whose edges are not edges of objects."""
    side = len(image)
    lit = np.zeros((side, side), np.uint8)
    for _ in range(random.integers(1, 3)):
        place = random.uniform(0, side, 2)
        if random.random() < 0.5:
            radii = [int(_log_uniform(LIGHT_RADII, random)) for _ in range(2)]
            cv2.ellipse(lit, place.astype(int).tolist(), radii, random.uniform(0, 180), 0, 360, 1, -1)
        else:
            angle, width = random.uniform(0, 2 * np.pi), _log_uniform(STRIPE_WIDTHS, random)
            along = 3 * side * np.array([np.cos(angle), np.sin(angle)])
            across = width / (3 * side) * np.array([-along[1], along[0]])
            corners = place + np.array([along, -along, across - along, across + along])
            cv2.fillConvexPoly(lit, corners.astype(np.int32), 1)
    soft = cv2.GaussianBlur(lit.astype(np.float32), (0, 0), _log_uniform(PENUMBRAS, random))
    factors = math.exp(random.uniform(*LOG_LIGHT_RANGE)) * random.uniform(*LIGHT_TINTS, 3)
    return _scaled(image, 1 + soft[..., None] * (factors - 1))


def _log_uniform(limits: tuple[float, float], random: Random) -> float:
    return math.exp(random.uniform(math.log(limits[0]), math.log(limits[1])))


def saturated(image: ByteArray, factor: float) -> ByteArray:
    """Move colours away from grey, or towards it for a factor below 1."""
    grey = image.mean(2, keepdims=True, dtype=np.float32)
    return _clipped(grey + np.float32(factor) * (image - grey))


def recolour(image: ByteArray, random: Random) -> ByteArray:
    """Change saturation, contrast, brightness and white balance by one linear map of the colours."""
    saturation, contrast = random.uniform(0.4, 1.6), random.uniform(0.7, 1.4)
    gains = random.uniform(0.75, 1.3) * random.uniform(0.88, 1.12, 3)
    mix = saturation * np.eye(3) + (1 - saturation) * np.tile(GREY, (3, 1))
    middle = float(image.mean())
    matrix = np.column_stack([gains[:, None] * contrast * mix, gains * (1 - contrast) * middle])
    return _pixels(cv2.transform(image, matrix))


def curve(image: ByteArray, gamma: float) -> ByteArray:
    """Apply a gamma curve to values as fractions of 255: ``gamma`` above 1 darkens shadows, below 1 brightens them."""
    values = 255 * (np.arange(256) / 255) ** gamma
    return _pixels(cv2.LUT(image, values.astype(np.uint8)))


def add_noise(image: ByteArray, random: Random) -> ByteArray:
    """Add Gaussian noise, independent for every pixel and colour channel."""
    noise = random.standard_normal(image.shape, dtype=np.float32) * np.float32(random.uniform(2, 14))
    return _clipped(image + noise)


def compress(image: ByteArray, quality: int) -> ByteArray:
    """Compress an image as JPEG of ``quality``, 0 to 100, and decode it again."""
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = _pixels(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return _pixels(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))


def _scaled(image: ByteArray, factors: NDArray[np.floating]) -> ByteArray:
    """Multiply values by factors, element by element."""
    return _clipped(image.astype(np.float32) * factors.astype(np.float32))


def _linear(plane: ByteArray, factor: float, offset: float) -> ByteArray:
    """Multiply values by a factor, then add an offset."""
    return _clipped(plane * np.float32(factor) + np.float32(offset))


def _clipped(values: FloatArray) -> ByteArray:
    """Convert numbers to pixels: clip them to 0..255 and truncate."""
    return np.minimum(np.maximum(values, 0), 255).astype(np.uint8)


def _pixels(array: object) -> ByteArray:
    """Declare the type of an array from OpenCV, which is uint8 already."""
    return np.asarray(array, dtype=np.uint8)
