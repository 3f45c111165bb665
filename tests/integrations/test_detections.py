"""The objects of other libraries, made as their documentation does; tests skip where a library is missing."""

import copy
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

import bpr_cli.integrations.detections as module
from bpr_cli.errors import BprError
from bpr_cli.integrations import refine
from tests.inference.engines import blob, picture

SIZE = (40, 52)
IMAGE = picture(SIZE)
FULL = np.ones(SIZE, bool)  # a mask without boundary, which nothing changes
MASKS = np.stack([blob(SIZE), FULL, blob(SIZE, 4)])
BOXES = np.array([[1.5, 2.5, 30, 31], [0, 0.25, 51.5, 40], [3, 4, 20, 21]], np.float32)


@pytest.fixture(scope="module")
def masks(refiner) -> np.ndarray:
    """What becomes of the masks."""
    refined = refiner.refine_masks(IMAGE, MASKS)
    assert [(one != other).any() for one, other in zip(refined, MASKS, strict=True)] == [True, False, True]
    return refined


@pytest.fixture(scope="module")
def boxes(masks) -> np.ndarray:
    """Boxes around the changed masks by hand; that of the full mask stays."""
    out = BOXES.copy()
    for number in (0, 2):
        rows, columns = np.nonzero(masks[number])
        out[number] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return out


class TestSupervision:
    @pytest.fixture(scope="class")
    @classmethod
    def sv(cls):
        return pytest.importorskip("supervision")

    def detections(self, sv, **more):
        return sv.Detections(
            xyxy=BOXES.copy(),
            mask=MASKS.copy(),
            confidence=np.array([0.9, 0.8, 0.7]),
            class_id=np.array([3, 0, 1]),
            tracker_id=np.array([7, 8, 9]),
            data={"class_name": np.array(["cat", "dog", "cat"])},
            **more,
        )

    def test_masks_and_boxes_change_and_all_else_stays(self, sv, refiner, masks, boxes):
        given = self.detections(sv)
        before = copy.deepcopy(given)
        out = refine(IMAGE, given, refiner)
        assert isinstance(out, sv.Detections)
        np.testing.assert_array_equal(out.mask, masks)
        np.testing.assert_array_equal(out.xyxy, boxes)
        assert given == before
        for name in ("confidence", "class_id", "tracker_id"):
            np.testing.assert_array_equal(getattr(out, name), getattr(before, name))
        np.testing.assert_array_equal(out.data["class_name"], before.data["class_name"])
        assert out[out.class_id == 1].mask.shape == (1, *SIZE)

    def test_compact_masks_stay_compact(self, sv, refiner, masks):
        compact = pytest.importorskip("supervision.detection.compact_mask").CompactMask
        given = self.detections(sv)
        given.mask = compact.from_dense(MASKS, np.array([[0, 0, 52, 40]] * 3), SIZE)
        out = refine(IMAGE, given, refiner)
        assert isinstance(out.mask, compact)
        np.testing.assert_array_equal(np.asarray(out.mask), masks)

    def test_nothing_detected(self, sv, refiner):
        assert len(refine(IMAGE, sv.Detections.empty(), refiner)) == 0

    def test_boxes_without_masks_are_refused(self, sv, refiner):
        with pytest.raises(BprError, match="holds 3 boxes without masks"):
            refine(IMAGE, sv.Detections(xyxy=BOXES), refiner)


class TestUltralytics:
    @pytest.fixture(scope="class")
    @classmethod
    def results_module(cls):
        return pytest.importorskip("ultralytics.engine.results")

    def results(self, results_module, masks=MASKS):
        table = np.concatenate([BOXES, [[0.9, 3], [0.8, 0], [0.7, 1]]], axis=1).astype(np.float32)
        return results_module.Results(
            orig_img=np.ascontiguousarray(IMAGE[..., ::-1]),
            path="photo.jpg",
            names={0: "dog", 1: "cat", 3: "cow"},
            boxes=torch.from_numpy(table),
            masks=torch.from_numpy(masks.astype(np.float32)),
        )

    @pytest.mark.parametrize("image", [None, IMAGE])
    def test_masks_and_boxes_change_and_all_else_stays(self, results_module, refiner, masks, boxes, image):
        given = self.results(results_module)
        out = refine(image, given, refiner)
        assert type(out) is type(given)
        np.testing.assert_array_equal(out.masks.data.numpy(), masks)
        np.testing.assert_array_equal(out.boxes.xyxy.numpy(), boxes)
        np.testing.assert_array_equal(out.boxes.data[:, 4:], given.boxes.data[:, 4:])
        np.testing.assert_array_equal(given.masks.data.numpy(), MASKS)
        np.testing.assert_array_equal(given.boxes.xyxy.numpy(), BOXES)
        assert (out.path, out.names) == (given.path, given.names)
        assert len(out.to_df()) == 3
        assert out.plot().shape == (*SIZE, 3)
        assert all(len(outline) for outline in out.masks.xy)
        as_arrays = refine(image, given.numpy(), refiner)
        np.testing.assert_array_equal(as_arrays.masks.data, masks)

    def test_small_masks_with_a_margin_are_enlarged_to_the_image(self, results_module, refiner):
        """At half the size and with 3 empty rows above and below, as the network of 26 x 26 pixels sees them."""
        small = np.zeros((1, 26, 26), np.float32)
        small[0, 3:-3] = blob((20, 26))
        given = self.results(results_module, small)
        given.boxes = given.boxes[:1]
        large = cv2.resize(small[0, 3:-3], SIZE[::-1], interpolation=cv2.INTER_LINEAR) > 0.5
        out = refine(None, given, refiner)
        assert out.masks.shape == (1, *SIZE)
        np.testing.assert_array_equal(out.masks.data[0].numpy() != 0, refiner.refine(IMAGE, large))

    def test_nothing_detected(self, results_module, refiner):
        empty = results_module.Results(IMAGE, "photo.jpg", {0: "dog"}, boxes=torch.zeros(0, 6))
        assert refine(None, empty, refiner).masks is None

    def test_boxes_without_masks_are_refused(self, results_module, refiner):
        given = self.results(results_module)
        given.masks = None
        with pytest.raises(BprError, match="holds 3 boxes without masks"):
            refine(None, given, refiner)


class TestTransformers:
    """The outputs of Mask2Former's own post-processing, for two objects and a third that is unsure of its mask."""

    @pytest.fixture(scope="class")
    @classmethod
    def post(cls):
        transformers = pytest.importorskip("transformers")
        pytest.importorskip("transformers.models.mask2former")
        # The name without torchvision, since version 5.
        processor = getattr(transformers, "Mask2FormerImageProcessorPil", transformers.Mask2FormerImageProcessor)
        first, second = blob(SIZE) & ~blob(SIZE, 4), blob(SIZE, 4)
        logits = [np.where(first, 9, -9), np.where(second, 9, -9), np.full(SIZE, 0.1)]
        classes = torch.full((1, 3, 4), -20.0)
        classes[0, 0, 2] = classes[0, 1, 1] = classes[0, 2, 0] = 20
        masks = torch.from_numpy(np.stack(logits).astype(np.float32))[None]
        return processor(), SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)

    def test_instances_compete_with_the_background(self, post, refiner):
        processor, outputs = post
        [given] = processor.post_process_instance_segmentation(outputs, 0.6, target_sizes=[SIZE])
        labels = given["segmentation"].clone()
        assert set(labels.unique().tolist()) == {-1, 0, 1}
        out = refine(IMAGE, given, refiner)
        assert out["segments_info"] == given["segments_info"]
        assert out["segmentation"].dtype == labels.dtype
        expected = refiner.refine_labels(IMAGE, labels.numpy().astype(int), ignore=())
        np.testing.assert_array_equal(out["segmentation"], expected)
        assert ((out["segmentation"] == -1) != (labels == -1)).any()
        assert torch.equal(given["segmentation"], labels)

    def test_void_of_panoptic_maps_stays(self, post, refiner):
        processor, outputs = post
        [given] = processor.post_process_panoptic_segmentation(outputs, label_ids_to_fuse=set(), target_sizes=[SIZE])
        assert set(given["segmentation"].unique().tolist()) == {0, 1, 2}
        out = refine(IMAGE, given, refiner)
        expected = refiner.refine_labels(IMAGE, given["segmentation"], ignore=0)
        assert torch.equal(out["segmentation"], expected)
        assert torch.equal(out["segmentation"] == 0, given["segmentation"] == 0)
        assert not torch.equal(out["segmentation"], given["segmentation"])

    def test_binary_maps(self, post, refiner):
        processor, outputs = post
        [given] = processor.post_process_instance_segmentation(
            outputs, 0.6, target_sizes=[SIZE], return_binary_maps=True
        )
        out = refine(IMAGE, given, refiner)
        assert torch.equal(out["segmentation"], refiner.refine_masks(IMAGE, given["segmentation"]))

    def test_run_lengths_are_refused(self, post, refiner):
        processor, outputs = post
        how = {"threshold": 0.6, "target_sizes": [SIZE], "return_coco_annotation": True}
        [given] = processor.post_process_instance_segmentation(outputs, **how)
        with pytest.raises(BprError, match="leave return_coco_annotation out"):
            refine(IMAGE, given, refiner)

    def test_nothing_detected(self, post, refiner):
        processor, outputs = post
        [given] = processor.post_process_instance_segmentation(outputs, threshold=2, target_sizes=[SIZE])
        assert torch.equal(refine(IMAGE, given, refiner)["segmentation"], given["segmentation"])
        assert refine(IMAGE, {"segmentation": None, "segments_info": []}, refiner)["segmentation"] is None

    def test_semantic_maps_go_to_refine_labels(self, post, refiner):
        processor, outputs = post
        [labels] = processor.post_process_semantic_segmentation(outputs, target_sizes=[SIZE])
        assert refiner.refine_labels(IMAGE, labels).dtype == labels.dtype
        with pytest.raises(BprError, match=r"detections is a tensor of shape \(40, 52\).*; expected supervision"):
            refine(IMAGE, labels, refiner)


class TestTorchvision:
    @pytest.mark.parametrize("image", [IMAGE, torch.from_numpy(IMAGE).permute(2, 0, 1) / 255])
    def test_probabilities_stay_soft(self, refiner, masks, boxes, image):
        given = {
            "boxes": torch.from_numpy(BOXES),
            "labels": torch.tensor([3, 1, 2]),
            "scores": torch.tensor([0.9, 0.8, 0.7]),
            "masks": torch.from_numpy(np.where(MASKS, 0.8, 0.1).astype(np.float32))[:, None],
        }
        out = refine(image, given, refiner)
        assert out["masks"].shape == given["masks"].shape
        assert len(out["masks"].unique()) > 10
        np.testing.assert_array_equal(out["masks"][:, 0] > 0.5, masks)
        np.testing.assert_array_equal(out["boxes"], boxes)
        assert out["labels"] is given["labels"]

    def test_the_outputs_of_its_mask_r_cnn(self, refiner):
        """An untrained network, whose detections are all taken."""
        detection = pytest.importorskip("torchvision").models.detection
        torch.manual_seed(0)
        network = detection.maskrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, box_score_thresh=0, box_detections_per_img=3, min_size=64, max_size=64
        ).eval()
        with torch.no_grad():
            [given] = network([torch.from_numpy(IMAGE).permute(2, 0, 1) / 255])
        assert given["masks"].shape == (3, 1, *SIZE)
        out = refine(IMAGE, given, refiner)
        expected = refiner.refine_masks(IMAGE, given["masks"], kind="probabilities", soft=True)
        assert torch.equal(out["masks"], expected)

    def test_nothing_detected(self, refiner):
        given = {"boxes": torch.zeros(0, 4), "masks": torch.zeros(0, 1, *SIZE)}
        assert refine(IMAGE, given, refiner)["masks"].shape == (0, 1, *SIZE)


class Instances:
    """Written from the documentation of detectron2's class of this name: what its users call."""

    def __init__(self, image_size, **fields):
        self._image_size, self._fields = image_size, {}
        for name, value in fields.items():
            self.set(name, value)

    @property
    def image_size(self):
        return self._image_size

    def __getattr__(self, name):
        if name.startswith("_") or name not in self._fields:
            raise AttributeError(name)
        return self._fields[name]

    def set(self, name, value):
        assert not self._fields or len(value) == len(self)
        self._fields[name] = value

    def get_fields(self):
        return self._fields

    def __len__(self):
        return len(next(iter(self._fields.values())))


class Tensors:
    """What ``Boxes`` and ``BitMasks`` have in common."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __len__(self):
        return len(self.tensor)


class TestDetectron:
    @pytest.mark.parametrize("wrap", [torch.from_numpy, lambda masks: Tensors(torch.from_numpy(masks))])
    def test_masks_and_boxes_change_and_all_else_stays(self, refiner, masks, boxes, wrap):
        scores = torch.tensor([0.9, 0.8, 0.7])
        given = Instances(SIZE, pred_boxes=Tensors(torch.from_numpy(BOXES)), pred_masks=wrap(MASKS), scores=scores)
        out = refine(IMAGE, given, refiner)
        assert type(out.pred_masks) is type(given.pred_masks)
        np.testing.assert_array_equal(getattr(out.pred_masks, "tensor", out.pred_masks), masks)
        np.testing.assert_array_equal(out.pred_boxes.tensor, boxes)
        np.testing.assert_array_equal(given.pred_boxes.tensor, BOXES)
        assert out.scores is scores
        assert out.image_size == SIZE

    def test_boxes_without_masks_are_refused(self, refiner):
        with pytest.raises(BprError, match="holds 3 boxes without masks"):
            refine(IMAGE, Instances(SIZE, pred_boxes=Tensors(torch.from_numpy(BOXES))), refiner)


@pytest.mark.parametrize("wrong", [None, {}, {"boxes": BOXES}, MASKS, "results.json"])
def test_other_objects_are_refused(refiner, wrong):
    with pytest.raises(BprError, match=r"^detections is .*; expected supervision.Detections, ultralytics Results"):
        refine(IMAGE, wrong, refiner)


@pytest.mark.parametrize("several", [[], [{"masks": torch.zeros(0, 1, *SIZE)}], ({"segments_info": []},)])
def test_detections_of_several_images_are_refused(refiner, several):
    with pytest.raises(BprError, match=f"detections is a list of {len(several)}; expected those of one image"):
        refine(IMAGE, several, refiner)


def test_without_a_refiner_the_default_one_is_loaded_once(monkeypatch, refiner):
    made = []
    module.default_refiner.cache_clear()
    monkeypatch.setattr(module, "Refiner", lambda: made.append(1) or refiner)
    given = {"boxes": torch.zeros(0, 4), "masks": torch.zeros(0, 1, *SIZE)}
    refine(IMAGE, given)
    refine(IMAGE, given)
    assert made == [1]
    module.default_refiner.cache_clear()
