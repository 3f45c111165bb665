"""Which shard a process works on, and what is in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.system.shards import Shard


def array(task: int, first: int, last: int, step: int = 1, count: int | None = None) -> dict[str, str]:
    """What Slurm tells a task of ``--array=FIRST-LAST:STEP``."""
    numbers = range(first, last + 1, step)
    return {
        "SLURM_ARRAY_TASK_ID": f"{task}",
        "SLURM_ARRAY_TASK_MIN": f"{first}",
        "SLURM_ARRAY_TASK_MAX": f"{numbers[-1]}",
        "SLURM_ARRAY_TASK_STEP": f"{step}",
        "SLURM_ARRAY_TASK_COUNT": f"{len(numbers) if count is None else count}",
    }


@given(st.integers(0, 200), st.integers(1, 60))
def test_every_item_is_in_one_shard_and_shards_are_equal(items, count):
    shards = [Shard(number, count).items(range(items)) for number in range(1, count + 1)]
    assert sorted(item for shard in shards for item in shard) == list(range(items))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("1/1", {}, Shard(1, 1)),
        ("3/8", {}, Shard(3, 8)),
        ("slurm", array(0, 0, 7), Shard(1, 8)),
        ("slurm", array(8, 1, 8), Shard(8, 8)),
        ("slurm", array(20, 10, 30, 10), Shard(2, 3)),
        ("slurm/8", array(3, 3, 7, count=2), Shard(3, 8)),
        ("job-index/5", {"JOB_COMPLETION_INDEX": "4"}, Shard(5, 5)),
    ],
)
def test_how_a_shard_is_given(text, environment, expected):
    assert Shard.parse(text, environment) == expected
    assert Shard.parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "environment", "said"),
    [
        ("0/8", {}, "which is shard 0 of 8; expected a number from 1 to the number of shards"),
        ("9/8", {}, "which is shard 9 of 8"),
        ("1/0", {}, "which is shard 1 of 0"),
        ("2", {}, "--shard is '2'; expected I/N such as 2/8, slurm, slurm/N or job-index/N"),
        ("a/8", {}, "--shard is 'a/8'; expected I/N"),
        ("2/b", {}, "--shard is '2/b'; expected I/N"),
        ("-1/8", {}, "--shard is '-1/8'; expected I/N"),
        ("slurm", {}, "the environment variable SLURM_ARRAY_TASK_ID is not set; give --shard I/N"),
        ("slurm", array(3, 3, 7, count=2), "it is a part of one; give --shard slurm/N with the number of shards"),
        ("slurm", array(1, 1, 8) | {"SLURM_ARRAY_TASK_STEP": "0"}, "it is a part of one; give --shard slurm/N with"),
        ("slurm", array(1, 1, 8) | {"SLURM_ARRAY_TASK_STEP": "x"}, "SLURM_ARRAY_TASK_STEP is 'x'; give --shard I/N"),
        ("", {}, "--shard is ''; expected I/N"),
        ("slurm/8", array(0, 0, 7), "which is shard 0 of 8"),
        ("job-index", {"JOB_COMPLETION_INDEX": "0"}, "give --shard job-index/N with the completions of the job"),
        ("job-index/2", {"JOB_COMPLETION_INDEX": "x"}, "JOB_COMPLETION_INDEX is 'x'"),
    ],
)
def test_what_is_no_shard_is_refused(text, environment, said):
    with pytest.raises(BprError) as refusal:
        Shard.parse(text, environment)
    assert said in str(refusal.value)
