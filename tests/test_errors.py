"""Messages: missing packages are named as pip finds them, and are those of the extras."""

import doctest
import re
from pathlib import Path

import pytest
import tomllib

from bpr_cli import errors
from bpr_cli.errors import lacking

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(errors).failed == 0


def test_several_packages_are_installed_together():
    assert str(lacking("it", ["a", "b"])) == "it needs the packages a and b; install them with pip install a b"


@pytest.mark.parametrize(
    ("name", "named"),
    [("openvino", ""), ("onnxruntime", ""), ("tiff", "tifffile"), ("tensorboard", "tensorboard")],
)
def test_the_packages_that_messages_name_are_those_of_an_extra(name, named):
    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    packages = {re.split(r"[<>=]", each)[0] for each in extras[name]}
    from bpr_cli.inference.backends import OPENVINO_PACKAGES
    from bpr_cli.inference.onnx_runtime import PACKAGES

    named = {
        "openvino": OPENVINO_PACKAGES,
        "onnxruntime": PACKAGES,
        "tiff": ["tifffile"],
        "tensorboard": ["tensorboard"],
    }
    assert set(named[name]) <= packages


def test_the_weights_have_terms_of_their_own_in_the_metadata_of_the_package():
    project = tomllib.loads(PROJECT.read_text())["project"]
    assert project["license"] == "Apache-2.0 AND LicenseRef-bpr-weights"
    terms = [PROJECT.parent / name for name in project["license-files"]]
    assert all(path.is_file() for path in terms)
    assert "LicenseRef-bpr-weights" in terms[1].read_text()
