"""Every way into the program for files of unknown origin."""

from tests.fuzz.targets import evaluations, predictions, training

TARGETS = {target.name: target for target in (*predictions.TARGETS, *evaluations.TARGETS, *training.TARGETS)}
