from dataclasses import replace

import pytest

from bpr_cli.errors import BprError
from bpr_cli.refinement.settings import PassSettings, RefineSettings, passes_of
from bpr_cli.weights.card import WeightsCard

CARD = WeightsCard("small", "fake", patch_size=32, padding=16, input_size=128, scales=(4.0, 1.0))


@pytest.mark.parametrize("threshold", [0, 0.25, 0.55, 0.999])
def test_thresholds_in_range(threshold):
    assert RefineSettings(nms_threshold=threshold).nms_threshold == threshold


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("nms_threshold", -0.1),
        ("nms_threshold", 1),
        ("nms_threshold", float("nan")),
        ("scheme", "all"),
        ("scales", ()),
        ("scales", (1.0, 0.1)),
        ("core", -0.1),
        ("core", 1.1),
        ("core", float("nan")),
        ("precision", "float64"),
        ("max_area_change", -0.1),
        ("max_area_change", float("nan")),
        ("max_area_change", float("inf")),
        ("min_iou_with_coarse", -0.1),
        ("min_iou_with_coarse", 1.1),
        ("min_iou_with_coarse", float("nan")),
        ("batch_size", 0),
        ("workers", 0),
        ("workers", -1),
    ],
)
def test_values_out_of_range_are_named(setting, value):
    with pytest.raises(BprError, match=f"{setting} is .*expected"):
        RefineSettings(**{setting: value})


def test_passes_are_those_of_the_weights():
    assert passes_of(CARD, RefineSettings(nms_threshold=0.4)) == (
        PassSettings(
            patch_size=128, min_patch_size=128, padding=64, input_size=128, nms_threshold=0.4, preliminary=True
        ),
        PassSettings(
            patch_size=32, min_patch_size=32, padding=16, input_size=128, nms_threshold=0.4, preliminary=False
        ),
    )


def test_patches_of_small_masks_shrink_in_every_pass():
    far, near = passes_of(replace(CARD, min_patch_size=16), RefineSettings(scales=(2.0, 1.0)))
    assert (far.min_patch_size, far.patch_size, near.min_patch_size, near.patch_size) == (32, 64, 16, 32)
    assert [near.side_along(side**2, side) for side in (0, 1, 32, 34, 50, 64, 66, 1000)] == [
        16,
        16,
        16,
        17,
        25,
        32,
        32,
        32,
    ]
    (plain,) = passes_of(CARD, RefineSettings(scales=(1.0,)))
    assert [plain.side_along(area, 1) for area in (0, 1, 10**6)] == [32, 32, 32]


def test_large_masks_get_a_pass_of_their_own_unless_scales_are_given():
    card = replace(CARD, scales=(1.0,), rim=4, follow=True, view=256)
    large, near = passes_of(card, RefineSettings())
    assert (large.view, large.preliminary, near.view, near.preliminary) == (256, True, None, False)
    assert (large.side_along(10**6, 1024), near.side_along(10**6, 1024)) == (128, 32)
    assert (large.rim, large.follow, near.rim, near.follow) == (4, True, 4, True)
    (double,) = passes_of(card, RefineSettings(scales=(2.0,)))
    assert (double.view, double.rim, double.follow) == (None, 8, True)
    (grid,) = passes_of(card, RefineSettings(scheme="grid"))
    assert (grid.view, grid.follow) == (None, False)


def test_the_overlap_is_that_of_the_weights_unless_it_is_given():
    (own,) = passes_of(replace(CARD, scales=(1.0,), nms_threshold=0.05), RefineSettings())
    (given,) = passes_of(replace(CARD, scales=(1.0,), nms_threshold=0.05), RefineSettings(nms_threshold=0))
    assert (own.nms_threshold, given.nms_threshold) == (0.05, 0)


def test_settings_overrule_the_weights():
    (only,) = passes_of(CARD, RefineSettings(scales=(0.5,), scheme="grid"))
    assert only == PassSettings(16, 16, padding=8, input_size=128, nms_threshold=0.25, scheme="grid", preliminary=False)
