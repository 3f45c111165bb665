"""The functions of ``bpr_cli``: arguments of a wrong type are refused by name, before anything is read."""

import numpy as np
import pytest
import torch

import bpr_cli
from bpr_cli.errors import BprError

HERE = ("a", "b", "c")

WRONG = [
    (bpr_cli.refine, (None, "b", "c"), {}, r"predictions is None; expected a path, as text or Path"),
    (bpr_cli.refine, ("a", "", "c"), {}, r"images is ''; expected a path"),
    (bpr_cli.refine, ("a", "b", None), {}, r"out is None; expected a path"),
    (bpr_cli.refine, ("a", "b", b"c"), {}, r"out is b'c'; expected a path"),
    (
        bpr_cli.refine,
        (np.zeros((3, 4)), "b", "c"),
        {},
        r"predictions is an object of the type ndarray; .*bpr_cli.Refiner",
    ),
    (bpr_cli.refine, ([[0, 1]], "b", "c"), {}, r"predictions is an object of the type list; .*bpr_cli.Refiner"),
    (bpr_cli.refine, ("a", torch.zeros(3, 4), "c"), {}, r"images is an object of the type Tensor; .*bpr_cli.Refiner"),
    (bpr_cli.refine, HERE, {"settings": None}, r"settings is None; expected RefineSettings"),
    (bpr_cli.refine, HERE, {"settings": {"device": "cpu"}}, r"settings is {'device': 'cpu'}; expected RefineSettings"),
    (bpr_cli.refine, HERE, {"options": None}, r"options is None; expected ReadSettings"),
    (bpr_cli.check, (None, "b"), {}, r"predictions is None; expected a path"),
    (bpr_cli.check, ("a", "b", 3), {}, r"out is 3; expected a path"),
    (bpr_cli.check, HERE, {"settings": None}, r"settings is None; expected RefineSettings"),
    (bpr_cli.evaluate, (None, "b"), {}, r"predictions is None; expected a path"),
    (bpr_cli.evaluate, ("a", None), {}, r"ground_truth is None; expected a path"),
    (bpr_cli.evaluate, ("a", "b"), {"baseline": 1.5}, r"baseline is 1.5; expected a path"),
    (bpr_cli.evaluate, ("a", "b"), {"settings": None}, r"settings is None; expected EvaluateSettings"),
    (bpr_cli.evaluate, ("a", "b"), {"format": "gif"}, r"format is 'gif'; expected one of coco"),
    (bpr_cli.extract, ("a", None, *HERE[:2]), {}, r"images is None; expected a path"),
    (bpr_cli.extract, (["a", None], "b", "c", "d"), {}, r"predictions\[1\] is None; expected a path"),
    (bpr_cli.extract, (*HERE, None), {}, r"out is None; expected a path"),
    (bpr_cli.extract, (*HERE, "d"), {"settings": None}, r"settings is None; expected PatchSetSettings"),
    (bpr_cli.train, (None, "b"), {}, r"patches is None; expected a path"),
    (bpr_cli.train, ([], "b"), {}, r"patches is empty; expected one or more patch sets"),
    (bpr_cli.train, ("a", None), {}, r"out is None; expected a path"),
    (bpr_cli.train, ("a", "b"), {"settings": "modern"}, r"settings is 'modern'; expected TrainSettings"),
    (bpr_cli.load_recipe, (None,), {}, r"name_or_path is None; expected a path"),
]


@pytest.mark.parametrize("name", bpr_cli.__all__)
def test_every_name_is_there(name):
    assert getattr(bpr_cli, name) is not None


@pytest.mark.parametrize(("function", "arguments", "named", "message"), WRONG)
def test_arguments_of_a_wrong_type_are_refused_by_name(function, arguments, named, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BprError, match=message):
        function(*arguments, **named)
    assert not list(tmp_path.iterdir())
