"""Scores as the terminal shows them."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from bpr_cli.cli.evaluate import signed
from tests.cli.evaluations import (
    AFTER,
    BEFORE,
    CAR,
    CATEGORIES,
    IMAGES,
    KINDS,
    TRUTH,
    arguments,
    coco_record,
    labels_of,
    make,
)
from tests.cli.worlds import Bpr, tree
from tests.formats.format_builders import compressed, load, png, save


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.25, "+1.2"), (-1.26, "-1.3"), (0.0, "+0.0"), (-0.0, "+0.0"), (-0.04, "+0.0"), (-0.06, "-0.1"), (None, "-")],
)
def test_differences_have_a_sign_and_no_negative_zero(value: float | None, text: str) -> None:
    assert signed(value) == text


HEADLINE = {"masks": "IoU", "labels": "mIoU", "coco": "AP", "panoptic": "PQ", "cityscapes": "AP"}
TASK = {"masks": "binary", "labels": "semantic", "coco": "instance", "panoptic": "panoptic", "cityscapes": "instance"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def figure(report: dict, name: str) -> dict:
    return next(found for found in report["summary"] if found["name"] == name)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_with_a_baseline(kind: str, here: Path, bpr: Bpr) -> None:
    paths = make(kind, here)
    done = bpr("evaluate", *arguments(paths), "--images", "images", "--oracle", "1,4", "--out", "report", "--json")
    assert (done.code, done.errors) == (0, [])
    report = json.loads(done.out)
    full = load(here / "report/report.json")
    assert report == {key: value for key, value in full.items() if key not in ("scores", "pairs", "curves")}
    assert sorted(tree(here / "report")) == ["report.csv", "report.html", "report.json"]
    assert report["task"] == TASK[kind]
    assert report["images"] == 3
    head = figure(report, HEADLINE[kind])
    assert 0 < head["baseline"] < head["value"] < 100
    assert head["difference"] == pytest.approx(head["value"] - head["baseline"])
    oracle = [figure({"summary": row["figures"]}, HEADLINE[kind])["value"] for row in report["oracle"]]
    assert head["value"] <= oracle[0] <= oracle[1]
    assert oracle[1] == pytest.approx(100)
    assert "before" in done.err
    assert "oracle upper bound" in done.err


@pytest.mark.parametrize("kind", KINDS)
def test_several_baselines_stand_side_by_side(kind: str, here: Path, bpr: Bpr) -> None:
    paths = make(kind, here)
    given = (*arguments(paths), "--baseline", paths["after"], "--baseline", paths["before"])
    done = bpr("evaluate", *given, "--images", "images", "--out", "report")
    assert (done.code, done.errors) == (0, [])
    report, html = load(here / "report/report.json"), (here / "report/report.html").read_text()
    alone = json.loads(bpr("evaluate", *arguments(paths), "--json").out)
    assert report["summary"] == alone["summary"]
    second, third = ([found["value"] for found in other["summary"]] for other in report["others"])
    assert second == [found["value"] for found in report["summary"]]
    assert third == [found["baseline"] for found in report["summary"]]
    roles = ["predictions", "baseline", "baseline 2", "baseline 3", "ground truth"]
    assert [each["role"] for each in report["inputs"]] == roles
    assert "all sets side by side, percent" in done.out
    assert html.count("baseline 3") >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_true_segments_are_counted_by_class(kind: str, here: Path, bpr: Bpr) -> None:
    paths = make(kind, here)
    report = json.loads(bpr("evaluate", *arguments(paths), "--json").out)
    counts = [row["count"] for row in report["classes"]]
    assert (max(counts) == 3) if counts else (kind == "masks")


@pytest.mark.parametrize("kind", KINDS)
def test_truth_like_predictions_are_perfect(kind: str, here: Path, bpr: Bpr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.cli.evaluations.SHAPES", {"truth": TRUTH, "after": TRUTH, "before": BEFORE})
    paths = make(kind, here)
    done = bpr("evaluate", paths["after"], "--ground-truth", paths["truth"], "--json")
    assert done.code == 0
    report = json.loads(done.out)
    stated = [found["value"] for found in report["summary"] if found["value"] is not None]
    assert stated
    assert stated == pytest.approx([100] * len(stated))
    assert all(found["baseline"] is None for found in report["summary"])
    assert (report["gains"], report["losses"], report["oracle"]) == ([], [], [])


@pytest.mark.parametrize("kind", KINDS)
def test_scores_pairs_and_inputs(kind: str, here: Path, bpr: Bpr) -> None:
    paths = make(kind, here)
    assert bpr("evaluate", *arguments(paths), "--images", "images", "--out", "report").code == 0
    report = load(here / "report/report.json")
    assert [Path(score["name"]).name[:5] for score in report["scores"]] == sorted(
        Path(score["name"]).name[:5] for score in report["scores"]
    )
    assert len(report["gains"]) == 3
    assert report["losses"] == []
    assert all(score["baseline_score"] < score["score"] for score in report["scores"])
    assert all((here / score["prediction"]).exists() and (here / score["truth"]).exists() for score in report["scores"])
    assert all(pair["before"] < pair["after"] for pair in report["pairs"])
    assert [given["role"] for given in report["inputs"]] == ["predictions", "baseline", "ground truth"]
    assert len({given["digest"] for given in report["inputs"]}) == 3
    assert all(len(given["digest"]) == 64 for given in report["inputs"])


def test_iou_of_masks_by_hand(here: Path, bpr: Bpr) -> None:
    paths = make("masks", here)
    report = json.loads(bpr("evaluate", *arguments(paths), "--json").out)
    after = 100 * (TRUTH & AFTER).sum() / (TRUTH | AFTER).sum()
    before = 100 * (TRUTH & BEFORE).sum() / (TRUTH | BEFORE).sum()
    assert figure(report, "IoU")["value"] == pytest.approx(after)
    assert figure(report, "IoU")["baseline"] == pytest.approx(before)


@pytest.mark.parametrize("kind", ["masks", "labels", "coco", "cityscapes"])
def test_a_tolerance_below_1_is_a_fraction_of_the_diagonal(kind: str, here: Path, bpr: Bpr) -> None:
    paths = make(kind, here)
    contours = {}
    for tolerance in ("0.04", "3", "1"):
        report = json.loads(bpr("evaluate", *arguments(paths), "--tolerance", tolerance, "--json").out)
        contours[tolerance] = figure(report, "boundary F" if kind == "masks" else "AF")
    # 0.04 of the diagonal of 62.5 pixels, rounded up as DAVIS and GSCNN round it.
    assert contours["0.04"] == contours["3"] != contours["1"]


@pytest.mark.parametrize("kind", KINDS)
def test_workers_change_nothing(kind: str, here: Path, bpr: Bpr) -> None:
    paths = make(kind, here)
    reports = []
    for workers in ("1", "3"):
        assert bpr("evaluate", *arguments(paths), "--workers", workers, "--out", f"report{workers}").code == 0
        report = load(here / f"report{workers}/report.json")
        report["settings"].pop("workers")
        report.pop("elapsed")
        reports.append(report)
    assert reports[0] == reports[1]


def test_csv_holds_every_figure(here: Path, bpr: Bpr) -> None:
    paths = make("coco", here)
    assert bpr("evaluate", *arguments(paths), "--out", "report", "--oracle", "2").code == 0
    report = load(here / "report/report.json")
    lines = list(csv.DictReader((here / "report/report.csv").read_text().splitlines()))
    known = {(line["table"], line["row"], line["figure"]): line for line in lines}
    oracle = {"oracle", "oracle sizes", "oracle classes"}
    assert {line["table"] for line in lines} == {"summary", "sizes", "classes", "class_sizes", "images"} | oracle
    assert float(known["oracle classes", "disc, 2 px", "AP"]["value"]) == report["oracle"][0]["figures"][0]["value"]
    for found in report["summary"]:
        line = known["summary", "all", found["name"]]
        stated = [None if line[key] == "" else float(line[key]) for key in ("value", "baseline", "difference")]
        assert stated == [found["value"], found["baseline"], found["difference"]]


def test_sizes_and_classes_of_coco(here: Path, bpr: Bpr) -> None:
    paths = make("coco", here)
    report = json.loads(bpr("evaluate", *arguments(paths), "--json").out)
    assert [row["name"] for row in report["sizes"]] == ["small", "medium", "large"]
    small, medium, large = (row["figures"][0]["value"] for row in report["sizes"])
    assert small == pytest.approx(figure(report, "AP")["value"])
    assert (medium, large) == (None, None)
    assert [row["name"] for row in report["classes"]] == ["disc"]
    disc = {found["name"]: found for found in report["class_sizes"][0]["figures"]}
    assert disc["AP small"]["value"] == small
    assert disc["AP small"]["difference"] == pytest.approx(report["sizes"][0]["figures"][0]["difference"])
    assert disc["AP large"]["value"] is None


def test_images_without_detections_count_as_missed(here: Path, bpr: Bpr) -> None:
    paths = make("coco", here)
    save(here / "after.json", load(here / "after.json")[:1])
    done = bpr("evaluate", paths["after"], "-g", paths["truth"], "--json")
    assert done.code == 0
    report = json.loads(done.out)
    assert report["images"] == 3
    assert figure(report, "AP50")["value"] == pytest.approx(100 * 34 / 101)


def test_the_report_counts_images_without_annotations(here: Path, bpr: Bpr) -> None:
    paths = make("coco", here)
    truth = load(here / "truth.json")
    save(here / "truth.json", truth | {"annotations": truth["annotations"][:2]})
    save(here / "after.json", load(here / "after.json")[:1])
    report = json.loads(bpr("evaluate", paths["after"], "-g", paths["truth"], "--json").out)
    assert [(given["role"], given["images"]) for given in report["inputs"]] == [("predictions", 1), ("ground truth", 3)]


def test_images_without_annotations_make_false_positives(here: Path, bpr: Bpr) -> None:
    paths = make("coco", here)
    truth = load(here / "truth.json")
    save(here / "truth.json", truth | {"annotations": truth["annotations"][:2]})
    records = load(here / "after.json")
    records[2]["score"] = 0.95
    save(here / "after.json", records)
    report = json.loads(bpr("evaluate", paths["after"], "-g", paths["truth"], "--json").out)
    assert figure(report, "AP50")["value"] < 100


def test_crowds_are_neither_missed_nor_paired(here: Path, bpr: Bpr) -> None:
    paths = make("coco", here)
    truth = load(here / "truth.json")
    truth["annotations"][2]["iscrowd"] = 1
    save(here / "truth.json", truth)
    save(here / "after.json", load(here / "after.json")[:2])
    assert bpr("evaluate", *arguments(paths), "--out", "report").code == 0
    report = load(here / "report/report.json")
    assert figure(report, "AP50")["value"] == pytest.approx(100)
    assert len(report["pairs"]) == 2
    assert report["scores"][2]["score"] is None


def test_polygons_take_their_size_from_the_ground_truth(here: Path, bpr: Bpr) -> None:
    paths = make("coco", here)
    records = [coco_record(n, AFTER) | {"segmentation": [[12, 8, 36, 8, 36, 32, 12, 32]]} for n in (1, 2, 3)]
    save(here / "after.json", records)
    assert bpr("evaluate", paths["after"], "-g", paths["truth"]).code == 0


def test_a_missing_mask_is_told_by_its_image_in_the_annotations(here: Path, bpr: Bpr) -> None:
    paths = make("coco", here)
    make("masks", here)
    names = [image["file_name"] for image in load(here / "truth.json")["images"]]
    lost = next(name for name in names if (here / f"after/{Path(name).stem}.png").is_file())
    (here / f"after/{Path(lost).stem}.png").unlink()
    done = bpr("evaluate", "after", "-g", paths["truth"])
    assert f"truth.json: image {lost} has no prediction in after" in done.errors[0]


def test_polygons_against_png_files_get_advice_that_helps(here: Path, bpr: Bpr) -> None:
    make("masks", here)
    (here / "labels").mkdir()
    (here / "labels/a.txt").write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    [error] = bpr("evaluate", "labels", "-g", "truth").errors
    assert error.startswith("truth holds PNG files, expected COCO annotations or other YOLO polygons")
    assert "bpr convert --format masks" in error


def test_a_single_mask(here: Path, bpr: Bpr) -> None:
    make("masks", here)
    shutil.move("truth/a.png", "exact.png")
    done = bpr("evaluate", "after/a.png", "-g", "exact.png", "--json")
    assert done.code == 0
    assert json.loads(done.out)["images"] == 1


def test_classes_file(here: Path, bpr: Bpr) -> None:
    paths = make("labels", here)
    Path("classes.txt").write_text("never\nground\ndisc\n")
    done = bpr("evaluate", *arguments(paths), "--label-set", "classes.txt", "--json")
    report = json.loads(done.out)
    assert [row["name"] for row in report["classes"]] == ["never", "ground", "disc"]
    assert [found["value"] for found in report["classes"][0]["figures"]] == [None, 100.0, None]
    assert report["settings"]["label_set"] == "classes.txt"
    assert [", void 255;" in line for line in done.err.splitlines()[:2]] == [True, True]


def test_ground_truth_of_another_format_is_told(here: Path, bpr: Bpr) -> None:
    make("labels", here)
    Path("truth.json").write_text("[]")
    done = bpr("evaluate", "after", "-g", "truth.json")
    assert done.code == 2
    assert done.err.startswith("error: truth.json is no PNG file, expected ground truth for labels predictions")


def test_classes_of_a_json_file(here: Path, bpr: Bpr) -> None:
    paths = make("labels", here)
    save(here / "stuff.json", {"categories": [{"id": 2, "name": "disc"}, {"id": 1, "name": "ground"}]})
    report = json.loads(bpr("evaluate", *arguments(paths), "--label-set", "stuff.json", "--json").out)
    found = {row["name"]: row["figures"][0]["value"] for row in report["classes"]}
    unnamed = json.loads(bpr("evaluate", *arguments(paths), "--json").out)
    assert found == {
        {"1": "ground", "2": "disc"}[row["name"]]: row["figures"][0]["value"] for row in unnamed["classes"]
    }


def test_labels_as_found_are_those_of_both_sides(here: Path, bpr: Bpr) -> None:
    paths = make("labels", here)
    labels = labels_of(AFTER)
    labels[-1] = 9
    png(here / "after/a.png", labels)
    (here / "classes.txt").write_text("\n".join(map(str, range(10))))
    report = json.loads(bpr("evaluate", *arguments(paths), "--json").out)
    named = json.loads(bpr("evaluate", *arguments(paths), "--label-set", "classes.txt", "--json").out)
    assert [row["name"] for row in report["classes"]] == ["1", "2", "9"]
    assert report["summary"][0] == named["summary"][0]
    assert "only the predictions hold the class 9" in report["notes"][0]


def shifted(here: Path, truth: list[int], found: list[int]) -> list[str]:
    """Maps of three stripes on either side."""
    for name in "ab":
        for side, labels in (("truth", truth), ("preds", found)):
            png(here / side / f"{name}.png", np.repeat(np.array(labels, np.uint8), 8)[None].repeat(20, axis=0))
    return ["evaluate", "preds", "-g", "truth"]


@pytest.mark.parametrize(
    ("truth", "found", "message"),
    [
        ([0, 1, 3], [7, 0, 2], "preds/a.png is shifted by one: its labels are one less than those of truth/a.png"),
        ([0, 1, 3], [1, 2, 4], "preds/a.png is shifted by one: its labels are one more than those of truth/a.png"),
    ],
)
def test_labels_shifted_by_one_are_told(here: Path, bpr: Bpr, truth: list[int], found: list[int], message: str) -> None:
    done = bpr(*shifted(here, truth, found))
    assert done.code == 2
    assert message in done.err
    (here / "classes.txt").write_text("a\nb\nc\nd\ne\nf\ng\nh\n")
    assert message in bpr(*shifted(here, truth, found), "--label-set", "classes.txt").err


def test_reduce_zero_label_measures_them(here: Path, bpr: Bpr) -> None:
    done = bpr(*shifted(here, [0, 1, 3], [7, 0, 1]), "--reduce-zero-label", "--json")
    report = json.loads(done.out)
    assert done.code == 0
    assert {row["name"]: row["figures"][0]["value"] for row in report["classes"]} == {"0": 100, "1": 0, "2": 0}


@pytest.mark.parametrize(("truth", "found"), [([0, 1, 1], [1, 0, 0]), ([0, 1, 2], [0, 2, 1]), ([0, 1, 2], [2, 2, 2])])
def test_wrong_labels_are_not_taken_for_shifted_ones(here: Path, bpr: Bpr, truth: list[int], found: list[int]) -> None:
    assert bpr(*shifted(here, truth, found)).code == 0


def test_gt_fine_knows_its_labels(here: Path, bpr: Bpr) -> None:
    make("cityscapes", here)
    for name in "abc":
        png(here / f"labels/ulm_{name}_000019_leftImg8bit.png", np.where(AFTER, CAR, 7).astype(np.uint8))
    report = json.loads(bpr("evaluate", "labels", "-g", "truth", "--json").out)
    assert report["settings"]["label_set"] == "labelIds"
    stated = [row["name"] for row in report["classes"] if row["figures"][0]["value"] is not None]
    assert stated == ["road", "car"]


def test_allow_missing_names_what_is_left_out(here: Path, bpr: Bpr) -> None:
    paths = make("masks", here)
    (here / "after/b.png").unlink()
    png(here / "after/d.png", AFTER.astype("uint8") * 255)
    done = bpr("evaluate", paths["after"], "-g", paths["truth"], "--allow-missing", "--json")
    assert done.code == 1
    assert done.errors == ["after/d.png has no ground truth called 'd' in truth"]
    assert "note: 1 image without a prediction left out: b.png; --out and --json list them all" in done.err.splitlines()
    report = json.loads(done.out)
    assert report["images"] == 2
    assert [failure["name"] for failure in report["failures"]] == ["d.png", "b.png"]


def test_many_images_without_a_prediction_hide_no_broken_file(here: Path, bpr: Bpr) -> None:
    paths = make("masks", here)
    for number in range(40):
        png(here / f"truth/x{number:02}.png", AFTER.astype("uint8") * 255)
    whole = (here / "after/c.png").read_bytes()
    (here / "after/c.png").write_bytes(whole[: len(whole) // 2])
    done = bpr("evaluate", paths["after"], "-g", paths["truth"], "--allow-missing")
    assert done.code == 1
    assert [error.partition(" ")[0] for error in done.errors] == ["after/c.png"]
    assert [line for line in done.err.splitlines() if "without a prediction" in line] == [
        "note: 40 images without a prediction left out: x00.png, x01.png, x02.png and 37 more; "
        "--out and --json list them all"
    ]


def test_allow_missing_leaves_out_broken_files(here: Path, bpr: Bpr) -> None:
    paths = make("masks", here)
    whole = (here / "after/b.png").read_bytes()
    (here / "after/b.png").write_bytes(whole[: len(whole) // 2])
    done = bpr("evaluate", paths["after"], "-g", paths["truth"], "--allow-missing", "--json")
    assert done.code == 1
    assert len(done.errors) == 1
    assert "after/b.png" in done.errors[0]
    assert json.loads(done.out)["images"] == 2


def test_many_failures_are_told_in_part(here: Path, bpr: Bpr) -> None:
    paths = make("masks", here)
    for number in range(30):
        png(here / f"after/x{number}.png", AFTER.astype("uint8") * 255)
    done = bpr("evaluate", paths["after"], "-g", paths["truth"], "--allow-missing")
    assert done.code == 1
    assert len(done.errors) == 21
    assert done.errors[-1] == "and 10 more; --out and --json list them all"


def test_without_images_the_report_has_no_image_paths(here: Path, bpr: Bpr) -> None:
    paths = make("masks", here)
    assert bpr("evaluate", *arguments(paths), "--out", "report").code == 0
    assert {score["image"] for score in load(here / "report/report.json")["scores"]} == {None}


def test_images_that_are_not_there_are_told(here: Path, bpr: Bpr) -> None:
    paths = make("masks", here)
    (here / "images/b.png").unlink()
    report = json.loads(bpr("evaluate", *arguments(paths), "--images", "images", "--json").out)
    assert report["notes"] == ["images holds no image for b.png"]


def test_a_single_image_belongs_to_a_single_mask(here: Path, bpr: Bpr) -> None:
    make("masks", here)
    shutil.move("images/b.png", "photo.png")
    done = bpr("evaluate", "after/a.png", "-g", "truth/a.png", "-i", "photo.png", "--out", "report")
    assert done.code == 0
    assert load(here / "report/report.json")["scores"][0]["image"] == "photo.png"


def test_categories_without_a_list_are_those_of_the_records(here: Path, bpr: Bpr) -> None:
    paths = make("coco", here)
    truth = load(here / "truth.json")
    truth.pop("categories")
    save(here / "truth.json", truth)
    report = json.loads(bpr("evaluate", paths["after"], "-g", paths["truth"], "--json").out)
    assert [row["name"] for row in report["classes"]] == ["1"]


def test_ids_as_text_and_as_numbers_are_the_same(here: Path, bpr: Bpr) -> None:
    paths = make("coco", here)
    records = [record | {"image_id": str(record["image_id"])} for record in load(here / "after.json")]
    save(here / "after.json", records)
    assert bpr("evaluate", paths["after"], "-g", paths["truth"]).code == 0


def test_things_and_stuff(here: Path, bpr: Bpr) -> None:
    paths = make("panoptic", here)
    report = json.loads(bpr("evaluate", *arguments(paths), "--json").out)
    assert [row["name"] for row in report["groups"]] == ["things", "stuff"]
    assert [(row["name"], row["kind"]) for row in report["classes"]] == [("disc", "thing"), ("ground", "stuff")]


def test_cityscapes_panoptic_truth(here: Path, bpr: Bpr) -> None:
    paths = make("panoptic", here)
    folder = here / "gtFine/cityscapes_panoptic_val"
    annotations = []
    for annotation in load(here / "truth.json")["annotations"]:
        frame = f"ulm_00000{annotation['image_id']}_000019"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(here / "truth" / annotation["file_name"], folder / f"{frame}_gtFine_panoptic.png")
        annotations.append(annotation | {"image_id": frame, "file_name": f"{frame}_gtFine_panoptic.png"})
    save(here / "gtFine/cityscapes_panoptic_val.json", {"annotations": annotations, "categories": CATEGORIES})
    found = load(here / "after.json")
    for annotation in found["annotations"]:
        annotation["image_id"] = f"ulm_00000{annotation['image_id']}_000019"
    save(here / "after.json", {"annotations": found["annotations"]})
    folders = ("gtFine", "gtFine/cityscapes_panoptic_val", "gtFine/cityscapes_panoptic_val.json")
    outputs = [bpr("evaluate", paths["after"], "-g", truth, "--json").out for truth in folders]
    summaries = [json.loads(output)["summary"] for output in outputs]
    assert summaries[0] == summaries[1] == summaries[2]
    assert 50 < summaries[0][0]["value"] < 100


def test_unknown_categories_are_left_out_on_request(here: Path, bpr: Bpr) -> None:
    paths = make("coco", here)
    save(here / "after.json", [*load(here / "after.json"), coco_record(1, AFTER, category_id=5)])
    assert bpr("evaluate", paths["after"], "-g", paths["truth"]).code == 2
    done = bpr("evaluate", paths["after"], "-g", paths["truth"], "--allow-missing")
    assert done.code == 0
    told = (
        "note: after.json: image 1 has the category 5, expected one of the 1 category ids of truth.json (1); left out"
    )
    assert told in done.err.splitlines()


def test_the_world_is_consistent() -> None:
    assert compressed(TRUTH)["size"] == [IMAGES[0]["height"], IMAGES[0]["width"]]
    assert [category["id"] for category in CATEGORIES] == [1, 2]


def test_the_leftover_of_a_killed_run_is_removed(here: Path, bpr: Bpr) -> None:
    paths = make("masks", here)
    leftover = here / f"report/.{'0' * 32}.tmp"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half a report")
    os.utime(leftover, (1e9, 1e9))
    assert bpr("evaluate", *arguments(paths), "--out", "report").code == 0
    assert sorted(tree(here / "report")) == ["report.csv", "report.html", "report.json"]
