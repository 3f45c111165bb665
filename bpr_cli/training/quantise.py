"""Teaches weights to compute in 8-bit integers: shows the network patches of known masks, and notes what it holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bpr_cli.errors import BprError
from bpr_cli.inference.int8 import int8_numbers
from bpr_cli.inference.patch_model import PatchModel
from bpr_cli.patches.crop import Patches
from bpr_cli.patchset.store import PatchSet
from bpr_cli.refinement.image import ImagePass, fill_batches
from bpr_cli.refinement.settings import PassSettings, RefineSettings, passes_of
from bpr_cli.training.lessons import KINDS, draw_lessons, pool_of
from bpr_cli.training.sampling import MaskPool
from bpr_cli.weights.files import check_new, check_share, load_weights, save_changed

FROM_EACH = 4
"""The most patches of one mask."""


def quantise_weights(
    weights: str | Path,
    sets: Sequence[PatchSet],
    out: Path,
    *,
    patches: int = 256,
    seed: int = 0,
    overwrite: bool = False,
    share: bool = False,
) -> int:
    """Write weights that can also compute in 8-bit integers, because they know what their layers hold.

    Args:
        weights: shipped name or file.
        sets: sets of the scheme ``image``; all give about as many patches.
        out: new weights file.
        patches: about how many patches in all.
        seed: of the choice of patches.
        overwrite: whether to replace ``out`` if it exists.
        share: whether ``out`` holds only the card, and shares the tensors of ``weights`` in the same folder.

    Returns:
        Number of patches that the network was shown.

    Raises:
        BprError: the weights or a set cannot be used, the sets have no patch, or ``out`` cannot be written.
    """
    check_new(out, overwrite)
    loaded = load_weights(weights)
    if share:
        check_share(out, loaded)
    how = passes_of(loaded.card, RefineSettings(context=False))[-1]
    each = math.ceil(patches / max(len(sets) * len(KINDS) * FROM_EACH, 1))
    pools = list(map(pool_of, sets))
    shown = [some for at, pool in enumerate(pools) for some in some_patches(pool, how, each, [seed, at])]
    if not shown:
        raise BprError("these sets have no masks with a boundary, so there is nothing to measure; give other sets")
    image, mask = (
        torch.from_numpy(np.concatenate([getattr(one, name) for one in shown])) for name in ("image", "mask")
    )
    x = PatchModel(loaded.network, loaded.card).network_input(image, mask)
    save_changed(out, replace(loaded.card, int8=int8_numbers(loaded.network, x)), loaded, share=share)
    return len(x)


def some_patches(pool: MaskPool, how: PassSettings, count: int, seed: Sequence[int]) -> Iterator[Patches]:
    """A few patches along each of ``count`` masks of every kind."""
    random = np.random.default_rng(seed)
    for kind in KINDS:
        for lesson in draw_lessons(pool, kind, count, random):
            image = ImagePass.begin(lesson.image, (lesson.coarse,), how)
            for batch in fill_batches([(kind, image)], max(len(image), 1)):
                found = batch.crop(how.input_size)
                yield found[:: math.ceil(len(found) / FROM_EACH) or 1]
