"""Shards: equal parts of a job, each done by a process of its own, on any machine that sees the same files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bpr_cli.errors import BprError

Given = TypeVar("Given")

MOST = 2**20
"""Most shards of one job."""

_EXPECTED = "expected I/N such as 2/8, slurm, slurm/N or job-index/N"


@dataclass(frozen=True, order=True)
class Shard:
    """One of ``count`` shards of a job.

    Attributes:
        number: from 1 to ``count``.
        count: number of shards.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def items(self, every: Sequence[Given]) -> Sequence[Given]:
        """The items of this shard: every ``count``-th one, so that neighbours, which are alike, are spread.

        >>> Shard(2, 3).items("abcdefgh")
        'beh'
        """
        return every[self.number - 1 :: self.count]

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] = os.environ) -> Shard:
        """Read the shard of this process.

        >>> Shard.parse("2/8")
        Shard(number=2, count=8)
        >>> Shard.parse("job-index/8", {"JOB_COMPLETION_INDEX": "0"})
        Shard(number=1, count=8)

        Args:
            text: ``I/N``; or ``slurm`` for a task of a Slurm array, whose number counts from the first one. With a
                number of shards, ``slurm/N`` takes the number of the task as it is, also for a part of the array, and
                ``job-index/N`` is for an indexed job of Kubernetes, whose index starts at 0.
            environment: environment variables, in which a scheduler names the task.

        Raises:
            BprError: the text is none of these, or the environment does not fit it.
        """
        who, slash, count = text.partition("/")
        if slash and not re.fullmatch(r"\d{1,7}", count):
            raise BprError(f"--shard is {text!r}; {_EXPECTED}")
        if text == "slurm":
            return _in_array(environment)
        if text == "job-index":
            raise BprError("--shard is job-index, but Kubernetes does not tell a pod the number of pods; give "
                           "--shard job-index/N with the completions of the job")  # fmt: skip
        if who == "slurm":
            return _checked(text, _variable(environment, "SLURM_ARRAY_TASK_ID", text), int(count))
        if who == "job-index":
            return _checked(text, _variable(environment, "JOB_COMPLETION_INDEX", text) + 1, int(count))
        if not slash or not re.fullmatch(r"\d{1,7}", who):
            raise BprError(f"--shard is {text!r}; {_EXPECTED}")
        return _checked(text, int(who), int(count))


def _checked(text: str, number: int, count: int) -> Shard:
    """A shard whose number lies within the count."""
    if not 1 <= number <= count <= MOST:
        raise BprError(
            f"--shard is {text!r}, which is shard {number} of {count}; expected a number from 1 to the number of "
            f"shards, which is at most {MOST:,}"
        )
    return Shard(number, count)


def _in_array(environment: Mapping[str, str]) -> Shard:
    """The shard of a task of a whole Slurm array.

    Raises:
        BprError: there is no array, or its tasks are no regular range, as those of an array for what was missing.
    """
    names = ("ID", "MIN", "MAX", "COUNT")
    task, first, last, count = (_variable(environment, f"SLURM_ARRAY_TASK_{name}", "slurm") for name in names)
    has_step = bool(environment.get("SLURM_ARRAY_TASK_STEP"))
    step = _variable(environment, "SLURM_ARRAY_TASK_STEP", "slurm") if has_step else 1
    if step < 1 or (last - first) // step + 1 != count:
        raise BprError(
            f"--shard is slurm, but the array holds {count} tasks between {first} and {last}, so it is a part of one; "
            "give --shard slurm/N with the number of shards"
        )
    return _checked("slurm", (task - first) // step + 1, count)


def _variable(environment: Mapping[str, str], name: str, text: str) -> int:
    """A whole number in the environment."""
    value = environment.get(name, "")
    if not re.fullmatch(r"\d{1,9}", value):
        found = f"is {value!r}" if value else "is not set"
        raise BprError(f"--shard is {text}, but the environment variable {name} {found}; give --shard I/N")
    return int(value)
