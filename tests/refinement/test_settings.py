import pytest

from bpr_cli.errors import BprError
from bpr_cli.refinement.settings import RefineSettings


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
