from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.formats.base import Item
from bpr_cli.masks.masks import Mask
from bpr_cli.refinement.batches import Job, fill_batches
from bpr_cli.refinement.image import CutImage, Origin, Segment
from bpr_cli.refinement.passes import Pass

ROUND = Pass(patch_size=1, min_patch_size=1, padding=0, input_size=1, nms_threshold=0.25)


def jobs_of(counts: list[int]) -> list[Job]:
    """Jobs whose patches are single pixels, numbered through in the images' values."""
    ends = np.cumsum([0, *counts])
    jobs = []
    for index, count in enumerate(counts):
        numbers = np.arange(ends[index], ends[index + 1], dtype=np.uint8).reshape(1, -1, 1)
        x = np.arange(count)
        boxes = np.stack([x, x * 0, x + 1, x * 0 + 1], axis=1)
        segment = Segment(Mask.from_array(np.ones((1, max(count, 1)))), boxes, 0.0)
        cut_image = CutImage(np.repeat(numbers, 3, axis=2), Origin((), 0.0, count), (), (segment,), (), ROUND)
        jobs.append(Job(Item(str(index), Path(f"{index}.png")), cut_image))
    return jobs


@given(st.lists(st.integers(1, 12), max_size=12), st.integers(1, 16))
def test_batches_are_full_and_hold_all_patches_in_order(counts, batch_size):
    batches = list(fill_batches(jobs_of(counts), batch_size))
    patches = [batch.cut() for batch in batches]
    sizes = [len(each) for each in patches]
    assert sizes[:-1] == [batch_size] * len(sizes[:-1])
    assert all(0 < size <= batch_size for size in sizes)
    assert [number for each in patches for number in each.image[..., 0].ravel().tolist()] == list(range(sum(counts)))
    assert all(each.mask.all() for each in patches)


@given(st.lists(st.integers(1, 12), max_size=12), st.integers(1, 16))
def test_every_job_gets_its_own_decisions_back_and_is_done_once(counts, batch_size):
    jobs = jobs_of(counts)
    finished = []
    for batch in fill_batches(jobs, batch_size):
        assert not any(share.job.done for share in batch.shares)
        finished += batch.hand_back(batch.cut().image[..., 0])
    assert [job.item.name for job in finished] == [job.item.name for job in jobs]
    for job in jobs:
        np.testing.assert_array_equal(np.concatenate(job.parts), job.cut_image.patches.image[..., 0])


def test_a_job_without_patches_waits_for_no_batch():
    jobs = jobs_of([2, 0, 0, 1])
    first, second, batch = fill_batches(jobs, 4)
    assert first is jobs[1]
    assert second is jobs[2]
    assert [share.job.item.name for share in batch.shares] == ["0", "3"]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=12), st.integers(1, 16))
def test_jobs_are_taken_only_when_a_batch_needs_them(counts, batch_size):
    taken = []

    def noted():
        for job in jobs_of(counts):
            taken.append(job)
            yield job

    used = 0
    for batch in fill_batches(noted(), batch_size):
        used += len(batch.cut())
        assert len(taken) == int(np.searchsorted(np.cumsum(counts), used)) + 1
