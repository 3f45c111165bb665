"""Other refiners of masks for ``peers.py``: GrabCut, closed-form matting and salient-object networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from classical import Floats, GrabCut, Image, Method, refine_mask

from bpr_cli import Refiner, RefineSettings
from bpr_cli.evaluation.oracle import near_boundary
from bpr_cli.masks.masks import Mask
from bpr_cli.typing import BoolArray, ByteArray

Refine = Callable[[ByteArray, BoolArray], BoolArray]
"""Refines a mask, bool (H, W), of an image, uint8 (H, W, 3)."""

BANDS = (4, 8, 16, 32)
"""Widths of the band that a peer may change, to choose from."""

AGREEMENT = 0.5
"""A salient-object network that sees another object than the mask is not used: their IoU must be above this."""


@dataclass(frozen=True)
class Matting:
    """Closed-form matting (Levin et al., TPAMI 2008) by ``pymatting``; the band is what it does not know."""

    band: int

    def confidence(self, image: Image, planes: BoolArray) -> Floats:
        """The alpha matte of the second of two labels."""
        from pymatting import estimate_alpha_cf

        trimap = np.where(near_boundary(planes[1].astype(np.uint8), self.band), 0.5, planes[1]).astype(np.float64)
        if not (trimap == 0.5).any() or len(np.unique(trimap)) < 3:
            return planes.astype(np.float32)
        alpha = estimate_alpha_cf(image / 255.0, trimap)
        return np.stack([1 - alpha, alpha]).astype(np.float32)


@dataclass(frozen=True)
class Salient:
    """A salient-object network on the crop of the object: U^2-Net (Qin et al., 2020) or IS-Net (Qin et al., 2022).

    Attributes:
        session: of ONNX Runtime.
        side: of the network's input in pixels.
        mean: subtracted from R, G, B on the scale 0..1.
        std: by which the difference is divided.
        band: pixels on each side of the coarse boundary that may change.
    """

    session: object
    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    band: int

    @classmethod
    def load(cls, kind: str, path: Path, band: int) -> Salient:
        """Load ``u2netp`` or ``isnet``."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        if kind == "isnet":
            return cls(session, 1024, (0.5,) * 3, (1.0,) * 3, band)
        return cls(session, 320, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), band)

    def confidence(self, image: Image, planes: BoolArray) -> Floats:
        """The saliency of the second of two labels; the coarse mask where the network sees another object."""
        small = cv2.resize(image, (self.side, self.side), interpolation=cv2.INTER_AREA).astype(np.float32)
        pixels = ((small / max(small.max(), 1e-6) - self.mean) / self.std).transpose(2, 0, 1)[None].astype(np.float32)
        name = self.session.get_inputs()[0].name
        found = self.session.run(None, {name: pixels})[0][0, 0]
        found = (found - found.min()) / max(float(found.max() - found.min()), 1e-6)
        saliency = cv2.resize(found, planes.shape[:0:-1], interpolation=cv2.INTER_LINEAR)
        seen = saliency > 0.5
        if (seen & planes[1]).sum() <= AGREEMENT * (seen | planes[1]).sum():
            return planes.astype(np.float32)
        return np.stack([1 - saliency, saliency])


def candidates(name: str) -> list[Refine]:
    """A method with every choice of its parameters.

    Args:
        name: ``grabcut``, ``matting``, ``u2netp=FILE``, ``isnet=FILE``, or the name or file of weights.
    """
    kind, _, path = name.partition("=")
    if kind == "grabcut":
        return [by_method(GrabCut(band, 1)) for band in BANDS]
    if kind == "matting":
        return [by_method(Matting(band)) for band in BANDS]
    if kind in ("u2netp", "isnet"):
        return [by_method(Salient.load(kind, Path(path), band)) for band in BANDS]
    return [Refiner(RefineSettings(weights=name, workers=1)).refine]


def by_method(method: Method) -> Refine:
    """A method of a band as a function of image and mask."""

    def refine(image: ByteArray, coarse: BoolArray) -> BoolArray:
        return refine_mask(method, image, Mask.from_array(coarse)).to_array()

    return refine
