"""The program on systems other than the usual one: encodings, homes, terminals and file systems."""

import json
import re

import pytest

from bpr_cli.formats.output_checks import ignores_case
from tests.cli.worlds import MASK, record, results, tree
from tests.formats.format_builders import panoptic_png, png, save

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""Python takes names of files for ASCII: the bytes of all others become surrogates."""

CAT = "ネコ ä"


def of_masks(world):
    png(world / f"preds/{CAT}.png", MASK.astype("uint8") * 255)
    return ["preds"]


def of_coco(world):
    save(world / "preds.json", [record(1)])
    save(world / "info.json", {"images": [{"id": 1, "file_name": f"{CAT}.png"}]})
    return ["preds.json", "--image-info", "info.json"]


def of_cityscapes(world):
    png(world / f"preds/{CAT} 0.png", MASK.astype("uint8") * 255)
    (world / f"preds/{CAT}_pred.txt").write_text(f"{CAT} 0.png 24 0.5\n", encoding="utf-8")
    return ["preds"]


def of_panoptic(world):
    panoptic_png(world / f"preds/{CAT}.png", MASK.astype(int) * 6 + 1)
    segments = [{"id": n, "category_id": 1} for n in (1, 7)]
    save(world / "preds.json", {"annotations": [{"image_id": 1, "file_name": f"{CAT}.png", "segments_info": segments}]})
    return ["preds.json"]


@pytest.mark.parametrize("make", [of_masks, of_coco, of_cityscapes, of_panoptic])
def test_any_locale_refines_alike(make, world, refine, started, random_weights):
    (world / "images/a.png").rename(world / f"images/{CAT}.png")
    arguments = [*make(world), "--images", "images", "--json"]
    assert refine(*arguments, "--out", "utf-8").code == 0
    outcome = started("refine", *arguments, "--out", "ascii", "--weights", random_weights, **ASCII)
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["output"] == "ascii"
    assert results(world / "ascii") == results(world / "utf-8")


@pytest.mark.parametrize("home", ["/proc", "/nowhere"])
def test_a_home_that_cannot_be_written(home, world, started, random_weights):
    given = {"HOME": home, "XDG_CACHE_HOME": home, "XDG_CONFIG_HOME": home}
    arguments = ("masks", "--images", "images", "--out", "out", "--weights", random_weights)
    refined = started("refine", *arguments, **given)
    assert refined.code == 0
    measured = started("evaluate", "out", "--ground-truth", "masks", "--images", "images", "--out", "report", **given)
    assert measured.code == 0
    assert sorted(tree(world / "report")) == ["report.csv", "report.html", "report.json"]
    for outcome in (refined, measured):
        assert not re.search("warning|cache|config", outcome.err, re.IGNORECASE)


def test_folders_with_spaces(world, refine):
    for name in ("masks", "images"):
        (world / name).rename(world / f"my {name} (1)")
    assert refine("my masks (1)", "--images", "my images (1)", "--out", "my out/a b").code == 0
    assert sorted(results(world / "my out/a b")) == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize(
    "name", ["a b", "a\nb", "-rf", "CON", CAT, "\udcff", "\x1b[31m", "<script>", "%s{0}$HOME", "x" * 240]
)
def test_odd_names_of_files(name, world, refine):
    for folder in ("masks", "images"):
        (world / folder / "a.png").rename(world / folder / f"{name}.png")
    (world / "images/b.png").unlink()
    outcome = refine("masks", "--images", "images", "--out", "out")
    assert outcome.code == 1
    assert sorted(results(world / "out")) == sorted([f"{name}.png", "c.png"])


def test_nothing_is_coloured_without_a_terminal(started):
    outcome = started("refine", "nix", "--images", "images", "--out", "out", TERM="xterm-256color")
    assert outcome.err == "error: nix does not exist, expected a file or directory of predictions; check the path\n"


def test_names_that_differ_in_case_alone(world, refine, monkeypatch):
    for folder in ("masks", "images"):
        (world / folder / "A.png").write_bytes((world / folder / "a.png").read_bytes())
    assert refine("masks", "--images", "images", "--out", "out").code == 0
    assert sorted(results(world / "out")) == ["A.png", "a.png", "b.png", "c.png"]
    monkeypatch.setattr("bpr_cli.formats.output_checks.ignores_case", lambda folder: True)
    outcome = refine("masks", "--images", "images", "--out", "other")
    assert outcome.code == 2
    assert outcome.errors == [
        "the output other is on a file system that cannot tell A.png and a.png apart; rename one of the predictions"
    ]
    assert not (world / "other").exists()


def test_file_systems_that_ignore_case_are_told_from_others(tmp_path, monkeypatch):
    assert not ignores_case(tmp_path / "new/out")
    folder = tmp_path / "Out"
    folder.mkdir()
    # As a file system that ignores case would show it.
    (tmp_path / "oUT").symlink_to(folder)
    assert ignores_case(folder)
    assert ignores_case(folder / "new")
