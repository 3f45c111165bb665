"""A short run of the fuzzer over every reader; ``run.py`` runs it for as long as is wanted."""

import pytest

from tests.fuzz.fuzzing import Fuzzer, Reader
from tests.fuzz.readers import READERS

EXECUTIONS = 8


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_mutated_files_are_answered_with_a_sentence(reader: Reader, tmp_path):
    fuzzer = Fuzzer(reader, seed=1, folder=tmp_path)
    fuzzer.check_valid()
    for _ in range(EXECUTIONS):
        finding = fuzzer.step()
        assert finding is None, f"{finding.what}\n{finding.details}"
