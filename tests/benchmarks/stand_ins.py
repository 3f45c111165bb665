"""Stand-ins for small packages that bpr imports, for machines that have only PyTorch, NumPy and OpenCV.

They do just what the network and refinement in memory need: settings are taken as they are, without any check.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch


def stand_in() -> list[str]:
    """Put a stand-in where a package is missing, and bpr where Python finds it; returns the names of these packages."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    missing = [name for name in MODULES if "." not in name and find_spec(name) is None]
    for name, parts in MODULES.items():
        package, _, inner = name.partition(".")
        if package in missing:
            sys.modules[name] = Unused(name)
            vars(sys.modules[name]).update(parts)
            if inner:
                setattr(sys.modules[package], inner, sys.modules[name])
    return missing


class Meta:
    """Bounds and help of a field."""

    def __init__(self, **facts: Any) -> None:
        self.__dict__.update(facts)
        self.extra = facts.get("extra")


class TensorFile:
    """A safetensors file: the length of a header, the header in JSON, and the tensors."""

    def __init__(self, path: Path, framework: str = "pt") -> None:
        assert framework == "pt"
        content = Path(path).read_bytes()
        begin = 8 + int.from_bytes(content[:8], "little")
        self._entries: dict[str, Any] = json.loads(content[8:begin])
        self._metadata = self._entries.pop("__metadata__", None)
        self._data = np.frombuffer(content, np.uint8, offset=begin)

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(self, *_: object) -> None: ...

    def metadata(self) -> dict[str, str] | None:
        return self._metadata

    def keys(self) -> list[str]:
        return list(self._entries)

    def get_slice(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(get_shape=lambda: self._entries[name]["shape"])

    def get_tensor(self, name: str) -> torch.Tensor:
        entry = self._entries[name]
        begin, end = entry["data_offsets"]
        dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}[entry["dtype"]]
        return torch.frombuffer(bytearray(self._data[begin:end]), dtype=dtype).reshape(entry["shape"])


class Unused(ModuleType):
    """A module that is imported, but not needed; so are the modules in it. Each of its names is an empty class."""

    __path__ = ()

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


MSGSPEC = {
    "Meta": Meta,
    "ValidationError": type("ValidationError", (Exception,), {}),
    "convert": lambda value, _hint, **_: value,
}

MODULES = {
    "msgspec": MSGSPEC,
    "safetensors": {"safe_open": TensorFile, "SafetensorError": type("SafetensorError", (Exception,), {})},
    "safetensors.torch": {},
    "PIL": {},
    "PIL.Image": {"Image": type("Image", (), {})},
    "isal": {},
    "isal.isal_zlib": {},
    "pycocotools": {},
    "pycocotools.mask": {},
}
