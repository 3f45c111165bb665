"""Prediction formats: nothing else in the program knows a file format."""

from bpr_cli.formats.base import Failure, Item, PredictionSet, ReadOptions, Task, Writer
from bpr_cli.formats.images import image_size, read_image
from bpr_cli.formats.open import FORMATS, open_predictions

__all__ = [
    "FORMATS",
    "Failure",
    "Item",
    "PredictionSet",
    "ReadOptions",
    "Task",
    "Writer",
    "image_size",
    "open_predictions",
    "read_image",
]
