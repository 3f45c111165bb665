"""Extractions that are gone on with."""

from dataclasses import asdict
from pathlib import Path

from bpr_cli.formats.base import Failure
from bpr_cli.patchset.image import EncodedPatch, ImageResult
from bpr_cli.patchset.layout import PatchSource, SourceCounts
from bpr_cli.patchset.parts import Parts
from bpr_cli.patchset.record import encode_sample
from bpr_cli.patchset.resume import difference, told
from tests.fuzz.fuzzing import Reader
from tests.patchset.patch_cases import SETTINGS, noise, origin

SOURCE = PatchSource("preds/", "coco", "images/", "truth.json", SourceCounts(images=1))


def make(folder: Path) -> None:
    parts = Parts(folder)
    parts.begin({**told(SETTINGS, [SOURCE]), "inputs": "0" * 64})
    patches = tuple(EncodedPatch(encode_sample(noise(n), None), origin(n), n) for n in range(2))
    parts.append([ImageResult(0, SourceCounts(patches=2), patches)])
    parts.append([ImageResult(0, SourceCounts(failed=1), failure=Failure("a.png", "broken"))])


def read(folder: Path) -> None:
    parts = Parts(folder)
    found, wanted = parts.job(), told(SETTINGS, [SOURCE])
    if found is not None:
        difference(found, wanted)
    for number in range(parts.done):
        for result in parts.read(number):
            asdict(result)


READER = Reader("extraction", make, read)
