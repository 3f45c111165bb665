"""Speed of the network on this CPU for each backend and precision, compared with plain PyTorch.

    python tests/benchmarks/network.py [DATA] [--weights NAME] [--rounds N] [--busy]

The reference is the network in eager float32, channels first, with separate batch norms, on the same patches in passes
of the same size. All run alternately, and the best of some rounds counts. DATA is not needed, because patches are
generated. Results are compared by the largest difference of a probability, in units of 1/255.

With ``--busy``, a program that never rests runs beside them on every core, and only PyTorch with one thread a pass (as
bpr uses it) is compared with PyTorch that splits every operation between its threads.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from end_to_end import best
from numpy.typing import NDArray
from rows import Row, show

from bpr_cli.inference.backends import openvino_precisions
from bpr_cli.inference.patch_model import PatchModel
from bpr_cli.inference.predictor import CPU_PASS, Predictor
from bpr_cli.inference.settings import InferenceSettings
from bpr_cli.patches.crop import Patches
from bpr_cli.weights.files import load_weights

ASKED = 3.0
"""Times as fast as PyTorch as it comes."""

PATCHES = 8 * CPU_PASS

Predict = Callable[[Patches], NDArray[np.uint8]]


def network_rows(_: Path | None = None, weights: str = "fast", rounds: int = 5) -> list[Row]:
    """Milliseconds a patch of every backend and precision that is there, beside PyTorch as it comes."""
    patches = smooth_patches(load_weights(weights).card.input_size)
    plain = as_it_comes(weights)
    others = {f"{name}, {precision}": predict_with(weights, name, precision) for name, precision in offered()}
    expected = plain(patches).astype(int)
    worst = {name: int(np.abs(predict(patches) - expected).max()) for name, predict in others.items()}
    taken = fastest({"plain": plain, **others}, patches, rounds)
    return [
        Row(
            f"{name}, a patch (probabilities within {worst[name]}/255)",
            taken[name],
            "eager float32, channels first",
            taken["plain"],
            "ms",
            f"1/{ASKED:g}",
            taken["plain"] >= ASKED * taken[name],
        )
        for name in others
    ]


def busy_rows(weights: str = "fast", rounds: int = 2) -> list[Row]:
    """The time and the CPU time of a patch where other programs want all cores."""
    threads = torch.get_num_threads()
    patches = smooth_patches(load_weights(weights).card.input_size, threads * CPU_PASS)
    predictor = Predictor(load_weights(weights), InferenceSettings(weights=weights, device="cpu", backend="pytorch"))

    def split() -> NDArray[np.uint8]:
        starts = range(0, len(patches), CPU_PASS)
        return np.concatenate([predictor.backend(*(part[s : s + CPU_PASS] for part in parts(patches))) for s in starts])

    assert np.abs(predictor.predict(patches).astype(int) - split()).max() <= 1
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        ours, theirs = best([lambda: predictor.predict(patches), split], rounds)
    finally:
        for other in others:
            other.kill()
    ours, theirs = (tuple(1000 * seconds / len(patches) for seconds in each) for each in (ours, theirs))
    what, beside = "pytorch beside busy programs, a patch", f"operations split between {threads} threads"
    return [Row(what, ours[0], beside, theirs[0], "ms"), Row(f"{what}, CPU", ours[1], beside, theirs[1], "ms")]


def offered() -> list[tuple[str, str]]:
    """Backends with the precisions they have on this CPU."""
    pytorch = [("pytorch", precision) for precision in ("float32", "bfloat16")]
    return [*pytorch, *(("openvino", precision) for precision in openvino_precisions())]


def predict_with(weights: str, backend: str, precision: str) -> Predict:
    settings = InferenceSettings(weights=weights, device="cpu", backend=backend, precision=precision)  # type: ignore[arg-type]
    return Predictor(load_weights(weights), settings).predict


def as_it_comes(weights: str) -> Predict:
    """The network in passes of the same size, without anything that makes it faster."""
    loaded = load_weights(weights)
    network = loaded.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    model = ChannelsFirst(network, loaded.card, flip=loaded.card.flip).eval()
    model.margin = 0

    @torch.inference_mode()
    def predict(patches: Patches) -> NDArray[np.uint8]:
        starts = range(0, len(patches), CPU_PASS)
        passes = [[torch.from_numpy(part[s : s + CPU_PASS]) for part in parts(patches)] for s in starts]
        return np.concatenate([model(*part).numpy() for part in passes])

    return predict


def parts(patches: Patches) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return patches.image, patches.mask


class ChannelsFirst(PatchModel):
    def network_input(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return super().network_input(image, mask).contiguous(memory_format=torch.contiguous_format)


def smooth_patches(side: int, count: int = PATCHES) -> Patches:
    """Patches that are as smooth as photographs and masks are, so that probabilities are not all alike."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (count, 12, 12, 4)).astype(np.uint8)
    large = np.stack([cv2.resize(each, (side, side), interpolation=cv2.INTER_CUBIC) for each in coarse])
    return Patches(np.ascontiguousarray(large[..., :3]), (large[..., 3] > 127).astype(np.uint8))


def fastest(predictors: dict[str, Predict], patches: Patches, rounds: int) -> dict[str, float]:
    """Milliseconds a patch, the best of some rounds in which all take turns."""
    best = dict.fromkeys(predictors, float("inf"))
    for _ in range(rounds):
        for name, predict in predictors.items():
            began = time.perf_counter()
            predict(patches)
            best[name] = min(best[name], 1000 * (time.perf_counter() - began) / len(patches))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--weights", default="fast")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", action="store_true")
    arguments = parser.parse_args()
    if arguments.busy:
        show("PyTorch on a busy CPU", busy_rows(arguments.weights))
        return
    show("the network on the CPU", network_rows(arguments.data, arguments.weights, arguments.rounds))


if __name__ == "__main__":
    main()
