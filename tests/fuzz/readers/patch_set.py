"""Patch sets for training."""

import hashlib
import json
from pathlib import Path

from bpr_cli.patchset.layout import digest_of
from bpr_cli.patchset.store import PatchSet
from tests.fuzz.fuzzing import Reader
from tests.fuzz.samples import Sample
from tests.patchset.patch_cases import SETTINGS, write_set

SET = "set.json"


def make(folder: Path) -> None:
    write_set(folder, count=4, settings=SETTINGS)


def read(folder: Path) -> None:
    patches = PatchSet(folder)
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
        stated = ("kind", "version", "digest")
        document["digest"] = digest_of({name: value for name, value in document.items() if name not in stated})
        return {**sample, SET: json.dumps(document).encode()}
    except Exception:  # so broken that there is nothing to be mended
        return sample


READER = Reader("patch set", make, read, mend)
