"""Every way into the program for files of strangers, one file each."""

from tests.fuzz.fuzzing import Reader
from tests.fuzz.readers import (
    checkpoint,
    cityscapes,
    coco,
    evaluations,
    images,
    labels,
    masks,
    panoptic,
    patch_set,
    recipe,
    training,
    weights,
)

READERS: tuple[Reader, ...] = (
    images.READER,
    masks.READER,
    labels.READER,
    coco.READER,
    cityscapes.READER,
    panoptic.READER,
    *evaluations.READERS,
    weights.READER,
    checkpoint.READER,
    patch_set.READER,
    recipe.READER,
    training.READER,
)
