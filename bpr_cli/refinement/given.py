"""What is given to ``Refiner`` for one image: a mask, several masks or a label map; and the way back to its kind."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bpr_cli.masks.masks import LabelMap, Mask, check_size
from bpr_cli.masks.soft import SoftMask
from bpr_cli.refinement.arrays import Plane, as_array, as_given, unusable
from bpr_cli.refinement.details import MaskDetails
from bpr_cli.refinement.mask_kinds import MaskSettings, checked_labels, like, read_mask
from bpr_cli.refinement.segments import Refined
from bpr_cli.settings import checked
from bpr_cli.typing import Size

_SINGLE = (str, os.PathLike, Mapping, Image.Image)
"""Types that never hold several images or masks, though some can be iterated."""


class Given(ABC, Generic[Refined]):
    """What was given for one image."""

    @property
    @abstractmethod
    def prediction(self) -> Refined:
        """What is refined."""

    @property
    @abstractmethod
    def planes(self) -> list[Plane]:
        """The planes that must have the size of the image."""

    @abstractmethod
    def back(self, refined: Refined) -> Any:  # noqa: ANN401 - the kind that was given
        """The refined prediction in the kind that was given, and its details if they are wanted."""

    def check(self, image: Size) -> None:
        """Check that it fits an image of (H, W).

        Raises:
            BprError: it does not.
        """
        for plane in self.planes:
            check_size(plane.size, image, plane.name)


@dataclass(frozen=True)
class GivenMask(Given[tuple[Mask, ...]]):
    """A mask that was read.

    Attributes:
        plane: its values.
        mask: its foreground; a ``SoftMask`` if the result is soft or has details.
        full: value of refined foreground; None where the values of the mask are kept.
        how: how it was read.
    """

    plane: Plane
    mask: Mask
    full: int | None
    how: MaskSettings

    @classmethod
    def read(cls, given: object, name: str, how: MaskSettings) -> GivenMask:
        """Read one mask.

        Raises:
            BprError: it does not hold one number per pixel, or its numbers are not what ``how`` says.
        """
        plane = Plane.of(given, name)
        return cls(plane, *read_mask(plane, how), how)

    @property
    def prediction(self) -> tuple[Mask, ...]:
        """The one mask."""
        return (self.mask,)

    @property
    def planes(self) -> list[Plane]:
        """The plane of the mask."""
        return [self.plane]

    def back(self, refined: tuple[Mask, ...]) -> Any:  # noqa: ANN401 - as in the base class
        """See ``Given``."""
        mask = as_given(self.shaped(refined[0]), self.plane.given)
        return (mask, self.details(refined[0])) if self.how.return_details else mask

    def details(self, refined: Mask) -> MaskDetails:
        """What the network made of the mask."""
        assert isinstance(refined, SoftMask)
        return MaskDetails.of(self.mask, refined)

    def shaped(self, refined: Mask) -> NDArray[Any]:
        """The refined mask with the shape, type and range of what was given."""
        foreground, values = refined.to_array(), self.plane.values
        if self.how.soft and isinstance(refined, SoftMask):
            scaled = refined.values / refined.full if values.dtype.kind == "f" else refined.values
            return self.plane.shaped(scaled.astype(values.dtype))
        if self.full is None:
            return self.plane.shaped(like(foreground, values))
        return self.plane.shaped((foreground * self.full).astype(values.dtype))


@dataclass(frozen=True)
class GivenMasks(Given[tuple[Mask, ...]]):
    """Several masks that were read from one argument.

    Attributes:
        masks: the masks.
        stack: the array of a stack, (N, H, W); None for a list.
        given: the argument.
        how: how they were read.
    """

    masks: list[GivenMask]
    stack: NDArray[Any] | None
    given: object
    how: MaskSettings

    @classmethod
    def read(cls, given: object, name: str, how: MaskSettings) -> GivenMasks:
        """Read a list, a generator or a stack.

        Raises:
            BprError: it is none of these, or see ``GivenMask.read``.
        """
        stack = as_array(given, name) if isinstance(given, np.ndarray | Tensor) else None
        if stack is not None and stack.ndim not in (3, 4):
            raise unusable(given, name, "several masks: a list, a generator or a stack (N, H, W)")
        parts = list(stack) if stack is not None else parts_of(given, name, "several masks")
        masks = [GivenMask.read(part, f"{name}[{index}]", how) for index, part in enumerate(parts)]
        return cls(masks, stack, given, how)

    @property
    def prediction(self) -> tuple[Mask, ...]:
        """The masks, in their order."""
        return tuple(each.mask for each in self.masks)

    @property
    def planes(self) -> list[Plane]:
        """The planes of all masks."""
        return [each.plane for each in self.masks]

    def back(self, refined: tuple[Mask, ...]) -> Any:  # noqa: ANN401 - as in the base class
        """See ``Given``; the result is a stack of the kind that was given, or a list with the kind of each mask."""
        pairs = list(zip(self.masks, refined, strict=True))
        if self.stack is None:
            masks: Any = [as_given(given.shaped(mask), given.plane.given) for given, mask in pairs]
        else:
            out = np.empty_like(self.stack)
            for part, (given, mask) in zip(out, pairs, strict=True):
                part[...] = given.shaped(mask)
            masks = as_given(out, self.given)
        return (masks, [given.details(mask) for given, mask in pairs]) if self.how.return_details else masks


@dataclass(frozen=True)
class GivenLabels(Given[LabelMap]):
    """A label map that was read.

    Attributes:
        plane: its labels: integers of at most 32 bits.
        ignore: labels that stay exactly as they are.
    """

    plane: Plane
    ignore: frozenset[int]

    @classmethod
    def read(cls, given: object, name: str, ignore: object) -> GivenLabels:
        """Read a label map, and the labels that it ignores: one number or several.

        Raises:
            BprError: it does not hold one integer of at most 32 bits per pixel, or ``ignore`` holds no integers.
        """
        return cls(checked_labels(Plane.of(given, name)), ignored_labels(ignore))

    @property
    def prediction(self) -> LabelMap:
        """The map."""
        return LabelMap(self.plane.values.astype(np.int32), self.ignore)

    @property
    def planes(self) -> list[Plane]:
        """The plane of the map."""
        return [self.plane]

    def back(self, refined: LabelMap) -> Any:  # noqa: ANN401 - as in the base class
        """See ``Given``; label maps have no details."""
        return self.plane.back(refined.labels.astype(self.plane.values.dtype))


def ignored_labels(given: object) -> frozenset[int]:
    """The labels of the argument ``ignore``: one number or several.

    Raises:
        BprError: it is neither.
    """
    plain = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(plain, int):
        plain = (plain,)
    elif isinstance(plain, Iterable) and not isinstance(plain, str):
        plain = tuple(plain)
    ignored: frozenset[int] = checked("ignore", plain, frozenset[int])
    return ignored


def parts_of(given: object, name: str, what: str) -> list[Any]:
    """The parts of a list, a generator or a stack, whose parts are arrays or tensors like itself.

    Args:
        given: the argument.
        name: name of the argument in messages.
        what: what it holds, for messages, such as "several masks".

    Raises:
        BprError: it is none of these.
    """
    if isinstance(given, Iterable) and not isinstance(given, _SINGLE) and getattr(given, "ndim", None) != 0:
        return list(given)
    raise unusable(given, name, f"{what}: a list, a generator or a stack (N, H, W)")


def joined(parts: Sequence[Any], given: object) -> Any:  # noqa: ANN401 - the kind that was given
    """Parts as a stack where a stack was given, else as a list; the way back from ``parts_of``."""
    if isinstance(given, Tensor):
        return torch.stack(list(parts)) if len(parts) else given.clone()
    if isinstance(given, np.ndarray):
        return np.stack(parts) if len(parts) else given.copy()
    return list(parts)
