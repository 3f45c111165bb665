"""``bpr`` with networks that train in milliseconds, for tests that need a process."""

from bpr_cli.cli.main import main
from bpr_cli.networks.registry import NETWORKS
from tests.training.trainers import Tiny, TinyNorm

NETWORKS.update({"tiny": Tiny, "tiny-norm": TinyNorm})

if __name__ == "__main__":
    main()
