"""What is published: the description of the package, and the Dockerfile."""

import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]

LINK = re.compile(r"\[[^\]]*\]\(([^)]*)\)")

pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="the sources are not here")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_all_links_of_the_published_description_work_anywhere(project):
    """Relative links and pictures, which PyPI cannot show, become text that still names the file."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    relative = [target for target in LINK.findall(readme) if not target.startswith("http")]
    assert len(relative) > 10
    assert all((ROOT / target.partition("#")[0]).exists() for target in relative)
    hook = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    for each in hook["substitutions"]:
        readme = re.sub(each["pattern"], each["replacement"], readme)
    assert all(target.startswith("https://") for target in LINK.findall(readme))
    assert all(f"`{target.partition('#')[0]}`" in readme for target in relative)


def test_terms_of_code_and_weights_are_in_the_metadata(project):
    assert project["project"]["license"] == "Apache-2.0 AND LicenseRef-bpr-weights"
    assert all((ROOT / name).is_file() for name in project["project"]["license-files"])


def test_the_dockerfile_copies_what_exists_and_installs_a_known_extra(project):
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    instructions = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    known = {"FROM", "RUN", "COPY", "ENV", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in instructions} <= known
    assert instructions[0][0] == "FROM"
    copied = [path for name, rest in instructions if name == "COPY" for path in rest.split()[:-1]]
    assert all((ROOT / path).exists() for path in copied)
    assert {"pyproject.toml", *project["project"]["license-files"][:1], "README.md", "bpr_cli", "weights"} <= {*copied}
    extras = {extra for found in re.findall(r"/bpr\[([^\]]*)\]", text) for extra in found.split(",")}
    assert extras <= {*project["project"]["optional-dependencies"]}
    [torch] = [each for each in project["project"]["dependencies"] if each.startswith("torch")]
    assert f'"{torch}"' in text
