"""The pages for people who come from another tool: their commands and code, with the tools' own packages.

What needs a running host or trained weights is replaced: the files that a host would export are made as it writes them.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from bpr_cli.cli.main import main
from bpr_cli.integrations import napari as napari_command
from bpr_cli.integrations.comfyui import NODE_CLASS_MAPPINGS
from bpr_cli.refinement.refiner import Refiner
from tests.docs.pages import DOCS, blocks_of, commands_of
from tests.inference.engines import blob, photograph

SIZE = (96, 128)
MASKS = np.stack([blob(SIZE), blob(SIZE, 4)])


IMAGE = photograph(cv2.dilate(MASKS[0].astype(np.uint8), np.ones((9, 9), np.uint8)) > 0)
"""Its object reaches 4 pixels beyond the first mask, so that refinement changes it."""

BOXES = np.array([[0, 0, 128, 96], [0, 0, 128, 96]], np.float32)


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    """The working directory, with the photograph under the names that pages give it."""
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    for name in ("photo.png", "images/photo.png"):
        cv2.imwrite(name, IMAGE[..., ::-1])
    Path("photo.png").rename("photo.jpg")


@pytest.fixture
def default_refiner():
    return Refiner()


def run(command: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert not stop.value.code


def run_page(page: str, **names: object) -> dict[str, object]:
    """Run the Python of a page from top to bottom."""
    for block in blocks_of(page, "python"):
        exec(compile(block, page, "exec", dont_inherit=True), names)
    return names


def coco_files(segmentations: list[object]) -> dict[str, object]:
    """COCO annotations of the photograph, as CVAT's exporter writes them: run lengths are crowds."""
    records = [
        {"id": number, "image_id": 1, "category_id": 1 + number % 2, "segmentation": each, "area": 1.0}
        | {"bbox": [0, 0, 128, 96], "iscrowd": int(isinstance(each, dict)), "attributes": {"occluded": False}}
        for number, each in enumerate(segmentations, start=1)
    ]
    image = {"id": 1, "width": SIZE[1], "height": SIZE[0], "file_name": "photo.png", "license": 0}
    categories = [{"id": 1, "name": "cat", "supercategory": ""}, {"id": 2, "name": "dog", "supercategory": ""}]
    return {"images": [image], "annotations": records, "categories": categories}


def test_cvat_coco():
    """Records are read by pycocotools; by Datumaro, which CVAT imports with, where that is installed."""
    flat = MASKS[0].ravel(order="F").astype(int)
    steps = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    counts = np.diff(np.concatenate([[0], steps, [flat.size]])).tolist()
    polygon = [20.0, 20.0, 90.0, 24.0, 80.0, 70.0, 22.0, 60.0]
    Path("task/annotations").mkdir(parents=True)
    Path("task/images").mkdir()
    Path("images").rename("task/images/default")
    written = coco_files([{"counts": counts, "size": list(SIZE)}, [polygon]])
    Path("task/annotations/instances_default.json").write_text(json.dumps(written))
    command, _ = commands_of("from/cvat.md")
    run(command)
    out = Path("refined/instances_default.json")
    content = json.loads(out.read_text())
    assert {**content, "annotations": None} == {**written, "annotations": None}
    coco = COCO(out)
    before = [MASKS[0], coco_mask.decode(coco_mask.frPyObjects([polygon], *SIZE))[..., 0]]
    for record, old, mask in zip(content["annotations"], written["annotations"], before, strict=True):
        kept = ("id", "image_id", "category_id", "iscrowd", "attributes")
        assert [record[name] for name in kept] == [old[name] for name in kept]
        refined = coco.annToMask(record)
        assert (refined != mask).any()
        assert record["area"] == refined.sum()
        assert type(record["segmentation"]) is type(old["segmentation"])
    datumaro = pytest.importorskip("datumaro")
    Path("upload/annotations").mkdir(parents=True)
    out.rename("upload/annotations/instances_default.json")
    [item] = datumaro.Dataset.import_from("upload", "coco_instances")
    (mask,), polygons = ([each for each in item.annotations if each.type.name == kind] for kind in ("mask", "polygon"))
    first, second = content["annotations"]
    np.testing.assert_array_equal(mask.image, coco.annToMask(first))
    for each, written in zip(polygons, second["segmentation"], strict=True):
        np.testing.assert_allclose(each.points, written, atol=0.5)  # Datumaro has whole pixels


def test_cvat_yolo():
    Path("task-yolo/images").mkdir(parents=True)
    Path("task-yolo/labels/train").mkdir(parents=True)
    Path("images").rename("task-yolo/images/train")
    Path("task-yolo/train.txt").write_text("images/train/photo.png\n")
    Path("task-yolo/data.yaml").write_text("path: ./\ntrain: train.txt\nnames:\n  0: cat\n  1: dog\n")
    line = "1 0.15 0.2 0.7 0.25 0.6 0.7 0.17 0.6\n"
    Path("task-yolo/labels/train/photo.txt").write_text(line)
    _, command = commands_of("from/cvat.md")
    run(command)
    refined = Path("upload/labels/train/photo.txt").read_text()
    assert refined.startswith("1 ")
    assert refined != line


def test_fiftyone():
    """The exporter and importer that the page's calls use; they alone need no database."""
    fo = pytest.importorskip("fiftyone")
    coco = pytest.importorskip("fiftyone.utils.coco")
    box = [0, 0, 1, 1]
    given = fo.Detections(detections=[fo.Detection(label="cat", bounding_box=box, mask=mask) for mask in MASKS])
    with coco.COCODetectionDatasetExporter(export_dir="coco") as exporter:
        exporter.export_sample("images/photo.png", given, metadata=fo.ImageMetadata.build_for("images/photo.png"))
    [command] = commands_of("from/fiftyone.md")
    run(command)
    where = {"data_path": "coco/data", "labels_path": "refined/labels.json", "label_types": "segmentations"}
    with coco.COCODetectionDatasetImporter(**where) as importer:
        [(path, _, labels)] = list(importer)
    assert Path(path).name == "photo.png"
    assert [each.label for each in labels.detections] == ["cat", "cat"]
    read = COCO("refined/labels.json")
    for record, each in zip(read.dataset["annotations"], labels.detections, strict=True):
        assert each.mask.sum() == read.annToMask(record).sum() > 0


def ultralytics_results():
    module = pytest.importorskip("ultralytics.engine.results")
    table = np.concatenate([BOXES, [[0.9, 1], [0.8, 0]]], axis=1).astype(np.float32)
    return module.Results(
        IMAGE[..., ::-1].copy(),
        "images/photo.png",
        {0: "cat", 1: "dog"},
        boxes=torch.from_numpy(table),
        masks=torch.from_numpy(MASKS.astype(np.float32)),
    )


def test_ultralytics_in_python(monkeypatch, default_refiner):
    given = ultralytics_results()
    monkeypatch.setattr("ultralytics.YOLO", lambda weights: lambda image: [given])
    result = run_page("from/ultralytics.md")["result"]
    expected = default_refiner.refine_masks(IMAGE, MASKS)
    np.testing.assert_array_equal(result.masks.data.numpy(), expected)
    assert (expected != MASKS).any()
    assert Path("refined.jpg").is_file()


def test_ultralytics_label_files():
    given = ultralytics_results()
    predicted, dataset = commands_of("from/ultralytics.md")
    labels = Path("runs/segment/predict/labels/photo.txt")
    given.save_txt(labels, save_conf=True)
    run(predicted)
    before, after = (path.read_text().splitlines() for path in (labels, Path("refined/photo.txt")))
    assert [(line.split()[0], line.split()[-1]) for line in after] == [("1", "0.9"), ("0", "0.8")]
    assert before != after
    Path("dataset/images").mkdir(parents=True)
    Path("images").rename("dataset/images/train")
    Path("dataset/data.yaml").write_text("path: .\ntrain: images/train\nnames: [cat, dog]\n")
    given.save_txt("dataset/labels/train/photo.txt")
    run(dataset)
    assert len(Path("refined-labels/train/photo.txt").read_text().splitlines()) == 2


def test_supervision(default_refiner):
    sv = pytest.importorskip("supervision")
    given = ultralytics_results()
    names = run_page("from/supervision.md", model=lambda image: [given])
    expected = default_refiner.refine_masks(cv2.imread("photo.jpg")[..., ::-1], MASKS)
    np.testing.assert_array_equal(names["refined"].mask, expected)
    assert Path("refined.png").is_file()
    [command] = commands_of("from/supervision.md")
    detections = sv.Detections(xyxy=BOXES, mask=MASKS, class_id=np.array([1, 0]))
    photo = "images/photo.png"
    written = sv.DetectionDataset(["cat", "dog"], [photo], {photo: detections})
    written.as_coco("dataset/images", "dataset/annotations.json")
    run(command)
    read = sv.DetectionDataset.from_coco("dataset/images", "refined/annotations.json", force_masks=True)
    [(_, _, back)] = read
    assert back.class_id.tolist() == [1, 0]
    assert back.mask.shape == MASKS.shape
    assert (back.mask != MASKS).any()


def test_other_libraries(default_refiner):
    labels = torch.from_numpy(MASKS[0] * 3)
    segments = {"segmentation": labels.int() + 1, "segments_info": [{"id": 1}, {"id": 4}]}
    names = run_page(
        "from/python.md",
        image=Image.fromarray(IMAGE),
        processor=SimpleNamespace(
            post_process_panoptic_segmentation=lambda outputs, target_sizes: [segments],
            post_process_semantic_segmentation=lambda outputs, target_sizes: [labels],
        ),
        outputs=None,
        tensor=torch.from_numpy(IMAGE).permute(2, 0, 1) / 255,
        network=lambda images: [
            {"boxes": torch.from_numpy(BOXES), "masks": torch.from_numpy(MASKS)[:, None].float() * 0.9}
        ],
    )
    expected = default_refiner.refine_labels(IMAGE, labels, ignore=())
    assert torch.equal(names["labels"], expected)
    assert torch.equal(names["segments"]["segmentation"], expected.int() + 1)
    np.testing.assert_array_equal(names["detections"]["masks"][:, 0] > 0.5, default_refiner.refine_masks(IMAGE, MASKS))


def test_napari(default_refiner):
    labels = blob(SIZE).astype(np.uint16) * 300
    layers = {"photo": SimpleNamespace(data=IMAGE), "labels": SimpleNamespace(data=labels)}
    added = []
    viewer = SimpleNamespace(layers=layers, add_labels=lambda data, name: added.append(data))
    run_page("from/napari.md", viewer=viewer)
    np.testing.assert_array_equal(added[0], default_refiner.refine_labels(IMAGE, labels, ignore=()))
    page = (DOCS / "from/napari.md").read_text()
    manifest = Path(napari_command.__file__).with_suffix(".yaml").read_text()
    assert "*Plugins > bpr > Refine boundaries of labels*" in page
    assert "display_name: bpr\n" in manifest
    assert "display_name: Refine boundaries of labels\n" in manifest
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite("photo.tif", IMAGE)
    tifffile.imwrite("labels.tif", labels)
    [command] = commands_of("from/napari.md")
    run(command)
    refined = tifffile.imread("refined/labels.tif")
    assert (refined.dtype, set(refined.flat)) == (np.uint16, {0, 300})
    assert (refined != labels).any()


def test_comfyui():
    """The line that the page writes defines the node; ``tests/integrations/test_comfyui.py`` runs it."""
    [(line, *_)] = commands_of("from/comfyui.md", "echo")
    names: dict[str, object] = {}
    exec(line, names)
    assert names["NODE_CLASS_MAPPINGS"] is NODE_CLASS_MAPPINGS
    [title] = names["NODE_DISPLAY_NAME_MAPPINGS"].values()
    page = (DOCS / "from/comfyui.md").read_text()
    assert f"*{title}*" in page
    assert all(f"`{name}`" in page for name in NODE_CLASS_MAPPINGS["BprRefineMask"].INPUT_TYPES()["required"])


def test_label_studio(default_refiner):
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    painted = {
        "id": "a1",
        "type": "brushlabels",
        "from_name": "tag",
        "to_name": "image",
        "original_width": SIZE[1],
        "original_height": SIZE[0],
        "value": {"format": "rle", "rle": brush.mask2rle(MASKS[0].astype(np.uint8) * 255), "brushlabels": ["cat"]},
    }
    chosen = {"id": "a2", "type": "choices", "from_name": "kind", "to_name": "image", "value": {"choices": ["indoor"]}}
    task = {
        "id": 7,
        "data": {"image": "/data/upload/1/0a1b2c3d-photo.png"},
        "annotations": [{"result": [painted, chosen]}],
    }
    Path("export.json").write_text(json.dumps([task]))
    run_page("from/label-studio.md")
    [out] = json.loads(Path("refined.json").read_text())
    assert out["data"] == task["data"]
    [prediction] = out["predictions"]
    refined, kept = prediction["result"]
    assert kept == chosen
    assert {**refined, "value": None} == {**painted, "value": None}
    assert refined["value"]["brushlabels"] == ["cat"]
    mask = brush.decode_rle(refined["value"]["rle"]).reshape(*SIZE, 4)[:, :, 3]
    np.testing.assert_array_equal(mask, default_refiner.refine(IMAGE, MASKS[0]) * 255)
