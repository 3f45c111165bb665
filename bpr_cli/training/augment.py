"""What the network is shown of a stored patch while it trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bpr_cli.patchset.record import PatchSample
from bpr_cli.training.coarse import vary_coarse
from bpr_cli.training.composite import composite
from bpr_cli.training.geometry import vary_cut
from bpr_cli.training.photometric import vary_image
from bpr_cli.training.settings import Recipe
from bpr_cli.training.sizes import Sizes, resized

Draw = Callable[[np.random.Generator], PatchSample]
"""Draws a stored patch."""


@dataclass(frozen=True)
class Augmentation:
    """All that is varied by chance, as a recipe says; a pure function of patches and random numbers."""

    recipe: Recipe
    sizes: Sizes

    def __call__(self, sample: PatchSample, another: Draw, random: np.random.Generator) -> PatchSample:
        """Vary a stored patch.

        Args:
            sample: as stored.
            another: draws a second stored patch, if one is needed.
            random: drawn from in an order that depends on nothing else.

        Returns:
            ``sizes.input_size`` pixels a side.
        """
        if random.random() < self.recipe.composite:
            sample = composite(sample, another(random), self.sizes, self.recipe.geometry, random)
        cut = vary_cut(sample, self.sizes.side, self.recipe.geometry, random)
        coarse = vary_coarse(cut.coarse, cut.truth, self.recipe.coarse, random)
        image = vary_image(cut.image, self.recipe.image, random)
        # Last, as in refinement: enlarged masks have the steps of the pixels that they were predicted in.
        return resized(PatchSample(image, coarse, cut.truth), self.sizes.input_size)
