"""The report of a refinement, ``run.json``.

``python -m bpr_cli.refinement.report`` generates its JSON schema, ``run.schema.json``, from the data classes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from bpr_cli.errors import with_urls
from bpr_cli.formats.base import Failure, PredictionSet, SetInputs
from bpr_cli.formats.reading import FORMATS, InputReading, Task
from bpr_cli.formats.source import REPORT_KIND
from bpr_cli.refinement.furthest import FurthestSegment, furthest_segments
from bpr_cli.refinement.network_used import NetworkUsed, WeightsUsed
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.refinement.stillness import reason_for_stillness
from bpr_cli.settings import Fraction
from bpr_cli.system.atomic import atomic_file, writing
from bpr_cli.system.store import shown

if TYPE_CHECKING:
    from bpr_cli.refinement.image import RefinementStats
    from bpr_cli.refinement.result import RefineResult


SCHEMA = Path(__file__).with_name("run.schema.json")
"""JSON schema of a ``RefineSummary`` as a dictionary (``dataclasses.asdict``)."""

Segments = Annotated[int, Meta(ge=0, description="Number of masks: instances, or labels or ids that are not void.")]
Patches = Annotated[int, Meta(ge=0, description="Number of patches that the network predicted, over all passes.")]
BoundaryMovement = Annotated[
    float,
    Meta(
        ge=0,
        description="Mean boundary displacement in pixels: the pixels that changed side, summed over segments, divided "
        "by the length of the coarse boundaries.",
    ),
]
AreaChange = Annotated[
    float,
    Meta(
        ge=0,
        description="Relative change of the areas: the absolute difference between each segment's refined and coarse "
        "area, summed over segments, divided by the sum of the coarse areas. Gains and losses do not cancel.",
    ),
]
KeptCoarse = Annotated[
    int, Meta(ge=0, description="Number of segments left unrefined by max_area_change or min_iou_with_coarse.")
]
Seconds = Annotated[float, Meta(ge=0)]


@dataclass(frozen=True)
class ItemSummary:
    """The refinement of one image."""

    name: Annotated[
        str, Meta(description="Relative path of the prediction file, or the id of the image in COCO results.")
    ]
    image: Annotated[str, Meta(description="Path of the image file.")]
    segments: Segments
    patches: Patches
    boundary_movement: BoundaryMovement
    area_change: AreaChange
    kept_coarse: KeptCoarse
    movements: Annotated[
        list[Annotated[float, Meta(ge=0)]],
        Meta(
            description="Mean boundary displacement of each segment in pixels: masks in the order of the file, labels "
            "and ids in ascending order. 0 for segments that came back as they were."
        ),
    ]
    likely_ious: Annotated[
        list[tuple[Fraction, Fraction]],
        Meta(
            description="Likely IoU of each mask or label with the truth, before and after, as the judge sees it; "
            "only what the network would change counts as wrong, and 0 is for masks without pixels. Empty without a "
            "judge."
        ),
    ]
    resumed: Annotated[bool, Meta(description="Whether an earlier process wrote it.")]


@dataclass(frozen=True)
class RefineSummary:
    """The document that bpr refine prints with --json, and writes as run.json to a complete output directory.

    Refinement is deterministic, so there is no seed: the same version, settings, weights, devices and inputs give the
    same files. Two such refinements differ only in seconds, elapsed and peak_memory, and in resumed if one resumes the
    other. In names that are not valid UTF-8, each invalid byte appears as the code point U+DC00 plus its value.
    """

    kind: Annotated[
        str,
        Meta(
            description="Distinguishes this document from predictions that are also named run.json.",
            extra_json_schema={"const": REPORT_KIND},
        ),
    ]
    versions: Annotated[
        dict[str, str],
        Meta(
            description="Versions of bpr, python, torch, numpy, opencv-python and pycocotools; of the "
            "packages of the backend, such as openvino and onnx."
        ),
    ]
    output: Annotated[str, Meta(description="File or directory of the refined predictions, as given.")]
    format: Annotated[str, Meta(description="Format of input and output.", extra_json_schema={"enum": list(FORMATS)})]
    task: Annotated[
        str, Meta(description="Kind of segmentation.", extra_json_schema={"enum": [task.value for task in Task]})
    ]
    reading: Annotated[InputReading, Meta(description="What the input was taken for, and how to say otherwise.")]
    inputs: Annotated[
        SetInputs | None,
        Meta(description="Paths of the inputs; null if a program refined predictions that do not come from files."),
    ]
    images: Annotated[int, Meta(ge=0, description="Number of images in the output; each has an entry in items.")]
    resumed: Annotated[int, Meta(ge=0, description="Number of these images that an earlier process wrote.")]
    segments: Segments
    patches: Patches
    boundary_movement: BoundaryMovement
    area_change: AreaChange
    kept_coarse: KeptCoarse
    seconds: Annotated[
        dict[str, Seconds],
        Meta(
            description="Busy seconds by stage, summed over threads, without resumed images: read (predictions and "
            "images), crop (find boundaries and crop patches), network, paste and write."
        ),
    ]
    elapsed: Annotated[
        Seconds, Meta(description="Seconds from the first image to the last file, without loading the weights.")
    ]
    peak_memory: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Peak memory of the process in bytes; null if the operating system does not report it."),
    ]
    devices: Annotated[
        Annotated[list[str], Meta(min_length=1)], Meta(description="Devices of the network, such as cpu or cuda:0.")
    ]
    backend: Annotated[
        str,
        Meta(
            description="The inference engine that ran the network.",
            extra_json_schema={"enum": ["pytorch", "openvino", "onnxruntime"]},
        ),
    ]
    weights: Annotated[WeightsUsed, Meta(description="Weights of the network.")]
    settings: Annotated[
        RefineSettings,
        Meta(description="The options of bpr refine or their defaults; null: from the weights, or no limit."),
    ]
    failures: Annotated[
        list[Failure],
        Meta(
            description="Images that could not be refined, in the order of the input, then records (masks, segments) "
            "that could not be read. The records of a JSON file are in the output as they were; other files of such "
            "images are not in it."
        ),
    ]
    notes: Annotated[
        list[str],
        Meta(
            description="How the predictions were read, where that decides the result, and why boundaries moved by "
            "almost nothing; in sentences."
        ),
    ]
    pictures: Annotated[
        list[str],
        Meta(description="Paths of the before/after pictures, if asked for; that of the most changed image first."),
    ]
    furthest: Annotated[
        list[FurthestSegment],
        Meta(description="The segments that moved furthest, of up to three images, the furthest first."),
    ]
    items: Annotated[
        list[ItemSummary],
        Meta(description="The images in the output, in the order of the input."),
    ]


def json_schema() -> dict[str, Any]:
    """The JSON schema of ``run.json``: every object has all its fields and no others."""
    schema = msgspec.json.schema(RefineSummary)
    definitions: dict[str, Any] = schema["$defs"]
    for definition in definitions.values():
        definition["description"] = " ".join(definition["description"].split())
        definition["required"] = list(definition["properties"])
        definition["additionalProperties"] = False
        for field in definition["properties"].values():
            field.pop("default", None)
    summary = definitions.pop("RefineSummary")
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **summary, "title": "A refinement by bpr", "$defs": definitions}


def summarise(
    network: NetworkUsed, settings: RefineSettings, predictions: PredictionSet, result: RefineResult, out: Path
) -> RefineSummary:
    """The summary of a refinement."""
    images = {item.name: shown(item.image) for item in predictions.items}
    stats = result.stats
    still = reason_for_stillness(stats, network.core)
    return RefineSummary(
        kind=REPORT_KIND,
        versions=network.versions,
        output=shown(out),
        format=predictions.format,
        task=predictions.task.value,
        reading=predictions.reading,
        inputs=predictions.inputs and _as_given(predictions.inputs),
        images=result.written,
        resumed=len(result.resumed),
        **_rounded(stats),
        seconds={stage: round(seconds, 3) for stage, seconds in result.seconds.items()},
        elapsed=round(result.elapsed, 3),
        peak_memory=peak_memory(),
        devices=network.devices,
        backend=network.backend,
        weights=network.weights,
        settings=settings,
        failures=result.failures,
        notes=[*result.notes, *([still] if still and result.written else [])],
        pictures=[shown(path) for path in result.pictures],
        furthest=furthest_segments(predictions, result.items, result.pictures),
        items=[
            ItemSummary(
                name=name,
                image=images[name],
                **_rounded(each),
                movements=list(each.movements),
                likely_ious=list(each.likely_ious),
                resumed=name in result.resumed,
            )
            for name, each in result.items.items()
        ],
    )


def write_report(path: Path, summary: RefineSummary) -> None:
    """Write a summary as JSON, image by image, so that memory does not grow by all of the text.

    Raises:
        BprError: the file cannot be written.
    """
    head, tail = _encoded(asdict(replace(summary, items=[]))).rsplit(b"[]", 1)
    with writing(path), atomic_file(path) as file:
        file.write(head + b"[")
        separator = b"\n    "
        for item in summary.items:
            file.write(separator + _encoded(vars(item)).replace(b"\n", b"\n    "))
            separator = b",\n    "
        file.write((b"\n  ]" if summary.items else b"]") + tail + b"\n")


def _encoded(content: dict[str, Any]) -> bytes:
    return with_urls(json.dumps(content, indent=2)).encode()


def _as_given(inputs: SetInputs) -> SetInputs:
    """The inputs with URLs in place of paths that stand for them."""
    info = inputs.image_info and shown(inputs.image_info)
    return replace(inputs, predictions=shown(inputs.predictions), images=shown(inputs.images), image_info=info)


def _rounded(stats: RefinementStats) -> dict[str, Any]:
    """The rounded statistics of one image, or of all images."""
    return {
        "segments": stats.segments,
        "patches": stats.patches,
        "boundary_movement": round(stats.displacement, 4),
        "area_change": round(stats.area_change, 6),
        "kept_coarse": stats.kept_coarse,
    }


def peak_memory() -> int | None:
    """Peak resident memory of this process in bytes; None on Windows, where it is not available."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - missing on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(json_schema(), indent=2) + "\n")
