"""The learning rate as a function of the step: nothing to carry over when a training goes on."""

from __future__ import annotations

import math

from bpr_cli.training.settings import ScheduleSettings


def rate_at(step: int, steps: int, highest: float, settings: ScheduleSettings) -> float:
    """The learning rate of a step.

    Args:
        step: counted from 0.
        steps: number of steps of the whole training.
        highest: the rate that the schedule falls from.
        settings: its shape.

    Returns:
        In the warm-up a line from 0 (never reached) to ``highest``, then the fall to ``min_rate`` (reached after the
        last step).
    """
    warm = round(settings.warmup * steps)
    if step < warm:
        return highest * (step + 1) / warm
    progress = (step - warm) / (steps - warm)
    if settings.name == "poly":
        return poly(progress, highest, settings.min_rate, settings.power)
    return cosine(progress, highest, settings.min_rate)


def poly(progress: float, highest: float, lowest: float, power: float) -> float:
    """The polynomial fall of MMSegmentation: ``progress`` 0 gives ``highest``, 1 gives ``lowest``."""
    return float((highest - lowest) * (1 - progress) ** power + lowest)


def cosine(progress: float, highest: float, lowest: float) -> float:
    """Half a cosine wave (Loshchilov and Hutter, 2017): ``progress`` 0 gives ``highest``, 1 gives ``lowest``."""
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * progress)) / 2
