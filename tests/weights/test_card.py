"""The card: what it accepts, and that any other JSON is refused with a message, never a traceback."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.weights.card import WeightsCard

CARD = WeightsCard(
    name="small",
    network="hrnet18s",
    patch_size=48,
    min_patch_size=24,
    padding=8,
    input_size=64,
    mean=(1.0, 2.5, 3.0),
    std=(4.0, 5.0, 6.5),
    training_data="two photographs",
    mask_patch=False,
    scales=(2.0, 1.0),
    flip=True,
    core=0.25,
    metrics={"iou": 0.875, "note": "held out"},
    licence="Apache-2.0",
    description="for tests — and ümlauts",
    recipe="none",
)


def changed(**values) -> str:
    return json.dumps({**json.loads(CARD.to_json()), **values})


def test_json_brings_the_card_back():
    assert WeightsCard.from_json(CARD.to_json()) == CARD


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"patch_size": 0}, "patch_size is 0"),
        ({"patch_size": -64}, "patch_size is -64"),
        ({"patch_size": 10**30}, "patch_size is 1000"),
        ({"patch_size": 64.0}, "patch_size is 64.0"),
        ({"patch_size": True}, "patch_size is True"),
        ({"patch_size": "64"}, "patch_size is '64'"),
        ({"patch_size": None}, "patch_size is None"),
        ({"padding": -1}, "padding is -1"),
        ({"padding": 4096}, "padding is 4096"),
        ({"input_size": 0}, "input_size is 0"),
        ({"input_size": 100}, "input_size is 100"),
        ({"input_size": 1 << 20}, "input_size is 1048576"),
        ({"input_size": [128]}, r"input_size is \[128\]"),
        ({"mean": [1, 2]}, r"mean is \[1, 2\]; expected a list of 3 values, each a number from -10000 to 10000"),
        ({"mean": [1, 2, 3, 4]}, "mean is"),
        ({"mean": 7}, "mean is 7"),
        ({"min_patch_size": 3}, "min_patch_size is 3; expected a whole number from 4 to 2048"),
        ({"min_patch_size": 49}, "min_patch_size is 49; expected at most the patch_size, 48"),
        ({"min_patch_size": 24.0}, "min_patch_size is 24.0"),
        ({"mean": "rgb"}, "mean is 'rgb'"),
        ({"mean": {"r": 1, "g": 2, "b": 3}}, "mean is"),
        ({"mean": [1, 2, float("nan")]}, "mean is"),
        ({"mean": [1, 2, 10**400]}, "mean is"),
        ({"mean": [[1], 2, 3]}, "mean is"),
        ({"std": [1, 0, 1]}, "std is"),
        ({"std": [1, -1, 1]}, "std is"),
        ({"std": [1, 1, float("inf")]}, "std is"),
        ({"scales": []}, r"scales is \[\]; expected a list of 1 to 8 values"),
        ({"scales": [1] * 9}, "scales is"),
        ({"scales": [1, 0.2]}, "scales is"),
        ({"scales": [True]}, "scales is"),
        ({"scales": 1}, "scales is 1"),
        ({"mask_patch": 0}, "mask_patch is 0; expected true or false"),
        ({"flip": 1}, "flip is 1; expected true or false"),
        ({"core": -0.1}, "core is -0.1; expected a number from 0 to 1"),
        ({"core": 1.5}, "core is 1.5"),
        ({"core": None}, "core is None"),
        ({"name": ""}, "name is ''"),
        ({"name": "a\nb"}, "name is 'a"),
        ({"name": "x" * 201}, "name is"),
        ({"name": 3}, "name is 3"),
        ({"network": ["hrnet18s"]}, "network is"),
        ({"licence": None}, "licence is None"),
        ({"metrics": [1]}, "metrics is"),
        ({"metrics": {"iou": [1]}}, "metrics is .*; expected names with values, each a whole number"),
        ({"metrics": {"iou": float("nan")}}, "metrics is .*; expected names with values"),
        ({"version": 2}, "version is 2; this bpr reads 1"),
        ({"version": None}, "version is None"),
        ({"surprise": 1}, "surprise is unknown"),
    ],
)
def test_invalid_settings_are_named(values, named):
    with pytest.raises(BprError, match=named):
        WeightsCard.from_json(changed(**values))


def test_invalid_cards_cannot_be_made_in_python_either():
    with pytest.raises(BprError, match="patch_size is -1"):
        WeightsCard("mine", "hrnet18s", patch_size=-1)


def test_older_cards_mean_a_single_pass_with_patches_of_one_size():
    content = json.loads(CARD.to_json())
    for name in ("mask_patch", "scales", "flip", "core", "min_patch_size"):
        del content[name]
    card = WeightsCard.from_json(json.dumps(content))
    assert (card.mask_patch, card.scales, card.flip, card.core, card.min_patch_size) == (True, (1.0,), False, 1, None)


def test_missing_settings_are_named():
    content = json.loads(CARD.to_json())
    del content["std"], content["input_size"]
    with pytest.raises(BprError, match="input_size, std missing"):
        WeightsCard.from_json(json.dumps(content))


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "7", '"text"', "[]", "{}", "[" * 100_000, "1" * 5000, '{"version": ' + "1" * 5000 + "}"],
)
def test_text_that_is_not_a_card_is_refused(text):
    with pytest.raises(BprError) as caught:
        WeightsCard.from_json(text)
    assert len(str(caught.value)) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(json.loads(CARD.to_json()))), JSON)
def test_any_json_in_any_place_is_a_card_or_refused(key, value):
    try:
        card = WeightsCard.from_json(changed(**{key: value}))
    except BprError:
        return
    assert WeightsCard.from_json(card.to_json()) == card


def test_card_and_shipped_names_do_without_torch():
    code = "import sys, bpr_cli.weights.card, bpr_cli.weights.card; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
