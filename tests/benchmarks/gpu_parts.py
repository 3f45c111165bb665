"""The parts of ``gpu.py``: each compares ways of running the network on a GPU, or of feeding it.

A part imports bpr only when it runs, after ``stand_ins.py`` has replaced what is missing.
"""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.connection import Connection
from typing import Any

import cv2
import numpy as np
import torch
from gpu_frames import Frame, frames
from stand_ins import stand_in
from torch import Tensor, nn

Way = Callable[[], int]
"""Does some work on the GPU, waits for it, and returns how many things it has done."""

ROUNDS = 3


@dataclass(frozen=True)
class Measured:
    """Two rates, or two other amounts, measured in one run."""

    what: str
    ours: float
    beside: str
    theirs: float
    unit: str

    def line(self) -> str:
        ratio = f"{self.ours / self.theirs:6.2f} times" if self.theirs else ""
        return f"  {self.what:<48}{self.ours:10.4g} {self.unit:<12}{self.theirs:10.4g}  {self.beside:<36}{ratio}"


@dataclass(frozen=True)
class Amounts:
    """How much is measured.

    Attributes:
        seconds: for every way of a comparison.
        passes: sizes of passes in patches.
        images: frames in a call of ``Refiner.refine_batch``.
        masks: masks of a frame.
        processes: numbers of processes.
        precisions: of the network, the usual one first.
    """

    seconds: float = 1.2
    passes: tuple[int, ...] = (64, 256, 1024)
    images: int = 8
    masks: int = 12
    processes: tuple[int, ...] = (1, 2, 4, 8)
    precisions: tuple[str, ...] = ("float32", "bfloat16", "float16")

    @classmethod
    def small(cls) -> Amounts:
        """For a CPU."""
        return cls(0.1, (2,), 1, 1, (1, 2), ("float32", "bfloat16"))


def precision(device: str, amounts: Amounts) -> Iterator[Measured]:
    """The network alone, with its input on the device: types, batch norms by themselves, and algorithms by trial."""
    first = amounts.precisions[0]
    for size in amounts.passes:
        given = on(device, *noise(size))
        plain = calls(model_of(device, first), given)
        others = {"batch norms not folded": unfolded(device), "cudnn.benchmark": tried(model_of(device, first))}
        others |= {name: model_of(device, name) for name in amounts.precisions[1:]}
        for name, model in others.items():
            found = rates({first: plain, name: calls(model, given)}, amounts.seconds)
            yield Measured(f"{name}, passes of {size}", found[name], first, found[first], "patches/s")


def results(device: str, amounts: Amounts) -> Iterator[Measured]:
    """Share of the pixels whose decision differs from that of the CPU in float32."""
    given = noise(2 * amounts.passes[0])
    expected = model_of("cpu", "float32")(*map(torch.from_numpy, given))
    for name in amounts.precisions:
        for tf32 in (True, False) if name == "float32" else (True,):
            torch.backends.cudnn.allow_tf32 = tf32
            found = model_of(device, name)(*on(device, *given)).cpu()
            differs = ((found > 127) != (expected > 127)).double().mean().item()
            worst = (found.int() - expected.int()).abs().max().item()
            title = f"{name}{'' if tf32 else ' without TF32'}: decisions that differ"
            yield Measured(title, 1e6 * differs, f"of a million; probabilities by {worst}/255", 1e6, "pixels")


def graphs(device: str, amounts: Amounts) -> Iterator[Measured]:
    """CUDA graphs beside eager."""
    need_gpu(device)
    for name in amounts.precisions:
        for size in amounts.passes:
            model, given = model_of(device, name), on(device, *noise(size))
            found = rates({"eager": calls(model, given), "graph": replays(model, given)}, amounts.seconds)
            title = f"CUDA graph, {name}, passes of {size}"
            yield Measured(title, found["graph"], "eager", found["eager"], "patches/s")


def replays(model: nn.Module, given: tuple[Tensor, ...]) -> Way:
    """Record the work of one pass, and repeat it without Python."""
    beside = torch.cuda.Stream()
    with torch.cuda.stream(beside):
        for _ in range(3):
            model(*given)
    beside.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        model(*given)

    def work() -> int:
        graph.replay()
        torch.cuda.synchronize()
        return len(given[0])

    return work


def compiled(device: str, amounts: Amounts) -> Iterator[Measured]:
    """``torch.compile`` beside eager, with the seconds that compiling takes."""
    for name in amounts.precisions[::2]:
        size = amounts.passes[len(amounts.passes) // 2]
        model, given = model_of(device, name), on(device, *noise(size))
        faster = torch.no_grad()(torch.compile(network_of(device, name)))  # compiled code refuses inference mode
        began = time.perf_counter()
        calls(faster, given)()
        seconds = time.perf_counter() - began
        found = rates({"eager": calls(model, given), "compiled": calls(faster, given)}, amounts.seconds)
        title = f"torch.compile ({seconds:.0f} s), {name}, passes of {size}"
        yield Measured(title, found["compiled"], "eager", found["eager"], "patches/s")


def copies(device: str, amounts: Amounts) -> Iterator[Measured]:
    """Passes from NumPy to NumPy: as bpr copies, pinned, and with the next pass at the same time."""
    from bpr_cli.inference.backends import PyTorchBackend

    for name in amounts.precisions[::2]:
        for size in amounts.passes[:2]:
            backend, arrays = PyTorchBackend(patch_model(name), [torch.device(device)], size), noise(size)
            ways: dict[str, Way] = {"as bpr copies": lambda b=backend, a=arrays: len(b(*a))}  # type: ignore[misc]
            ways["two threads"] = in_threads(ways["as bpr copies"], 2)
            if device != "cpu":
                ways["pinned"] = pinned(backend, arrays, 1)
                ways["pinned, two in flight"] = pinned(backend, arrays, 2)
            found = rates(ways, amounts.seconds)
            for title in [*ways][1:]:
                first = "as bpr copies"
                yield Measured(f"{title}, {name}, passes of {size}", found[title], first, found[first], "patches/s")


def in_threads(way: Way, count: int) -> Way:
    """The same work in several threads at the same time."""
    pool = ThreadPoolExecutor(count)
    return lambda: sum(pool.map(lambda _: way(), range(2 * count)))


def pinned(backend: Any, arrays: tuple[np.ndarray, ...], count: int) -> Way:
    """Passes by copies from and to pinned memory, each on one of ``count`` CUDA streams, which do not wait."""
    model = backend._model
    streams = [torch.cuda.Stream() for _ in range(count)]
    given = [[torch.from_numpy(each).pin_memory() for each in arrays] for _ in streams]
    with torch.inference_mode():
        shape = model(*on("cuda", *arrays)).shape
    taken = [torch.empty(shape, dtype=torch.uint8).pin_memory() for _ in streams]

    @torch.inference_mode()
    def work() -> int:
        for number in range(4):
            place = number % count
            streams[place].synchronize()  # the results before are taken here
            for pin, array in zip(given[place], arrays, strict=True):
                pin.numpy()[:] = array
            with torch.cuda.stream(streams[place]):
                predicted = model(*(each.to("cuda", non_blocking=True) for each in given[place]))
                taken[place].copy_(predicted, non_blocking=True)
        torch.cuda.synchronize()
        return 4 * len(arrays[0])

    return work


def two_devices(device: str, amounts: Amounts) -> Iterator[Measured]:
    """DataParallel that takes one GPU for two, beside one; it must give the same."""
    need_gpu(device)
    from bpr_cli.inference.backends import PyTorchBackend

    gpu, size = torch.device(device), amounts.passes[-1]
    one, two = (PyTorchBackend(patch_model("float32"), [gpu] * count, size) for count in (1, 2))
    arrays = noise(size)
    found = rates({"one": lambda: len(one(*arrays)), "two": lambda: len(two(*arrays))}, amounts.seconds)
    yield Measured("DataParallel on one GPU twice", found["two"], "one device", found["one"], "patches/s")
    differs = float((one(*arrays) != two(*arrays)).mean())
    yield Measured("DataParallel: probabilities that differ", 1e6 * differs, "of a million", 1e6, "pixels")


def images(device: str, amounts: Amounts) -> Iterator[Measured]:
    """From JPEG files in memory to masks, in threads of one process, and how long the GPU computes meanwhile."""
    shown = frames(amounts.images, amounts.masks)
    settings = [("float32", 64), ("float32", 512), ("float16", 512)] if device != "cpu" else [("float32", 8)]
    refiners = {f"{name}, passes of {size}": refiner(device, name, size) for name, size in settings}
    decoding = rates({"decode": lambda: len([frame.decode() for frame in shown])}, amounts.seconds)["decode"]
    ways = {title: in_threads(refines(each, shown), 2) for title, each in refiners.items()}
    first = next(iter(ways))
    ways |= {f"{list(ways)[-1]}, one thread": refines([*refiners.values()][-1], shown)}
    patches = count_of_patches(next(iter(refiners.values())), shown)
    found = rates(ways, 2 * amounts.seconds)
    for title, rate in found.items():
        yield Measured(f"{title} ({patches:.0f} patches)", rate, first, found[first], "images/s")
    yield Measured("decoding JPEG files, one thread", decoding, first, found[first], "images/s")
    if device != "cpu":
        for title in refiners:
            yield Measured(f"the GPU computes, {title}", *busy(ways[title]), "s")  # type: ignore[arg-type]


def refines(refiner: Any, shown: list[Frame]) -> Way:
    def work() -> int:
        refiner.refine_batch([each.decode() for each in shown], [each.masks for each in shown], each="masks")
        return len(shown)

    return work


def busy(work: Way) -> tuple[float, str, float]:
    """Seconds of all kernels and copies during some work, beside the seconds by the clock."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
    names = ("self_device_time_total", "self_cuda_time_total")
    kernels = (next(getattr(each, name) for name in names if hasattr(each, name)) for each in profile.key_averages())
    return sum(kernels) / 1e6, "by the clock, with a profiler", seconds


def processes(device: str, amounts: Amounts) -> Iterator[Measured]:
    """Images a second of 1 to 8 processes that feed one device, each with a network of its own."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(amounts.processes[-1])]
    started = [context.Process(target=feed, args=(pipe[1], device, amounts), daemon=True) for pipe in pipes]
    for process in started:
        process.start()
    for pipe, _ in pipes:
        pipe.recv()
    seconds, first = max(1.0, 2 * amounts.seconds), 0.0
    for count in amounts.processes:
        sampler = utilization() if shutil.which("nvidia-smi") else None
        for pipe, _ in pipes[:count]:
            pipe.send(seconds)
        rate = sum(pipe.recv() for pipe, _ in pipes[:count])
        first = first or rate
        used = f", GPU in use {used_share(sampler):.0f} %" if sampler else ""
        yield Measured(f"{count} processes{used}", rate, "1 process", first, "images/s")


def feed(pipe: Connection, device: str, amounts: Amounts) -> None:
    """Refine images for as many seconds as asked for, and answer with images a second."""
    stand_in()
    torch.set_num_threads(1)
    precision, size = ("float32", 8) if device == "cpu" else ("float16", 512)
    work = in_threads(refines(refiner(device, precision, size), frames(max(1, amounts.images // 2), amounts.masks)), 2)
    work()
    pipe.send("ready")
    with suppress(EOFError):  # all is measured
        while True:
            pipe.send(rates({"": work}, pipe.recv(), rounds=1, warm=0)[""])


def utilization() -> subprocess.Popen[str]:
    """Sample how busy the driver says that the GPU is, every fifth of a second."""
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def used_share(sampler: subprocess.Popen[str]) -> float:
    """The mean of the samples in percent, without the first and the last."""
    sampler.terminate()
    samples = [float(line) for line in sampler.communicate()[0].split() if line.strip().isdigit()]
    return float(np.mean(samples[1:-1] or [float("nan")]))


def rates(ways: dict[str, Way], seconds: float, rounds: int = ROUNDS, warm: int = 2) -> dict[str, float]:
    """Things a second by each way: the best of some rounds in which all take turns."""
    best = dict.fromkeys(ways, 0.0)
    for way in [*ways.values()] * warm:
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            done, began = 0, time.perf_counter()
            while not done or time.perf_counter() - began < seconds / rounds:
                done += way()
            best[name] = max(best[name], done / (time.perf_counter() - began))
    return best


def patch_model(precision: str) -> Any:
    from bpr_cli.inference.patch_model import DTYPES, PatchModel
    from bpr_cli.weights.files import load_weights

    weights = load_weights("fast")
    return PatchModel(weights.network, weights.card, DTYPES[precision])


def model_of(device: str, precision: str) -> Callable[..., Tensor]:
    """The network as bpr runs it, from tensors to tensors."""
    return torch.inference_mode()(network_of(device, precision))


def network_of(device: str, precision: str) -> Any:
    from bpr_cli.inference.backends import PyTorchBackend

    return PyTorchBackend(patch_model(precision), [torch.device(device)], 1)._model


def tried(model: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The network with the algorithms of cuDNN that a trial finds to be fastest."""

    def call(*given: Tensor) -> Tensor:
        torch.backends.cudnn.benchmark = True
        predicted = model(*given)
        torch.backends.cudnn.benchmark = False
        return predicted

    return call


def unfolded(device: str) -> Callable[..., Tensor]:
    """The network in float32 with batch norms as layers of their own."""
    model = patch_model("float32").eval().to(device)
    model.network.to(memory_format=torch.channels_last)
    return torch.inference_mode()(model)


def calls(model: Callable[..., Tensor], given: tuple[Tensor, ...]) -> Way:
    """Passes with input on the device."""

    def work() -> int:
        for _ in range(4):
            model(*given)
        if given[0].is_cuda:
            torch.cuda.synchronize()
        return 4 * len(given[0])

    return work


def refiner(device: str, precision: str, size: int) -> Any:
    from bpr_cli.refinement.refiner import Refiner

    return Refiner(device=device, precision=precision, batch_size=size, backend="pytorch")


def count_of_patches(refiner: Any, shown: list[Frame]) -> float:
    """Patches of a frame."""
    predict, counted = refiner.predictor.predict, []
    refiner.predictor.predict = lambda patches: counted.append(len(patches)) or predict(patches)
    refines(refiner, shown)()
    refiner.predictor.predict = predict
    return sum(counted) / len(shown)


def noise(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and masks of patches that are as smooth as photographs and masks are."""
    random = np.random.default_rng(0)
    coarse = cycle(random.integers(0, 256, (64, 12, 12, 4)).astype(np.uint8))
    large = np.stack([cv2.resize(next(coarse), (128, 128), interpolation=cv2.INTER_CUBIC) for _ in range(count)])
    return np.ascontiguousarray(large[..., :3]), (large[..., 3] > 127).astype(np.uint8)


def on(device: str, *arrays: np.ndarray) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(each).to(device) for each in arrays)


def need_gpu(device: str) -> None:
    if device == "cpu":
        raise SystemExit("only on a GPU")


PARTS: dict[str, tuple[Callable[[str, Amounts], Iterator[Measured]], float]] = {
    "precision": (precision, 45),
    "results": (results, 30),
    "images": (images, 60),
    "copies": (copies, 40),
    "graphs": (graphs, 45),
    "processes": (processes, 75),
    "two_devices": (two_devices, 25),
    "compiled": (compiled, 75),
}
"""Each part, and the seconds that it may take."""
