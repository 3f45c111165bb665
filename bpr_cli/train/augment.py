"""What the network is shown of a stored patch while it trains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bpr_cli.train.coarse import vary_coarse
from bpr_cli.train.geometry import vary_cut
from bpr_cli.train.patch_record import PatchSample
from bpr_cli.train.photometric import vary_image
from bpr_cli.train.recipe import Recipe
from bpr_cli.train.sizes import Sizes, resized


@dataclass(frozen=True)
class Augmentation:
    """Cut, image and coarse mask, varied by chance as a recipe says; a pure function of patch and random numbers."""

    recipe: Recipe
    sizes: Sizes

    def __call__(self, sample: PatchSample, random: np.random.Generator) -> PatchSample:
        """Vary a stored patch: ``sizes.input_size`` pixels a side."""
        cut = vary_cut(sample, self.sizes.side, self.recipe.geometry, random)
        coarse = vary_coarse(cut.coarse, cut.truth, self.recipe.coarse, random)
        image = vary_image(cut.image, self.recipe.image, random)
        # Last, as in refinement: enlarged masks have the steps of the pixels that they were predicted in.
        return resized(PatchSample(image, coarse, cut.truth), self.sizes.input_size)
