from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from bpr_cli.demo import portrait, shapes
from bpr_cli.demo.scenes import CATEGORIES, MEADOW, SIZE, expose, make_scene
from bpr_cli.demo.textures import colourise, noise, photo_detail
from bpr_cli.evaluation.boundary import boundary_f, boundary_map, iou


def edge_strength(image):
    """Step between neighbouring pixels after slight smoothing, the largest over the channels: (H, W)."""
    soft = cv2.GaussianBlur(image, (0, 0), 1.0).astype(np.float32)
    dy, dx = np.gradient(soft, axis=(0, 1))
    return np.hypot(dx, dy).max(axis=2)


def test_scenes_are_the_same_for_the_same_seed(photo):
    first, second, other = (make_scene("meadow", MEADOW, photo, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.segment_ids, second.segment_ids)
    assert not np.array_equal(first.segment_ids, other.segment_ids)


def test_scenes_hold_every_category_and_several_things(demo):
    labels = np.concatenate([np.unique(case.true_labels) for case in demo.cases])
    assert set(labels) == {category.id for category in CATEGORIES}
    for case in demo.cases:
        assert case.image.shape == (*SIZE, 3)
        assert case.image.dtype == np.uint8
        assert len(case.true_instances) >= 5
        assert all(mask.sum() > 1500 for mask in case.true_instances)
        assert np.sum(case.true_instances, axis=0).max() == 1  # visible parts only


def test_true_boundaries_are_visible_in_the_picture(demo):
    for case in demo.cases:
        strength = edge_strength(case.image)
        for mask in case.true_instances:
            around = cv2.dilate(mask.astype(np.uint8), np.ones((31, 31))) > 0
            assert strength[boundary_map(mask)].mean() > 1.5 * np.median(strength[around])


def test_coverage_is_the_area_inside_a_pixel():
    canvas = shapes.blank((4, 6))
    shapes.fill_polygon(canvas, [(1.5, 1), (4.25, 1), (4.25, 3), (1.5, 3)])
    covered = shapes.coverage(canvas)
    assert covered.shape == (4, 6)
    assert covered[1:3].sum(axis=1) == pytest.approx([2.75, 2.75], abs=0.26)
    assert np.all(covered[[0, 3]] <= 0.25)


def test_majority_gives_a_pixel_to_what_covers_most_of_it():
    ids = np.zeros((4, 8), dtype=np.uint8)
    ids[:, 1:4] = 2
    ids[0, 4:] = 1
    assert shapes.majority(ids, 3).tolist() == [[2, 0]]


def test_textures_have_the_promised_statistics(photo):
    rng = np.random.default_rng(0)
    for pattern in (noise((60, 90), rng), noise((61, 91), rng, 2.0, (3, 1)), photo_detail(photo, (60, 90), rng)):
        assert pattern.dtype == np.float32
        assert abs(pattern.mean()) < 1e-3
        assert pattern.std() == pytest.approx(1, abs=1e-3)
    ramp = colourise(np.array([[-2.0, 0.0, 2.0]]), ((0, 0, 0), (100, 50, 0), (200, 200, 200)))
    assert ramp[0].tolist() == [[0, 0, 0], [100, 50, 0], [200, 200, 200]]


def test_exposure_adds_noise_and_stays_in_range():
    image = expose(np.full((40, 50, 3), 250, np.float32), np.random.default_rng(0))
    assert image.dtype == np.uint8
    assert 1 < image[15:25, 20:30].std() < 6


def test_the_portrait_masks_differ_as_a_hurried_one_from_a_careful_one(photo):
    coarse, careful = portrait.coarse_mask(), portrait.careful_mask()
    assert photo.shape == (*portrait.SIZE, 3)
    assert coarse.shape == careful.shape == portrait.SIZE
    assert 0.95 < iou(coarse, careful) < 0.985
    assert boundary_f(coarse, careful) < 0.3
    assert boundary_f(coarse, careful, tolerance=10) > 0.95


def test_the_careful_portrait_mask_follows_the_edges_of_the_photograph(photo):
    strength = edge_strength(photo)
    coarse, careful = (
        strength[boundary_map(mask)].mean() for mask in (portrait.coarse_mask(), portrait.careful_mask())
    )
    assert careful > 1.5 * coarse


def test_importing_the_demo_is_light():
    code = (
        "import sys, bpr_cli.demo.dataset, bpr_cli.demo.pictures; "
        "print([m for m in ('torch', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
