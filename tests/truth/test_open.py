"""What a map of Cityscapes instance ids says of its segments."""

import numpy as np

from bpr_cli.formats.records import SegmentRecord
from bpr_cli.truth.open import instance_records

ROAD, CAR, PERSON = 7, 26, 24


def test_instances_groups_and_areas_are_told_apart():
    ids = np.array([[26003, 7], [26003, 24], [26000, 26]], dtype=np.int32)
    assert instance_records(ids) == (
        SegmentRecord(ROAD, id=ROAD),
        SegmentRecord(PERSON, crowd=True, id=PERSON),
        SegmentRecord(CAR, crowd=True, id=CAR),
        SegmentRecord(CAR, id=26000),
        SegmentRecord(CAR, id=26003),
    )
