"""Refinement without learning, to compare with: GrabCut, guided filtering and a dense conditional random field.

Each works in a band along the coarse boundaries, for two labels (a binary mask) or more (a label map).
Shape letters: K labels, N pixels of the band, H and W image or window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.evaluation.oracle import near_boundary
from bpr_cli.masks.masks import EMPTY_BOX, LabelMap, Mask, Prediction
from bpr_cli.patches.boxes import grow
from bpr_cli.typing import BoolArray, Box

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

CONTEXT = 48
"""Pixels around a mask that a method sees."""


class Method(Protocol):
    """A method that predicts the labels of the pixels in a band again.

    Attributes:
        band: pixels on each side of the coarse boundaries that may change.
    """

    @property
    def band(self) -> int: ...

    def confidence(self, image: Image, planes: BoolArray) -> Floats:
        """How much each pixel belongs to each label.

        Args:
            image: uint8, (H, W, 3), RGB.
            planes: (K, H, W), the coarse pixels of each label; every pixel has one.

        Returns:
            float32, (K, H, W).
        """


def refine(method: Method, image: Image, prediction: Prediction) -> Prediction:
    """Refine masks independently, or a label map."""
    if isinstance(prediction, LabelMap):
        refined = relabel(method, image, prediction.labels)
        kept = np.isin(prediction.labels, list(prediction.void)) | np.isin(refined, list(prediction.void))
        return LabelMap(np.where(kept, prediction.labels, refined), prediction.void)
    return tuple(refine_mask(method, image, mask) for mask in prediction)


def refine_mask(method: Method, image: Image, mask: Mask) -> Mask:
    """Refine one mask in a window around it; it stays unchanged if its refined mask would be empty."""
    if mask.box == EMPTY_BOX:
        return mask
    window = grow(mask.box, CONTEXT, mask.size)
    labels = relabel(method, crop(image, window), mask.window(window).astype(np.int32))
    refined = Mask.from_array(labels, (window[0], window[1]), mask.size)
    return mask if refined.box == EMPTY_BOX else refined


def relabel(method: Method, image: Image, labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give every pixel of the band the label of highest confidence; ties keep the coarse one."""
    values, numbers = np.unique(labels, return_inverse=True)
    if len(values) == 1:
        return labels
    planes = labels == values[:, None, None]
    confidence = method.confidence(image, planes)
    own = np.take_along_axis(confidence, numbers.reshape(1, *labels.shape), axis=0)[0]
    changed = (confidence.max(axis=0) > own) & near_boundary(labels, method.band)
    return np.where(changed, values[confidence.argmax(axis=0)], labels)


def crop(array: NDArray[np.generic], window: Box) -> NDArray[np.generic]:
    return array[window[1] : window[3], window[0] : window[2]]


@dataclass(frozen=True)
class GrabCut:
    """OpenCV's GrabCut (Rother et al., SIGGRAPH 2004); labels beyond two are cut one by one against the rest."""

    band: int
    iterations: int

    def confidence(self, image: Image, planes: BoolArray) -> Floats:
        """1 where a label is cut out, else 0."""
        if len(planes) == 2:
            foreground = self.cut(image, planes[1])
            return np.stack([~foreground, foreground]).astype(np.float32)
        return np.stack([self.cut(image, plane) for plane in planes]).astype(np.float32)

    def cut(self, image: Image, plane: BoolArray) -> BoolArray:
        """Cut one label from the rest, in a window around it: bool, (H, W)."""
        window = grow(Mask.from_array(plane).box, CONTEXT, plane.shape)
        coarse = crop(plane, window)
        unsure = near_boundary(coarse.astype(np.uint8), self.band)
        likely = np.where(coarse, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
        state = np.where(unsure, likely, np.where(coarse, cv2.GC_FGD, cv2.GC_BGD)).astype(np.uint8)
        if unsure.any():
            models = np.zeros((1, 65)), np.zeros((1, 65))
            pixels = np.ascontiguousarray(crop(image, window)[..., ::-1])
            cv2.grabCut(pixels, state, None, *models, self.iterations, cv2.GC_INIT_WITH_MASK)
        refined = plane.copy()
        crop(refined, window)[...] = np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD))
        return refined


@dataclass(frozen=True)
class GuidedFilter:
    """The guided filter with a colour guide (He et al., TPAMI 2013), of the coarse pixels of each label.

    Attributes:
        radius: of the windows, in pixels; the band is twice as wide.
        eps: smallest variance of colours (0..1) that counts as an edge.
    """

    radius: int
    eps: float

    @property
    def band(self) -> int:
        return 2 * self.radius

    def confidence(self, image: Image, planes: BoolArray) -> Floats:
        """The filtered planes, about 0 to 1."""
        guide = image.astype(np.float32) / 255
        target = np.moveaxis(planes, 0, -1).astype(np.float32)
        mean, target_mean = self.average(guide), self.average(target)
        variance = self.average(outer(guide, guide)) - outer(mean, mean)
        covariance = self.average(outer(guide, target)) - outer(mean, target_mean)
        slope = np.linalg.solve(variance + self.eps * np.eye(3, dtype=np.float32), covariance)
        offset = target_mean - apply(slope, mean)
        return np.moveaxis(apply(self.average(slope), guide) + self.average(offset), -1, 0)

    def average(self, array: Floats) -> Floats:
        """Mean over the window around every pixel, of an array (H, W, ...)."""
        side = 2 * self.radius + 1
        channels = array.reshape(*array.shape[:2], -1)
        return cv2.blur(channels, (side, side), borderType=cv2.BORDER_REFLECT).reshape(array.shape)


def outer(first: Floats, second: Floats) -> Floats:
    """Products of all channels: (H, W, A) and (H, W, B) give (H, W, A, B)."""
    return first[..., :, None] * second[..., None, :]


def apply(slope: Floats, colours: Floats) -> Floats:
    """Linear functions of the colours: (H, W, 3, K) of (H, W, 3) give (H, W, K)."""
    return np.einsum("hwck,hwc->hwk", slope, colours)


RINGS = (1, 2, 4, 8, 16, 32)
DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
SURE = 0.9
"""Unary probability of the coarse label."""
NEAR = 3.0
"""Standard deviation of the smoothing kernel in pixels."""
SMOOTHING = 0.3
"""Weight of the smoothing kernel for each unit of that of the appearance kernel."""


@dataclass(frozen=True)
class DenseCrf:
    """Mean field of a dense CRF with a Gaussian and a bilateral kernel (Krähenbühl and Koltun, NeurIPS 2011).

    Kernels are not summed over all pixels but sampled in eight directions on rings around a pixel, each sample weighted
    by the area it stands for, and normalised to a mean over the samples. Only the band is updated; pixels beyond it
    keep their coarse label, and tell it to their neighbours.

    Attributes:
        reach: standard deviation of the bilateral kernel in pixels.
        colour: its standard deviation in the distance of colours, 0..255.
        weight: of the bilateral kernel.
    """

    band: int
    reach: float
    colour: float
    weight: float
    iterations: int = 5

    def confidence(self, image: Image, planes: BoolArray) -> Floats:
        """Marginal probabilities; 1 and 0 beyond the band."""
        edge = max(RINGS)
        beliefs = np.pad(planes, ((0, 0), (edge, edge), (edge, edge)), mode="edge").astype(np.float32)
        rows, columns = np.nonzero(near_boundary(planes.argmax(axis=0), self.band))
        width = beliefs.shape[2]
        places = (rows + edge) * width + columns + edge
        steps = [ring * (dy * width + dx) for ring in RINGS for dy, dx in DIRECTIONS]
        weights = self.weights(np.pad(image, ((edge, edge), (edge, edge), (0, 0)), mode="edge"), places, steps)
        flat = beliefs.reshape(len(planes), -1)
        unary = np.log(np.where(flat[:, places] > 0, SURE, (1 - SURE) / (len(planes) - 1))).astype(np.float32)
        for _ in range(self.iterations):
            message = unary.copy()
            for step, weight in zip(steps, weights, strict=True):
                message += weight * flat[:, places + step]
            belief = np.exp(message - message.max(axis=0))
            flat[:, places] = belief / belief.sum(axis=0)
        return beliefs[:, edge:-edge, edge:-edge]

    def weights(self, padded: Image, places: NDArray[np.int64], steps: list[int]) -> Floats:
        """Weight of each sample for every pixel of the band: float32, (samples, N)."""
        colours = padded.reshape(-1, 3).astype(np.float32)
        square = np.array([ring * ring * (dy * dy + dx * dx) for ring in RINGS for dy, dx in DIRECTIONS], np.float32)
        area = np.repeat(np.square(RINGS), len(DIRECTIONS)).astype(np.float32)
        unlike = np.stack([np.square(colours[places + step] - colours[places]).sum(axis=1) for step in steps])
        smooth = area * np.exp(-square / (2 * NEAR**2))
        spatial = area * np.exp(-square / (2 * self.reach**2))
        alike = spatial[:, None] * np.exp(-unlike / (2 * self.colour**2))
        alike /= np.maximum(alike.sum(axis=0), 1e-6)
        return self.weight * (alike + SMOOTHING * (smooth / smooth.sum())[:, None]).astype(np.float32)
