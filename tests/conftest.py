"""Fixtures that tests of several rooms share."""

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The tests run in as many processes as there are cores, and idle threads of OpenMP would spin against them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Seconds on a busy machine say nothing about the code.
settings.register_profile("bpr", deadline=None)
settings.load_profile("bpr")

START_METHOD = "BPR_TEST_START_METHOD"
"""Environment variable with the way in which all tests start workers: ``spawn`` is that of Windows and macOS."""


@pytest.fixture(autouse=True, scope="session")
def no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither use nor change what the user's cache holds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_configure() -> None:
    """Start worker processes in the way that is asked for, and let every process that crashes say where."""
    os.environ.setdefault("PYTHONFAULTHANDLER", "1")
    if os.environ.get(START_METHOD):
        multiprocessing.set_start_method(os.environ[START_METHOD], force=True)


@pytest.fixture(params=["fork", "spawn"])
def start_method(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every way of starting worker processes that a system has as its usual one."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(request.param, force=True)
    yield request.param
    multiprocessing.set_start_method(before, force=True)


@pytest.fixture(scope="session")
def shared_fixtures() -> Path:
    """The folder of reference arrays; a test that asks for it is skipped where the folder is missing."""
    folder = Path(__file__).resolve().parents[1] / "../shared/fixtures"
    if not folder.is_dir():
        pytest.skip("the reference arrays in ../shared/fixtures are not here")
    return folder.resolve()


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small weights file whose network decides at random, but always alike."""
    # PyTorch takes seconds to import, which tests of other rooms need not wait for.
    from bpr_cli.weights.files import save_weights
    from tests.inference.engines import CARDS, untrained_network

    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_weights(path, untrained_network("unet-s"), CARDS["unet-s"])
    return path


@pytest.fixture(scope="session")
def weights_of(tmp_path_factory):
    """Weights files by the name of their network, made once."""
    from bpr_cli.weights.files import save_weights
    from tests.inference.engines import CARDS, untrained_network

    folder = tmp_path_factory.mktemp("weights")

    def path_of(name: str) -> Path:
        path = folder / f"{name}.safetensors"
        if not path.exists():
            save_weights(path, untrained_network(name), CARDS[name])
        return path

    return path_of


@pytest.fixture(scope="session")
def make_refiner(weights_of):
    """Make a refiner of a network that decides at random."""
    from bpr_cli.refinement.refiner import Refiner
    from bpr_cli.refinement.settings import RefineSettings

    def make(network: str = "unet-s", **settings) -> Refiner:
        return Refiner(RefineSettings(weights=str(weights_of(network)), device="cpu", **settings))

    return make


@pytest.fixture(scope="session")
def refiner(make_refiner):
    return make_refiner()
