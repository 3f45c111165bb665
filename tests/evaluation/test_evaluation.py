"""The pass over the files: what it read."""

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bpr_cli.evaluation.evaluation as module
from bpr_cli.evaluation.collected import digest_files
from bpr_cli.evaluation.evaluation import Evaluation, evaluate
from bpr_cli.evaluation.inputs import EvaluationPaths, open_evaluation
from bpr_cli.evaluation.settings import EvaluateSettings
from tests.cli.evaluations import KINDS, make
from tests.formats.format_builders import load, png, save


def test_digests_tell_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"one")
    (tmp_path / "ab").write_bytes(b"")
    digests = {digest_files([tmp_path / name]) for name in ("a", "b", "ab")}
    assert len(digests) == 3
    (tmp_path / "a").write_bytes(b"two")
    assert digest_files([tmp_path / "a"]) not in digests
    assert digest_files([]) == ""


def test_files_are_read_once_for_figures_and_digests(tmp_path, monkeypatch):
    for folder in ("truth", "preds"):
        for name in "ab":
            png(tmp_path / folder / f"{name}.png", np.arange(48, dtype=np.uint8).reshape(6, 8) % 3)
    opened = Counter()
    plain = Path.open

    def counted(path, *given, **options):
        opened[f"{path.parent.name}/{path.name}"] += 1
        return plain(path, *given, **options)

    monkeypatch.setattr(Path, "open", counted)
    inputs = open_evaluation(EvaluationPaths(tmp_path / "preds", tmp_path / "truth"), EvaluateSettings(workers=2))
    opened.clear()
    report = Evaluation(inputs).run()
    read = {name: count for name, count in opened.items() if name.endswith(".png")}
    monkeypatch.undo()
    assert read == {"preds/a.png": 1, "preds/b.png": 1, "truth/a.png": 1, "truth/b.png": 1}
    expected = hashlib.sha256("".join(digest_files([tmp_path / f"preds/{name}.png"]) for name in "ab").encode())
    expected.update(digest_files([]).encode())
    assert report.inputs[0].digest == expected.hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_figures_of_two_processes_are_those_of_one(kind, tmp_path, monkeypatch):
    paths = make(kind, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "PART", 2)  # otherwise one part holds all images
    one, two = (
        evaluate(paths["after"], paths["truth"], baseline=paths["before"], processes=processes) for processes in (1, 2)
    )
    assert one == replace(two, elapsed=one.elapsed)


def test_what_cannot_be_read_in_a_process_is_told_as_in_one(tmp_path, monkeypatch):
    paths = make("coco", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "PART", 1)
    records = load(tmp_path / paths["after"])
    records[1]["segmentation"]["counts"] = "?"
    save(tmp_path / paths["after"], records)
    one, two = (evaluate(paths["after"], paths["truth"], processes=processes) for processes in (1, 2))
    assert one == replace(two, elapsed=one.elapsed)
    assert len(two.failures) == 1


@pytest.mark.parametrize(
    ("kind", "score"),
    [
        ("labels", "mean IoU of the classes that the ground truth has in the image"),
        ("masks", "IoU of the image's mask"),
        ("coco", "mean IoU of the image's true segments, each with its best prediction"),
        ("panoptic", "mean IoU of the image's true segments, each with its best prediction"),
    ],
)
def test_the_score_of_an_image_is_called_after_what_its_files_hold(kind, score, tmp_path, monkeypatch):
    paths = make(kind, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert evaluate(paths["after"], paths["truth"]).score_name == score


@pytest.mark.parametrize(("predicted", "told"), [(0, False), (1, True), (2, True), (3, False)])
def test_images_without_predictions_are_told_if_they_are_many(tmp_path, predicted, told):
    """Of four images; results that hold nothing have a note of their own."""
    square = [[1, 1, 5, 1, 5, 5, 1, 5]]
    images = [{"id": number, "file_name": f"{number}.png", "height": 8, "width": 8} for number in range(1, 5)]
    records = [
        {"id": each["id"], "image_id": each["id"], "category_id": 1, "segmentation": square, "area": 16, "iscrowd": 0}
        for each in images
    ]
    truth = {"images": images, "categories": [{"id": 1, "name": "a"}], "annotations": records}
    found = [{**record, "score": 0.9} for record in records[:predicted]]
    report = evaluate(save(tmp_path / "found.json", found), save(tmp_path / "truth.json", truth))
    note = f"{4 - predicted} of 4 images have no predictions, so that all their objects are missed"
    assert [words.startswith(note) for words in report.notes if "have no predictions" in words] == [True] * told
