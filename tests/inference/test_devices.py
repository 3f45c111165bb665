import pytest
import torch

from bpr_cli.errors import BprError
from bpr_cli.inference.devices import parse_devices


@pytest.fixture
def gpus(monkeypatch):
    def there_are(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return there_are


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("auto", 0, ["cpu"]),
        ("auto", 1, ["cuda:0"]),
        ("auto", 3, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cpu", 0, ["cpu"]),
        ("cpu", 2, ["cpu"]),
        ("cuda", 2, ["cuda:0", "cuda:1"]),
        ("cuda:1", 2, ["cuda:1"]),
        ("cuda:0,1", 2, ["cuda:0", "cuda:1"]),
        ("cuda:2,0", 3, ["cuda:2", "cuda:0"]),
        ("cuda:1,1", 2, ["cuda:1"]),
        ("cuda:10", 11, ["cuda:10"]),
    ],
)
def test_devices_by_name(gpus, text, count, expected):
    gpus(count)
    assert [str(device) for device in parse_devices(text)] == expected


@pytest.mark.parametrize(
    "text", ["", "gpu", "CUDA", "cuda:", "cuda:a", "cuda:0,", "cuda:,0", "cuda:-1", "cuda:0 1", "mps"]
)
def test_other_names_are_refused(gpus, text):
    gpus(2)
    with pytest.raises(BprError, match="expected auto, cpu, cuda") as caught:
        parse_devices(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "count", "seen"),
    [
        ("cuda", 0, "sees 0 CUDA devices"),
        ("cuda:0", 0, "sees 0 CUDA devices"),
        ("cuda:1", 1, "sees 1 CUDA device;"),
        ("cuda:0,5", 2, "sees 2 CUDA devices"),
        ("cuda:99999999999999999999", 1, "sees 1 CUDA device;"),
    ],
)
def test_a_gpu_that_is_not_there(gpus, text, count, seen):
    gpus(count)
    with pytest.raises(BprError, match=seen):
        parse_devices(text)
