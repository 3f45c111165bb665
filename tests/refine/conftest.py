from pathlib import Path

import pytest
from engines import CARDS, undecided_network

from bpr_cli.networks.weights import save_weights
from bpr_cli.refine.refiner import Refiner
from bpr_cli.refine.settings import RefineSettings


@pytest.fixture(scope="session")
def weights_of(tmp_path_factory):
    """Weights files by the name of their network, made once."""
    folder = tmp_path_factory.mktemp("weights")

    def path_of(name: str) -> Path:
        path = folder / f"{name}.safetensors"
        if not path.exists():
            save_weights(path, undecided_network(name), CARDS[name])
        return path

    return path_of


@pytest.fixture(scope="session")
def make_refiner(weights_of):
    def make(network: str = "unet-s", **settings) -> Refiner:
        return Refiner(RefineSettings(weights=str(weights_of(network)), device="cpu", **settings))

    return make


@pytest.fixture(scope="session")
def refiner(make_refiner) -> Refiner:
    return make_refiner()
