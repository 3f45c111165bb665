"""A short fuzzing of every target by hypothesis, always the same; ``python -m tests.fuzz`` goes further."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.harness import SEPARATOR, Harness, Sample, Target
from tests.fuzz.targets import TARGETS

EXAMPLES = 8


@st.composite
def damaged(draw: st.DrawFn, valid: Sample) -> bytes:
    """The input with some bytes of one file replaced, inserted or removed."""
    name = draw(st.sampled_from(sorted(valid)))
    data = bytearray(valid[name])
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        removed = draw(st.sampled_from([0, 1, 1, 4, 100, len(data)]))
        data[start : start + removed] = draw(st.binary(max_size=4))
    return SEPARATOR.join({**valid, name: bytes(data)}.values())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_damaged_files_are_read_or_refused_with_a_message(target: Target, tmp_path):
    harness = Harness(target, tmp_path)

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(damaged(harness.valid))
    def check(data: bytes) -> None:
        harness.run(data)

    check()
