"""Every bad input of ``bpr evaluate``: one sentence that names the file.

An odd record is left out (exit code 1); with anything else, nothing is written (2).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.cli.evaluations import AFTER, CAR, TRUTH, arguments, coco_record, labels_of, make
from tests.cli.worlds import Bpr, says, tree
from tests.formats.format_builders import compressed, load, panoptic_png, png, save

CORNER = np.pad([[True]], ((0, AFTER.shape[0] - 1), (0, AFTER.shape[1] - 1)))
ALSO = "; correct this, or leave such images out with --allow-missing"


@dataclass(frozen=True)
class Bad:
    """A bad input.

    Attributes:
        name: what is bad.
        kind: of the evaluation that is spoilt.
        sentence: what the user is told; ``[..]`` stands for what a decoder or the system says.
        spoil: what is done to the files.
        more: what is added on the command line.
        code: 1 for an odd record, which is left out of the figures.
    """

    name: str
    kind: str
    sentence: str
    spoil: Callable[[Path], object] = lambda here: None
    more: str = ""
    code: int = 2


def change(name: str, update: Callable[[object], object]) -> Callable[[Path], object]:
    """Rewrite a JSON file."""
    return lambda here: save(here / name, update(load(here / name)))


def drop(*names: str) -> Callable[[Path], object]:
    return lambda here: [(here / name).unlink() for name in names]


def half(name: str) -> Callable[[Path], object]:
    """Keep only the first half of a file."""

    def write(here: Path) -> None:
        content = (here / name).read_bytes()
        (here / name).write_bytes(content[: len(content) // 2])

    return write


def text(name: str, content: str | bytes) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda here: (here / name).write_bytes(data)


def first(records: list[dict], **fields: object) -> list[dict]:
    """The records, the first one changed."""
    return [{**records[0], **fields}, *records[1:]]


def maps(folder: str, labels: np.ndarray) -> Callable[[Path], object]:
    """Other label maps in a folder."""
    return lambda here: [png(here / folder / f"{name}.png", labels) for name in "abc"]


def both(*spoils: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda here: [spoil(here) for spoil in spoils]


CITY_TRUTH = np.where(TRUTH, CAR, 7).astype(np.uint8)
CITY_TRAIN = np.where(AFTER, 13, 0).astype(np.uint8)
CITY_TRAIN_3 = np.where(np.eye(*TRUTH.shape, dtype=bool), np.uint8(2), CITY_TRAIN)
SMALL = TRUTH[:30].astype(np.uint8) * 255

PATHS = [
    Bad("no predictions", "masks", "none does not exist, expected a file or directory of predictions; check the path"),
    Bad("no truth", "masks", "none does not exist, expected a file or directory of ground truth; check the path"),
    Bad("no baseline", "masks", "none does not exist, expected a file or directory of predictions; check the path"),
]


@pytest.mark.parametrize(("bad", "side"), list(zip(PATHS, ("after", "truth", "before"), strict=True)))
def test_missing_paths(bad: Bad, side: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bpr: Bpr) -> None:
    monkeypatch.chdir(tmp_path)
    paths = make(bad.kind, tmp_path)
    done = bpr("evaluate", *arguments(paths | {side: "none"}), "--out", "report")
    assert (done.code, done.errors) == (2, [bad.sentence])


BAD = [
    Bad(
        "a prediction without truth",
        "masks",
        f"after/d.png has no ground truth called 'd' in truth{ALSO}",
        lambda here: png(here / "after/d.png", SMALL),
    ),
    Bad("truth without a prediction", "masks", f"truth/b.png has no prediction in after{ALSO}", drop("after/b.png")),
    Bad("truth without a baseline", "labels", f"truth/b.png has no baseline in before{ALSO}", drop("before/b.png")),
    Bad(
        "several at once",
        "masks",
        "3 images do not match: after/d.png has no ground truth called 'd' in truth; truth/b.png has no prediction in "
        f"after; truth/c.png has no prediction in after{ALSO}",
        both(drop("after/b.png", "after/c.png"), lambda here: png(here / "after/d.png", SMALL)),
    ),
    Bad(
        "two predictions of one image",
        "masks",
        f"after/sub/a.png is for the image a.png, like a.png{ALSO}",
        lambda here: png(here / "after/sub/a.png", AFTER.astype(np.uint8) * 255),
    ),
    Bad(
        "masks of another size",
        "masks",
        f"after/b.png is 48 x 30 pixels, expected 48 x 40 pixels like the ground truth truth/b.png{ALSO}",
        lambda here: png(here / "after/b.png", SMALL),
    ),
    Bad(
        "results of another size",
        "coco",
        f"after.json: image 1 is 48 x 30 pixels, expected 48 x 40 pixels like the ground truth truth.json{ALSO}",
        change("after.json", lambda records: [coco_record(1, TRUTH[:30]), *records[1:]]),
    ),
    Bad(
        "panoptic maps of another size",
        "panoptic",
        f"after/b.png is 48 x 30 pixels, expected 48 x 40 pixels like the ground truth truth/b.png{ALSO}",
        lambda here: panoptic_png(here / "after/b.png", np.where(AFTER, 7, 300)[:30]),
    ),
    Bad(
        "a damaged prediction",
        "masks",
        "after/b.png is truncated or damaged ([..]), expected [..]",
        half("after/b.png"),
    ),
    Bad("damaged truth", "labels", "truth/b.png is truncated or damaged ([..]), expected [..]", half("truth/b.png")),
    Bad("an empty file", "masks", "[..]before/c.png is empty (0 bytes)[..]", text("before/c.png", "")),
    Bad(
        "broken JSON",
        "coco",
        "truth.json is not valid JSON ([..]); it may be truncated; write it again",
        half("truth.json"),
    ),
    Bad(
        "an unknown image id",
        "coco",
        f"after.json: image 77 has no ground truth in truth.json, expected one of its image ids (1, 2, 3){ALSO}",
        change("after.json", lambda records: first(records, image_id=77)),
    ),
    Bad(
        "an unknown category",
        "coco",
        "after.json: image 1 has the category 9, expected one of the 1 category ids of truth.json (1); map the ids, or "
        "leave such predictions out with --allow-missing",
        change("after.json", lambda records: first(records, category_id=9)),
    ),
    Bad(
        "several unknown categories",
        "coco",
        "after.json: image 1 has the category 8, image 1 has the category 9, image 2 has the category 9 and 1 more, "
        "expected one of the 1 category ids of truth.json (1); [..]",
        change(
            "after.json",
            lambda records: [
                *({**record, "category_id": 9} for record in records),
                {**records[0], "category_id": 8},
            ],
        ),
    ),
    Bad(
        "a category that is no number",
        "coco",
        "after.json: record 0 of image 1 has the category_id 'disc', expected a whole number; correct the record or "
        "remove it",
        change("after.json", lambda records: first(records, category_id="disc")),
        code=1,
    ),
    Bad(
        "a category of too many digits",
        "coco",
        f"after.json: record 0 of image 1 has the category_id 1{'0' * 36}..., expected a whole number; correct the "
        "record or remove it",
        change("after.json", lambda records: first(records, category_id=10**400)),
        code=1,
    ),
    Bad(
        "a score of too many digits",
        "coco",
        f"after.json: record 0 of image 1 has the score 1{'0' * 36}..., expected a number; correct the record or "
        "remove it",
        change("after.json", lambda records: first(records, score=10**400)),
        code=1,
    ),
    Bad(
        "two images of one id",
        "coco",
        "truth.json has two images with the id 1, a.png and z.png, expected unique ids",
        change(
            "truth.json",
            lambda truth: truth | {"images": [*truth["images"], {**truth["images"][0], "file_name": "z.png"}]},
        ),
    ),
    Bad(
        "a record that is none",
        "coco",
        "after.json: record 0 has no image_id, expected a whole number or a text; correct the record or remove it",
        change("after.json", lambda records: ["x", *records]),
        code=1,
    ),
    Bad(
        "no score",
        "coco",
        "after.json: record 0 of image 1 has no score, expected a number; ground truth has none, so check that the "
        "two are not swapped",
        change("after.json", lambda records: first(records, score=None)),
        code=1,
    ),
    Bad(
        "a score that is text",
        "coco",
        "after.json: record 0 of image 1 has the score 'high', expected a number; correct the record or remove it",
        change("after.json", lambda records: first(records, score="high")),
        code=1,
    ),
    Bad(
        "broken run lengths",
        "coco",
        "after.json: record 0 of image 1 is broken: its counts do not add up to its size 40 x 48; correct the record "
        "or remove it",
        change("after.json", lambda records: first(records, segmentation={"size": [40, 48], "counts": [3, 4]})),
        code=1,
    ),
    Bad(
        "a category listed twice",
        "coco",
        "truth.json: category 1 has the id 1, which another category already has",
        change("truth.json", lambda truth: truth | {"categories": [*truth["categories"], {"id": 1, "name": "b"}]}),
    ),
    Bad(
        "PNG and JSON that disagree",
        "panoptic",
        "after/b.png and [..]after.json disagree: the PNG file has the ids 8 without a segment; their pixels are void",
        lambda here: panoptic_png(here / "after/b.png", np.where(CORNER, 8, np.where(AFTER, 7, 300))),
        code=1,
    ),
    Bad(
        "PNG and JSON that have nothing in common",
        "panoptic",
        "after/b.png and [..]after.json disagree: the PNG file has the ids 8 without a segment; the segments 7, 300 "
        "have no pixels in the PNG file",
        lambda here: panoptic_png(here / "after/b.png", np.full(AFTER.shape, 8)),
    ),
    Bad(
        "a panoptic file that is missing",
        "panoptic",
        f"[..]after.json: annotation 1 is broken: its file after/b.png does not exist{ALSO}",
        drop("after/b.png"),
    ),
    Bad(
        "panoptic truth without categories",
        "panoptic",
        "[..]truth.json has no categories, expected a list of id, name and isthing, which tells things from stuff",
        both(*(change(f"{side}.json", lambda found: found | {"categories": []}) for side in ("truth", "after"))),
    ),
    Bad(
        "another panoptic category",
        "panoptic",
        "[..]after.json: image a.png has the category 9, expected one of the 2 category ids of [..]truth.json (1, 2); "
        "map the ids, or leave such predictions out with --allow-missing",
        change(
            "after.json",
            lambda found: (
                found
                | {
                    "annotations": [
                        {
                            **found["annotations"][0],
                            "segments_info": [{"id": 7, "category_id": 9}, {"id": 300, "category_id": 2}],
                        },
                        *found["annotations"][1:],
                    ]
                }
            ),
        ),
    ),
    Bad(
        "trainIds where labelIds are expected",
        "labels",
        "after/a.png holds the label 0 and looks like trainIds (labels 0, 13), expected labelIds; convert the labels "
        "or give another --label-set",
        both(maps("truth", CITY_TRUTH), maps("after", CITY_TRAIN)),
        "--label-set labelIds",
    ),
    Bad(
        "labelIds where trainIds are expected",
        "labels",
        "truth/a.png holds the label 26 and looks like labelIds (labels 7, 26), expected trainIds; convert the labels "
        "or give another --label-set",
        both(maps("truth", CITY_TRUTH), maps("after", CITY_TRAIN)),
        "--label-set trainIds",
    ),
    Bad(
        "labelIds against trainIds, no label set given",
        "labels",
        "truth/a.png looks like labelIds of Cityscapes, but after/a.png looks like trainIds, expected one label set; "
        "convert one of them",
        both(
            maps("truth", CITY_TRUTH),
            maps("after", CITY_TRAIN_3),
        ),
    ),
    Bad(
        "a label that the classes file does not have",
        "labels",
        "after/a.png: the prediction has the labels 2, expected the classes 0, 1 (ignored: 255)",
        text("classes.txt", "never\nground\n"),
        "--label-set classes.txt",
    ),
    Bad(
        "an empty classes file",
        "labels",
        "classes.txt is not a list of classes: it is empty, expected one class name per line",
        text("classes.txt", "\n"),
        "--label-set classes.txt",
    ),
    Bad(
        "a classes file with a hole",
        "labels",
        "classes.txt is not a list of classes: line 2 is empty, expected one class name per line",
        text("classes.txt", "ground\n\ndisc\n"),
        "--label-set classes.txt",
    ),
    Bad(
        "a JSON file without categories",
        "labels",
        "info.json holds an object with the fields images, expected an object with a 'categories' list of id and name",
        text("info.json", '{"images": []}'),
        "--label-set info.json",
    ),
    Bad(
        "a classes file that is no text",
        "labels",
        "classes.txt is not a text file ([..]), expected one class name per line",
        text("classes.txt", b"\xff\xfe\xfd"),
        "--label-set classes.txt",
    ),
    Bad(
        "an unknown label set",
        "labels",
        "ade is not a label set, expected labelIds, trainIds, a file with one class name per line or a JSON file with "
        "categories",
        more="--label-set ade",
    ),
    Bad(
        "truth of another kind",
        "coco",
        "truth holds [..]",
        both(drop("truth.json"), maps("truth", labels_of(TRUTH))),
        "--ground-truth truth",
    ),
    Bad(
        "gtFine without instances",
        "cityscapes",
        "truth holds no file called …_instanceIds.png, expected the gtFine folder for Cityscapes results; check "
        "--ground-truth",
        drop(*(f"truth/val/ulm/ulm_{name}_000019_gtFine_instanceIds.png" for name in "abc")),
    ),
    Bad(
        "Cityscapes results as ground truth",
        "cityscapes",
        "before holds Cityscapes results, which cannot be ground truth: their masks may overlap, and they do not say "
        "which pixels are void; give the gtFine folder, with …_instanceIds.png files",
        lambda here: None,
        "--ground-truth before",
    ),
    Bad(
        "an unknown Cityscapes label",
        "cityscapes",
        "after/ulm_a_000019_leftImg8bit_pred.txt: [..] has the label 99, expected [..]",
        text("after/ulm_a_000019_leftImg8bit_pred.txt", "masks/ulm_a_000019_0.png 99 0.5\n"),
    ),
    Bad(
        "a baseline of another format",
        "coco",
        "the baseline has the format masks, expected coco like the predictions; check --baseline, or use bpr convert",
        lambda here: make("masks", here / "other"),
        "--baseline other/after",
    ),
    Bad("a negative tolerance", "masks", "--tolerance is -1.0; expected a number of 0 or more", more="--tolerance -1"),
    Bad("no band", "masks", "--dilation-ratio is 0.0; expected a number above 0 up to 1", more="--dilation-ratio 0"),
    Bad(
        "a distance that is text",
        "masks",
        "--oracle is '1,x'; expected whole numbers such as 1,2,3",
        more="--oracle 1,x",
    ),
    Bad(
        "a distance of 0",
        "masks",
        "--oracle is (0,); expected a list of values, each a whole number from 1 to 1000",
        more="--oracle 0",
    ),
    Bad("no workers", "masks", "--workers is 0; expected a whole number of 1 or more", more="--workers 0"),
    Bad(
        "no detections",
        "coco",
        "--max-detections is 0; expected a whole number of 1 or more",
        more="--max-detections 0",
    ),
    Bad("an unknown format", "masks", "--format is 'voc'; expected one of coco, [..]", more="--format voc"),
    Bad(
        "no images",
        "masks",
        "none does not exist, expected a directory of images or one image; check --images",
        more="--images none",
    ),
    Bad(
        "the report among the truth",
        "masks",
        "the output truth lies inside truth, which is an input; give another --out",
        more="--out truth",
    ),
    Bad(
        "a report that is a file",
        "masks",
        "the output images/a.png is a file, expected a folder; give another --out",
        more="--out images/a.png",
    ),
    Bad(
        "images of something else",
        "masks",
        "others holds none of the 3 images that are measured, such as a.png; check --images",
        lambda here: png(here / "others/x.png", SMALL),
        "--images others",
    ),
    Bad(
        "the report's name is taken by a folder",
        "masks",
        "taken/report.html is a folder, expected none or a file of an earlier report; give another --out",
        lambda here: (here / "taken/report.html").mkdir(parents=True),
        "--out taken",
    ),
    Bad(
        "binary masks as the truth of label maps",
        "labels",
        "truth/a.png holds the values 0 and 255 like a binary mask, expected a label map as after/a.png is (labels 1, "
        "2, 255); check --ground-truth, or give a --label-set",
        maps("truth", TRUTH.astype(np.uint8) * 255),
    ),
    Bad(
        "label maps as the truth of binary masks",
        "masks",
        "truth holds the values 1, 2, 255, expected masks; give --format labels if they are classes (--ignore-label "
        "names void), or --format masks if values above one half of 255 are foreground (--threshold sets another "
        "fraction)",
        maps("truth", labels_of(TRUTH)),
    ),
    Bad(
        "ground truth as predictions",
        "coco",
        "after.json holds the same records as the ground truth truth.json, expected predictions; check the two",
        lambda here: (here / "after.json").write_bytes((here / "truth.json").read_bytes()),
    ),
    Bad(
        "images as predictions",
        "masks",
        "after/b.png looks like a photograph (more than 256 colours), expected a mask or a label map: [..]",
        lambda here: (here / "after/b.png").write_bytes((here / "images/b.png").read_bytes()),
    ),
    Bad(
        "an empty folder of truth",
        "masks",
        "empty is an empty directory, expected ground truth in it",
        lambda here: (here / "empty").mkdir(),
        "--ground-truth empty",
    ),
    Bad(
        "COCO annotations for panoptic predictions",
        "panoptic",
        "coco/truth.json holds an object whose 'annotations' are a list of objects with the fields [..], expected COCO "
        "panoptic results: an object whose annotations have image_id, file_name and segments_info",
        lambda here: make("coco", here / "coco"),
        "--ground-truth coco/truth.json",
    ),
    Bad(
        "panoptic annotations for COCO results",
        "coco",
        "panoptic/truth.json holds an object whose 'annotations' are a list of objects with the fields file_name, "
        "image_id, segments_info, expected COCO instances: [..]",
        lambda here: make("panoptic", here / "panoptic"),
        "--ground-truth panoptic/truth.json",
    ),
    Bad(
        "a label set for masks",
        "masks",
        "--label-set applies to label maps, but after holds binary masks; leave it out, or give another --format",
        more="--label-set trainIds",
    ),
    Bad(
        "a label to ignore in COCO results",
        "coco",
        "--ignore-label applies to label maps, but after.json holds COCO results; leave it out, or give another "
        "--format",
        more="--ignore-label 3",
    ),
    Bad(
        "a limit on the detections of label maps",
        "labels",
        "--max-detections applies to COCO results, but after holds label maps; leave it out, or give another --format",
        more="--max-detections 3",
    ),
    Bad(
        "a tolerance for panoptic results",
        "panoptic",
        "--tolerance applies to label maps, binary masks, COCO results, Cityscapes results, but after holds panoptic "
        "results; leave it out, or give another --format",
        more="--tolerance 2",
    ),
    Bad(
        "more tolerances for Cityscapes results",
        "cityscapes",
        "--boundary-f-at applies to label maps, binary masks, but after holds Cityscapes results; leave it out, or "
        "give another --format",
        more="--boundary-f-at 2",
    ),
    Bad(
        "an annotation of an image that is not listed",
        "coco",
        "truth.json: record 0 has the unknown image id 99, expected one of the ids in the images list; add it there",
        change("truth.json", lambda truth: truth | {"annotations": first(truth["annotations"], image_id=99)}),
        code=1,
    ),
    Bad(
        "a broken annotation, and not its predictions",
        "coco",
        "truth.json: record 0 (id 1) of image 1 is broken: its segmentation is int, expected run lengths (size and "
        "counts) or polygons; correct the record or remove it",
        change("truth.json", lambda truth: truth | {"annotations": first(truth["annotations"], segmentation=7)}),
        code=1,
    ),
    Bad(
        "annotations of another size than their image",
        "coco",
        f"truth.json: the masks of image 1 are 48 x 30 pixels, expected 48 x 40 pixels as in its list of images{ALSO}",
        change(
            "truth.json",
            lambda truth: (
                truth | {"annotations": first(truth["annotations"], segmentation=compressed(TRUTH[:30]), area=9)}
            ),
        ),
    ),
    Bad(
        "categories that are neither things nor stuff",
        "panoptic",
        "[..]truth.json: category 2 has no isthing, expected 1 for things and 0 for stuff",
        change(
            "truth.json",
            lambda truth: truth | {"categories": [truth["categories"][0], {"id": 2, "name": "ground"}]},
        ),
    ),
    Bad(
        "trainIds in Cityscapes results",
        "cityscapes",
        "after/ulm_a_000019_leftImg8bit_pred.txt holds the label 13 and looks like trainIds (labels 13), expected "
        "labelIds such as 26 for car; convert the labels",
        both(
            *(
                text(f"after/ulm_{name}_000019_leftImg8bit_pred.txt", f"masks/ulm_{name}_000019_0.png 13 0.9\n")
                for name in "abc"
            )
        ),
    ),
    Bad(
        "nothing that matches",
        "masks",
        "6 images do not match: after/a.png has no ground truth called 'a' in truth; [..]",
        lambda here: [(here / f"truth/{name}.png").rename(here / f"truth/{name}{name}.png") for name in "abc"],
        "--allow-missing",
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_bad_input(bad: Bad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bpr: Bpr) -> None:
    monkeypatch.chdir(tmp_path)
    paths = make(bad.kind, tmp_path)
    bad.spoil(tmp_path)
    before = tree(tmp_path)
    given = bad.more.split()
    usual = [] if "--baseline" in given or "baseline" not in bad.name else ["--baseline", paths["before"]]
    if "before/" in bad.sentence:
        usual = ["--baseline", paths["before"]]
    truth = [] if "--ground-truth" in given else ["--ground-truth", paths["truth"]]
    out = [] if "--out" in given else ["--out", "report"]
    done = bpr("evaluate", paths["after"], *truth, *usual, *out, "--json", *given)
    assert done.code == bad.code
    assert len(done.errors) == 1
    assert says(done.errors[0], bad.sentence), done.errors[0]
    assert (done.out == "") == (bad.code == 2)
    assert (tree(tmp_path) == before) == (bad.code == 2)


def test_usage_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bpr: Bpr) -> None:
    monkeypatch.chdir(tmp_path)
    assert bpr("evaluate", "after").code == 2
    assert bpr("evaluate").code == 2
    assert bpr("evaluate", "after", "--ground-truth", "truth", "--workers", "many").code == 2
