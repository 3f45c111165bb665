"""Networks compiled by OpenVINO, kept in the user's cache: exporting and compiling one takes longer than small jobs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from bpr_cli.inference.onnx import onnx_bytes
from bpr_cli.inference.patch_model import PatchModel
from bpr_cli.system.cache import Cache
from bpr_cli.version import installed_versions
from bpr_cli.weights.card import WeightsCard

PACKAGE = Path(__file__).resolve().parents[1]

CODE = ("inference/int8.py", "inference/onnx.py", "inference/patch_model.py", "networks/*.py")
"""Files that decide what a network computes."""


def compiled_model(
    core: Any,  # noqa: ANN401 - of a package that may be missing
    options: dict[str, Any],
    model: PatchModel,
    example: tuple[Tensor, Tensor],
    card: WeightsCard,
) -> Any:  # noqa: ANN401 - as above
    """Compile a model for the CPU, or take it from the cache; both give the same results, bit for bit.

    Only networks of this package are kept: no key can describe what others do.

    Args:
        core: OpenVINO.
        options: how it runs the model.
        model: the model.
        example: image and mask of a pass.
        card: card of its weights.

    Raises:
        RuntimeError: OpenVINO cannot run the model.
    """
    is_own = type(model.network).__module__.startswith("bpr_cli.networks.")
    cache, key = Cache("openvino"), _key(core, options, model, example, card) if is_own else ""
    kept = cache.read(key) if is_own else None
    if kept is not None:
        with suppress(RuntimeError):  # OpenVINO refuses what another machine has compiled
            return core.import_model(kept, "CPU", options)
    compiled = core.compile_model(core.read_model(onnx_bytes(model, example), b""), "CPU", options)
    if is_own:
        exported = compiled.export_model()
        cache.write(key, bytes(exported.getvalue() if hasattr(exported, "getvalue") else exported))
    return compiled


def _key(
    core: Any,  # noqa: ANN401 - as above
    options: dict[str, Any],
    model: PatchModel,
    example: tuple[Tensor, Tensor],
    card: WeightsCard,
) -> str:
    """Everything that a compiled model depends on."""
    facts = {
        "card": card.to_json(),
        "tensors": _digest(each.numpy().tobytes() for each in model.network.state_dict().values()),
        "flip": model.flip,
        "shapes": [list(part.shape) for part in example],
        "options": options,
        "versions": installed_versions(("torch", "onnx", "openvino")),
        "code": _digest(path.read_bytes() for name in CODE for path in sorted(PACKAGE.glob(name))),
        "cpu": [core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")],
    }
    return json.dumps(facts, sort_keys=True)


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
