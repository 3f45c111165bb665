"""The networks of a refinement on their devices, and how each pass uses them."""

from __future__ import annotations

from dataclasses import fields
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from bpr_cli.errors import LOGGER, BprError
from bpr_cli.inference.predictor import Predictor
from bpr_cli.refinement.limits import Limits
from bpr_cli.refinement.settings import PassSettings, RefineSettings, passes_of
from bpr_cli.settings import changed_settings, check_settings
from bpr_cli.weights.files import load_weights

if TYPE_CHECKING:
    from typing_extensions import Self


class RefinementNetworks:
    """The network for patches, and the one for whole masks if the weights have it.

    ``Refiner``, which adds what refines arrays, tells arguments, attributes and errors.
    """

    def __init__(self, settings: RefineSettings = RefineSettings(), **changes: Any) -> None:  # noqa: ANN401, B008
        check_settings(settings, RefineSettings)
        self.settings = changed_settings(settings, changes)
        self.weights = load_weights(self.settings.weights)
        self.passes = passes_of(self.weights.card, self.settings)
        self.limits = Limits.of(self.settings, self.weights.card)
        self._predictor: Predictor | None = Predictor(self.weights, self.settings, self.settings.flip)
        self._context: Predictor | None = None
        if self.weights.context and self.passes[0].whole:
            self._context = Predictor(self.weights.context, self.settings)
        LOGGER.info("loaded %r", self)

    @property
    def predictor(self) -> Predictor:
        """The network on its devices.

        Raises:
            BprError: the networks are closed.
        """
        if self._predictor is None:
            raise BprError(
                f"this {type(self).__name__} is closed; make a new one, or refine inside of its with statement"
            )
        return self._predictor

    def predictor_of(self, how: PassSettings) -> Predictor:
        """The network of a pass on its devices: the one for whole masks, or the one for patches.

        Raises:
            BprError: the networks are closed.
        """
        return self._context if how.whole and self._context else self.predictor

    def passes_over(self, *, labels: bool) -> tuple[PassSettings, ...]:
        """How each pass places patches along masks, or along the labels of a map.

        Labels compete for every pixel, so all their patches have one size.
        """
        return tuple(how for how in self.passes if not (labels and (how.view or how.whole)))

    def close(self) -> None:
        """Free the network and its memory on the devices; refining afterwards raises ``BprError``."""
        self._predictor = self._context = None
        torch.cuda.empty_cache()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        """The changed settings, and what they led to."""
        changed = ((field.name, getattr(self.settings, field.name)) for field in fields(self.settings))
        default = RefineSettings()
        given = ", ".join(f"{name}={value!r}" for name, value in changed if value != getattr(default, name))
        card = self.weights.card
        where = "closed"
        if self._predictor is not None:
            devices = ", ".join(map(str, self.predictor.devices))
            where = f"on {devices} with {self.predictor.backend.name}"
        sides = ", ".join(str(each.patch_size) for each in self.passes)
        return f"<{type(self).__name__}({given}): {card.name} ({card.network}), patches of {sides} pixels, {where}>"
