"""The tables of COCO instances, held to pycocotools."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from bpr_cli.evaluation.kinds.coco import CocoKind, Instances
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import CategoryRecord
from bpr_cli.truth.pairs import Pair
from tests.evaluation.instance.instance_cases import CATEGORIES, cases, reference

LISTED = tuple(CategoryRecord(category, f"class {category}") for category in CATEGORIES)


def tables_of(case):
    kind = CocoKind(EvaluateSettings(max_detections=case.max_detections), LISTED)
    total = []
    for image, truths in case.truths.items():
        pair = Pair(str(image), image, case.sizes[image], None, None)
        total = kind.add(total, kind.measure(pair, case.predictions[image], Instances(pair.size, truths)).sums)
    return kind.tables(total)


def mean_over(precision):
    defined = precision[precision > -1]
    return defined.mean() if defined.size else float("nan")


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(case=cases())
def test_ap_of_every_class_and_size_equals_pycocotools(case):
    rows = tables_of(case).class_sizes
    measures = {"AP": reference(case), "boundary AP": reference(case, boundary=True)}
    assert [row.name for row in rows] == [category.name for category in LISTED]
    for k, row in enumerate(rows):
        expected = {
            f"{name} {size}": mean_over(evaluator.eval["precision"][:, :, k, a, 0])
            for name, evaluator in measures.items()
            for a, size in enumerate(("small", "medium", "large"), 1)
        }
        assert row.figures == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_nothing_has_no_figure():
    assert np.isnan(
        [list(row.figures.values()) for row in CocoKind(EvaluateSettings(), LISTED).tables([]).class_sizes]
    ).all()
