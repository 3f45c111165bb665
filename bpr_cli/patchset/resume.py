"""What an extraction is told, as JSON, so that it can be compared with what an earlier one was told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from bpr_cli.formats.json_files import Json
from bpr_cli.patchset.layout import PatchSource
from bpr_cli.patchset.settings import PatchSetSettings


def told(settings: PatchSetSettings, sources: Sequence[PatchSource]) -> dict[str, Json]:
    """What decides on the content of a set beside the content of its input, as JSON."""
    paths = [[source.name, source.format, source.images, source.truth] for source in sources]
    content: dict[str, Json] = json.loads(json.dumps({"settings": asdict(settings), "sources": paths}))
    return content


def difference(found: dict[str, Json], wanted: dict[str, Json]) -> str:
    """The first thing in which another extraction was told something else."""
    for name, value in wanted["settings"].items():
        if found["settings"].get(name) != value:
            return f"made with {name} {found['settings'].get(name)}, expected {value}"
    if found["sources"] != wanted["sources"]:
        names = [", ".join(source[0] for source in sides["sources"]) for sides in (found, wanted)]
        if names[0] != names[1]:
            return f"made from {names[0]}, expected {names[1]}"
        return "made with other images or ground truth"
    return "made when its input files were others"
