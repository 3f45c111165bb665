"""The plan of a training: settings, patch sets and initial weights, checked to fit together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpr_cli.errors import BprError
from bpr_cli.patchset.store import PatchSet
from bpr_cli.training.augmentation import PatchSizes
from bpr_cli.training.data import PatchSubset, hold_out, some_of
from bpr_cli.training.recipe import values_of
from bpr_cli.training.settings import TrainSettings
from bpr_cli.weights.card import IMAGENET_MEAN, IMAGENET_STD, INPUT_STEP, WeightsCard
from bpr_cli.weights.files import LoadedWeights


@dataclass(frozen=True)
class Plan:
    """Data, sizes and card of a training.

    Attributes:
        card: of the weights to come, without metrics.
        sizes: of the network's input.
        training: patches that train.
        validation: patches that validate.
        settings: plain values by dotted key: everything that the result depends on.
    """

    card: WeightsCard
    sizes: PatchSizes
    training: list[PatchSubset]
    validation: list[PatchSubset]
    settings: Mapping[str, Any]


def open_sets(paths: Sequence[Path]) -> list[PatchSet]:
    """The patch sets, none of them empty and all with patches of one size.

    Raises:
        BprError: a set cannot be used, or has patches of another size than the first.
    """
    sets = [PatchSet(path) for path in paths]
    for patches in sets:
        if not len(patches):
            raise BprError(f"the patch set {patches.path} is empty; extract one with patches")
        if patches.settings.patch_size != sets[0].settings.patch_size:
            raise BprError(
                f"the patch set {patches.path} has patches of {patches.settings.patch_size} px, but {sets[0].path} of "
                f"{sets[0].settings.patch_size} px; extract both with one --patch-size"
            )
    return sets


def make_plan(sets: Sequence[PatchSet], settings: TrainSettings, init: LoadedWeights | None, name: str) -> Plan:
    """Combine settings, patch sets and initial weights.

    Args:
        sets: the sets that train, see ``open_sets``, followed by as many as ``settings.validation`` names.
        settings: of the training.
        init: initial weights, if any.
        name: of the weights where the settings have none.

    Raises:
        BprError: they do not fit.
    """
    count = len(sets) - len(settings.validation)
    own, foreign = sets[:count], sets[count:]
    if foreign:
        training, validation = [PatchSubset.full(each) for each in own], [PatchSubset.full(each) for each in foreign]
    else:
        training, validation = hold_out(own, settings.validation_share, settings.seed)
    sizes = _sizes(sets, settings)
    card = WeightsCard(
        name=settings.name or name,
        network=_network(settings, init),
        patch_size=sizes.patch_size,
        padding=sizes.padding,
        input_size=sizes.input_size,
        mean=init.card.mean if init else IMAGENET_MEAN,
        std=init.card.std if init else IMAGENET_STD,
        mask_patch=settings.mask_patch,
        training_data="; ".join([*map(described, training), *_before(init)]),
        licence=settings.licence,
        description="trained with bpr train",
        recipe="; ".join(f"{key} = {json.dumps(value)}" for key, value in values_of(settings.recipe).items()),
    )
    validation = some_of(validation, settings.validation_patches, settings.seed)
    return Plan(card, sizes, training, validation, _identity(own, foreign, settings, card, init))


def described(part: PatchSubset) -> str:
    """One line on the patches of a set: how many, of how many images, whose coarse masks."""
    items = [part.patches.items[number] for number in sorted(set(part.patches.item_numbers[part.places].tolist()))]
    sources = sorted({item.source for item in items})
    images = len({item.name for item in items})
    return f"{len(part)} patches of {images} images, coarse masks of {', '.join(sources)}"


def _before(init: LoadedWeights | None) -> list[str]:
    """The training data of the initial weights, on which the new ones depend as well."""
    return [f"begun with {init.card.name}: {init.card.training_data or 'unknown'}"] if init else []


def _sizes(sets: Sequence[PatchSet], settings: TrainSettings) -> PatchSizes:
    """The sizes of the network's input."""
    least = min(sets, key=lambda patches: patches.settings.padding)
    padding = min(settings.recipe.padding, least.settings.padding) if settings.padding is None else settings.padding
    if padding > least.settings.padding:
        raise BprError(
            f"padding is {padding}, but the patch set {least.path} has {least.settings.padding} px of context; "
            "give less, or extract it with more --padding"
        )
    patch_size = least.settings.patch_size
    side = patch_size + 2 * padding
    return PatchSizes(patch_size, padding, settings.recipe.input_size or -(-side // INPUT_STEP) * INPUT_STEP)


def _network(settings: TrainSettings, init: LoadedWeights | None) -> str:
    """Name of the network."""
    if init is None:
        return settings.network or settings.recipe.network
    if settings.network not in (None, init.card.network):
        raise BprError(
            f"the weights {init.path} are of the network {init.card.network}, but --network is {settings.network}; "
            "leave --network out, or give other weights as --init"
        )
    return init.card.network


def _identity(
    own: Sequence[PatchSet],
    foreign: Sequence[PatchSet],
    settings: TrainSettings,
    card: WeightsCard,
    init: LoadedWeights | None,
) -> dict[str, Any]:
    """All that the result depends on, unlike speed and names."""
    held_out = [patches.digest for patches in foreign] or settings.validation_share
    return {
        "network": card.network,
        "init": init.digest if init else None,
        "patches": [patches.digest for patches in own],
        "validation": held_out,
        "validation_patches": settings.validation_patches,
        "patch_size": card.patch_size,
        "padding": card.padding,
        "input_size": card.input_size,
        "mask_patch": settings.mask_patch,
        "precision": settings.precision,
        "seed": settings.seed,
        **{f"recipe.{key}": value for key, value in values_of(settings.recipe).items()},
    }
