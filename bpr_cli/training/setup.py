"""The plan of a training: settings, patch sets and initial weights, checked against each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpr_cli.errors import BprError, note
from bpr_cli.patchset.record import PatchSample
from bpr_cli.patchset.store import PatchSet
from bpr_cli.training.augmentation import PatchSizes
from bpr_cli.training.data import PatchSubset, hold_out, some_of
from bpr_cli.training.recipe import values_of
from bpr_cli.training.sampling import check_names, set_name, validation_patches
from bpr_cli.training.settings import TrainSettings
from bpr_cli.weights.card import IMAGENET_MEAN, IMAGENET_STD, INPUT_STEP, WeightsCard
from bpr_cli.weights.files import LoadedWeights

OF_ANY_PATCH = ("scales", "view", "follow", "min_part", "min_movement", "flip", "core")
"""Settings of refinement that hold for patches of any size; new weights have them from the initial ones."""

OF_CONTEXT = ("rim", "nms_threshold")
"""Those that need as much context as the initial weights saw: without a rim, a low threshold leaves gaps."""


@dataclass(frozen=True)
class Plan:
    """Data, sizes and card of a training.

    Attributes:
        card: card of the new weights, without metrics.
        sizes: sizes of the network's input.
        from_init: settings of refinement that the card has from the initial weights, by name.
        training: training patches, or whole images to sample them from.
        validation: validation patches.
        settings: everything that determines the result, as plain values by dotted key.
    """

    card: WeightsCard
    sizes: PatchSizes
    from_init: Mapping[str, Any]
    training: list[PatchSubset]
    validation: Sequence[PatchSubset | Sequence[PatchSample]]
    settings: Mapping[str, Any]


def has_images(patches: PatchSet) -> bool:
    """Whether a set holds whole images instead of patches."""
    return patches.settings.scheme == "image"


def open_sets(patches: Sequence[Path], settings: TrainSettings) -> list[PatchSet]:
    """Open the training sets, then the validation sets.

    Raises:
        BprError: a set is damaged or empty, its patches differ in size from those of the first set, or it holds whole
            images although the recipe needs patches, or vice versa.
    """
    sampled = settings.recipe.sampling is not None
    sets = [PatchSet(path) for path in [*patches, *settings.validation]]
    for each in sets:
        if not len(each):
            raise BprError(f"the patch set {each.path} is empty; extract one with patches")
    for each in sets[: len(patches)]:
        if has_images(each) and not sampled:
            raise BprError(
                f"the patch set {each.path} holds whole images, but the recipe does not sample patches from images; "
                "give a recipe that does, such as images, or extract the set without --scheme image"
            )
        if sampled and not has_images(each):
            raise BprError(
                f"the patch set {each.path} holds patches, but the recipe samples them from whole images; give another "
                "recipe, or extract the set with --scheme image"
            )
    if settings.recipe.sampling:
        check_names([set_name(path) for path in patches], settings.recipe.sampling)
    _check_patch_sizes([each for each in sets if not has_images(each)])
    return sets


def _check_patch_sizes(sets: Sequence[PatchSet]) -> None:
    for patches in sets:
        if patches.settings.patch_size != sets[0].settings.patch_size:
            raise BprError(
                f"the patch set {patches.path} has patches of {patches.settings.patch_size} px, but {sets[0].path} of "
                f"{sets[0].settings.patch_size} px; extract both with one --patch-size"
            )


def make_plan(sets: Sequence[PatchSet], settings: TrainSettings, init: LoadedWeights | None, name: str) -> Plan:
    """Combine settings, patch sets and initial weights.

    Args:
        sets: training sets followed by validation sets, from ``open_sets``.
        settings: settings of the training.
        init: initial weights, or None.
        name: name of the weights if the settings have none.

    Raises:
        BprError: settings, sets and initial weights do not fit together.
    """
    count = len(sets) - len(settings.validation)
    own, foreign = sets[:count], sets[count:]
    if foreign:
        training, validation = [PatchSubset.full(each) for each in own], [PatchSubset.full(each) for each in foreign]
    else:
        training, validation = hold_out(own, settings.validation_share, settings.seed)
    sizes = _sizes([each for each in sets if not has_images(each)], settings)
    from_init = taken_over(init.card, sizes) if init else {}
    card = WeightsCard(
        name=settings.name or name,
        network=_network(settings, init),
        patch_size=sizes.patch_size,
        padding=sizes.padding,
        input_size=sizes.input_size,
        mean=init.card.mean if init else IMAGENET_MEAN,
        std=init.card.std if init else IMAGENET_STD,
        mask_patch=settings.mask_patch,
        **from_init,
        training_data="; ".join([*map(described, training), *_before(init)]),
        licence=settings.licence or (init.card.licence if init else ""),
        description="trained with bpr train",
        recipe="; ".join(f"{key} = {json.dumps(value)}" for key, value in values_of(settings.recipe).items()),
    )
    identity = _identity(own, foreign, settings, card, init)
    return Plan(card, sizes, from_init, training, _validation(validation, sizes, settings), identity)


def taken_over(init: WeightsCard, sizes: PatchSizes) -> dict[str, Any]:
    """The settings of refinement that new weights have from the initial ones, as far as their own patches allow.

    Patch set and recipe say what patches the network learns from, and judges know only the tensors that they learned
    from, so that none of these is taken over.
    """
    names = [*OF_ANY_PATCH]
    if sizes.patch_size >= (init.min_patch_size or 0):
        names.append("min_patch_size")
    if sizes.padding >= init.padding:
        names += OF_CONTEXT
    return {name: getattr(init, name) for name in names}


def note_taken_over(init: WeightsCard, plan: Plan) -> None:
    """Report the settings that new weights have from the initial ones, and how their patches differ."""
    told = [f"{name} {value}" for name, value in plan.from_init.items() if value != getattr(WeightsCard, name)]
    if told:
        note(
            "the new weights refine with settings of %s: %s; bpr weights convert changes them",
            init.name,
            ", ".join(told),
        )
    if (plan.sizes.patch_size, plan.sizes.padding) != (init.patch_size, init.padding):
        own, others = (f"{each.patch_size} px with {each.padding} px of context" for each in (plan.sizes, init))
        note(
            "the new weights refine patches of %s, as they are trained on them; %s has patches of %s",
            own,
            init.name,
            others,
        )


def _validation(
    subsets: Sequence[PatchSubset], sizes: PatchSizes, settings: TrainSettings
) -> list[PatchSubset | Sequence[PatchSample]]:
    """The validation patches: stored patches, and patches along the coarse masks of whole images."""
    count, seed = settings.validation_patches, settings.seed
    stored = some_of([subset for subset in subsets if not has_images(subset.patches)], count, seed)
    images = [subset for subset in subsets if has_images(subset.patches)]
    cropped = [validation_patches(subset, sizes, max(1, count // len(images)), seed) for subset in images]
    found: list[PatchSubset | Sequence[PatchSample]] = [*stored, *(each for each in cropped if each)]
    if not found:
        raise BprError(
            "the images held out for validation have no coarse masks; give others as --validation, or hold out more "
            "with --validation-share"
        )
    return found


def described(part: PatchSubset) -> str:
    """Describe the patches of a set in one line: their number, their images and the sources of coarse masks."""
    items = [part.patches.items[number] for number in sorted(set(part.patches.item_numbers[part.places].tolist()))]
    sources = sorted({item.source for item in items})
    images = len({item.name for item in items})
    patches = "" if has_images(part.patches) else f"{len(part)} patches of "
    return f"{patches}{images} images, coarse masks of {', '.join(sources)}"


def _before(init: LoadedWeights | None) -> list[str]:
    """The training data of the initial weights, on which the new weights also depend."""
    return [f"begun with {init.card.name}: {init.card.training_data or 'unknown'}"] if init else []


def _sizes(stored: Sequence[PatchSet], settings: TrainSettings) -> PatchSizes:
    """The sizes of the network's input, from the stored patches or from a recipe that samples from images."""
    recipe = settings.recipe
    padding = recipe.padding if settings.padding is None else settings.padding
    patch_size = recipe.sampling.patch_size if recipe.sampling else stored[0].settings.patch_size
    if stored:
        padding = _stored_padding(stored, settings)
        each = stored[0]
        if each.settings.patch_size != patch_size:
            raise BprError(
                f"the patch set {each.path} has patches of {each.settings.patch_size} px, but the recipe samples "
                f"patches of {patch_size} px; extract it with --patch-size {patch_size}"
            )
    side = patch_size + 2 * padding
    return PatchSizes(patch_size, padding, recipe.input_size or -(-side // INPUT_STEP) * INPUT_STEP)


def _stored_padding(sets: Sequence[PatchSet], settings: TrainSettings) -> int:
    """The context of stored patches to feed to the network, in pixels."""
    least = min(sets, key=lambda patches: patches.settings.padding)
    padding = min(settings.recipe.padding, least.settings.padding) if settings.padding is None else settings.padding
    if padding > least.settings.padding:
        raise BprError(
            f"padding is {padding}, but the patch set {least.path} has {least.settings.padding} px of context; "
            "give less, or extract it with more --padding"
        )
    return padding


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
    """Everything that determines the result, without settings of speed and names."""
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
