"""Patch sets for training."""

import hashlib
import json
from pathlib import Path

from fuzzing import Reader
from patch_cases import SETTINGS, write_set
from samples import Sample

from bpr_cli.train.patch_files import SetDocument
from bpr_cli.train.patch_set import PatchSet

SET = "set.json"


def make(folder: Path) -> None:
    write_set(folder, count=4, settings=SETTINGS)


def read(folder: Path) -> None:
    patches = PatchSet.open(folder)
    for index in range(len(patches)):
        hash(patches.origin(index))
        assert patches[index].image.shape == (patches.settings.side, patches.settings.side, 3)
    patches.verify()


def mend(sample: Sample) -> Sample:
    """State the sizes and digests that the files have."""
    try:
        document = json.loads(sample[SET])
        for file in (document["items"], document["index"], *document["shards"]):
            content = sample[file["name"]]
            file.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        document["digest"] = SetDocument._parse(document).digest
        return {**sample, SET: json.dumps(document).encode()}
    except Exception:  # so broken that there is nothing to be mended
        return sample


READER = Reader("patch set", make, read, mend)
