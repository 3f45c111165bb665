"""Streams: calls in threads that compute alone, and the same results from any number of them."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from bpr_cli.inference.predictor import CPU_PASS, Predictor
from bpr_cli.inference.settings import InferenceSettings
from bpr_cli.inference.streams import Streams
from bpr_cli.weights.files import load_weights
from tests.inference.engines import loaded, random_patches, untrained_network


@pytest.fixture
def threads():
    """Set PyTorch's number of threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_results_do_not_depend_on_the_number_of_threads(threads):
    weights = load_weights("fast")
    patches = random_patches(3 * CPU_PASS + 1, weights.card.input_size)
    results = []
    for count in (1, 2, 4):
        threads(count)
        predictor = Predictor(weights, InferenceSettings(device="cpu", backend="pytorch", batch_size=1))
        assert predictor.batch_size == count * CPU_PASS
        results.append(predictor.predict(patches).tobytes())
        assert torch.get_num_threads() == count
    assert results[0] == results[1] == results[2]


def test_a_number_of_threads_that_changes_later_changes_nothing(threads):
    weights, patches = loaded(untrained_network("unet-s"), patch_size=16, padding=8), random_patches(20)
    threads(1)
    predictor = Predictor(weights, InferenceSettings(weights="unused", device="cpu", backend="pytorch"))
    expected = predictor.predict(patches).tobytes()
    threads(4)
    assert predictor.predict(patches).tobytes() == expected


def test_calls_run_at_the_same_time_in_threads_that_compute_alone(threads):
    threads(3)
    together = threading.Barrier(3, timeout=30)

    def look(number: int) -> tuple[int, int]:
        together.wait()
        torch.rand(2000, 2000).sum()  # an operation that would be split
        return number, torch.get_num_threads()

    assert list(Streams(3).map(look, range(6))) == [(number, 1) for number in range(6)]
    assert torch.get_num_threads() == 3
    with ThreadPoolExecutor(1) as new:
        assert new.submit(torch.get_num_threads).result() == 3


def test_streams_that_start_together_leave_the_number_of_threads_alone(threads):
    threads(5)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: list(Streams(2).map(lambda _: torch.get_num_threads(), range(4))), range(40)):
            assert found == [1] * 4
    with ThreadPoolExecutor(1) as new:
        assert new.submit(torch.get_num_threads).result() == 5


def test_an_error_comes_after_the_results_before_it():
    def fail_at_three(number: int) -> int:
        if number == 3:
            raise RuntimeError("broken")
        return number

    results = Streams(2).map(fail_at_three, range(100))
    assert [next(results), next(results), next(results)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="broken"):
        next(results)


def test_no_thread_is_left_behind():
    before, streams = set(threading.enumerate()), Streams(3)
    assert list(streams.map(abs, [-1, 2, -3, 4])) == [1, 2, 3, 4]
    assert set(threading.enumerate()) <= before
    with pytest.raises(ZeroDivisionError):
        list(streams.map(lambda number: 1 // number, [1, 0, 1]))
    assert set(threading.enumerate()) <= before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_computes_too():
    weights, patches = loaded(untrained_network("unet-s"), patch_size=16, padding=8), random_patches(20)
    predictor = Predictor(weights, InferenceSettings(weights="unused", device="cpu", backend="pytorch"))
    expected = predictor.predict(patches)
    child = os.fork()
    if not child:
        os._exit(0 if np.array_equal(predictor.predict(patches), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
