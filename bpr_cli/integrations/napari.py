"""A command for napari: sharpens a labels layer along the boundaries that an image layer shows.

``napari.yaml`` tells napari of it. napari turns the function into a form and adds its result as a new layer.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.refinement.refiner import Refiner

if TYPE_CHECKING:
    import napari.types


@cache
def _refiner() -> Refiner:
    return Refiner()


def refine_labels(
    image: napari.types.ImageData, label_map: napari.types.LabelsData, background_stays: bool = False
) -> napari.types.LabelsData:
    """Refine labels, objects or classes, in one image or in every plane of a stack.

    Args:
        image: (..., H, W), or RGB, (..., H, W, 3).
        label_map: integers, (..., H, W).
        background_stays: whether pixels of the label 0 keep it, as where it means unlabelled; else it competes for
            pixels like all labels.

    Returns:
        The refined labels, of the same shape and type.

    Raises:
        BprError: image and labels differ in size.
    """
    pictures, planes = np.asarray(image), np.asarray(label_map)
    if planes.shape not in (pictures.shape, pictures.shape[:-1]):
        raise BprError(f"the image has the shape {pictures.shape} and the labels {planes.shape}; expected the same")
    refined = np.empty_like(planes)
    for place in np.ndindex(planes.shape[:-2]):
        refined[place] = _refiner().refine_labels(pictures[place], planes[place], ignore=0 if background_stays else ())
    return refined
