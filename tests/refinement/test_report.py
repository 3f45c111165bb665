"""The schema of ``run.json`` says the same as the data class that the document is made of."""

import types
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import jsonschema
import pytest
from PIL import Image

from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.settings import FORMATS, Task
from bpr_cli.inference.settings import BackendName
from bpr_cli.refinement.job import refine_to
from bpr_cli.refinement.report import SCHEMA, RefineSummary
from tests.formats.format_builders import load, png
from tests.inference.engines import blob, picture

SIZE = (36, 44)
NAMES = {bool: "boolean", int: "integer", float: "number", str: "string", types.NoneType: "null"}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return load(SCHEMA)


def followed(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A part of the schema with what it refers to put in its place."""
    while "$ref" in part:
        part = schema["$defs"][part["$ref"].removeprefix("#/$defs/")] | {k: v for k, v in part.items() if k != "$ref"}
    return part


def check_type(kind: Any, part: dict[str, Any], schema: dict[str, Any], where: str) -> None:
    """A value of the type is what this part of the schema describes, all the way down."""
    part = followed(part, schema)
    if "const" in part or "enum" in part:
        values = part.get("enum") or [part["const"]]
        assert kind is str or set(get_args(kind)) == set(values), where
    elif is_dataclass(kind):
        hints = get_type_hints(kind)
        names = [field.name for field in fields(kind)]
        assert set(part["properties"]) == set(part["required"]) == set(names), where
        assert part["additionalProperties"] is False, where
        for name in names:
            assert "description" in followed(part["properties"][name], schema), f"{where}.{name}"
            check_type(hints[name], part["properties"][name], schema, f"{where}.{name}")
    elif get_origin(kind) in (Union, types.UnionType):
        choices = part.get("oneOf") or [part | {"type": each} for each in part["type"]]
        assert len(choices) == len(get_args(kind)) == 2, where
        for each, choice in zip(get_args(kind), choices, strict=True):
            check_type(each, choice, schema, where)
    elif get_origin(kind) in (list, tuple):
        assert part["type"] == "array", where
        check_type(get_args(kind)[0], part["items"], schema, f"{where}[]")
    elif get_origin(kind) is dict:
        assert (part["type"], part["additionalProperties"]) == ("object", False), where
        for name, each in part["properties"].items():
            check_type(get_args(kind)[1], each, schema, f"{where}.{name}")
    else:
        assert get_origin(kind) is not Literal, where
        assert part["type"] == NAMES[kind], where


def test_class_and_schema_agree(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert (schema["type"], schema["$schema"]) == ("object", "https://json-schema.org/draft/2020-12/schema")
    check_type(RefineSummary, schema, schema, "run")
    assert all(f'"#/$defs/{name}"' in SCHEMA.read_text() for name in schema["$defs"])


def test_lists_of_names_are_those_of_the_program(schema):
    properties = schema["properties"]
    assert properties["format"]["enum"] == list(FORMATS)
    assert properties["task"]["enum"] == [task.value for task in Task]
    assert properties["backend"]["enum"] == [name for name in get_args(BackendName) if name != "auto"]


@pytest.fixture
def opened(tmp_path):
    for name in "abc":
        png(tmp_path / f"masks/{name}.png", blob(SIZE, ord(name)).astype("uint8") * 255)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(picture(SIZE)).save(tmp_path / f"images/{name}.png")
    return open_predictions(tmp_path / "masks", tmp_path / "images")


def test_a_refinement_that_was_stopped_leaves_no_report(opened, refiner, tmp_path):
    out = tmp_path / "out"
    refine_to(refiner, opened, out)
    assert (out / "run.json").exists()

    def stop(item):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refine_to(refiner, opened, out, overwrite=True, on_item=stop)
    assert not (out / "run.json").exists()
    summary = refine_to(refiner, opened, out)
    assert summary.images == len(load(out / "run.json")["items"]) == 3
