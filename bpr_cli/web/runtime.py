"""ONNX Runtime Web, which runs the network in browsers: two files of the npm package ``onnxruntime-web``."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bpr_cli.errors import BprError

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
"""The version that the page was tested with."""

SCRIPT, WASM = "dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"
DIGESTS = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""SHA-256 of the files of this version, so that the page never holds others."""

INSTALL = f"npm install {PACKAGE}@{VERSION}"
LONGEST_DOWNLOAD = 600
"""Seconds that npm may take."""


@dataclass(frozen=True)
class WebRuntime:
    """ONNX Runtime Web.

    Attributes:
        script: its JavaScript module.
        wasm: its WebAssembly.
        version: its version.
    """

    script: bytes
    wasm: bytes
    version: str = VERSION


def load_runtime(path: Path | None = None) -> WebRuntime:
    """Read ONNX Runtime Web, and check that it is the version that the page was tested with.

    Args:
        path: the folder of the installed package, such as ``node_modules/onnxruntime-web``, or its ``.tgz`` file; None
            to have npm download it.

    Raises:
        BprError: there is no npm, the download fails, or the package lacks a file or is another version.
    """
    if path is not None:
        return _checked(path, _read(path))
    with TemporaryDirectory() as folder:
        packed = download(Path(folder))
        return _checked(packed, _read(packed))


def download(folder: Path) -> Path:
    """Have npm download the package into a folder, from its cache if it is there; returns the ``.tgz`` file.

    Raises:
        BprError: there is no npm, or it fails.
    """
    npm = shutil.which("npm")
    other = f"or run {INSTALL} elsewhere and give its folder by --runtime node_modules/{PACKAGE}"
    if npm is None:
        raise BprError(f"the page needs the npm package {PACKAGE}, but there is no npm; install Node.js, {other}")
    command = [npm, "pack", "--silent", "--prefer-offline", f"{PACKAGE}@{VERSION}"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=LONGEST_DOWNLOAD, check=False
        )
    except subprocess.TimeoutExpired:
        raise BprError(f"npm did not download {PACKAGE} in {LONGEST_DOWNLOAD} s; try again, {other}") from None
    packed = next(folder.glob("*.tgz"), None)
    if done.returncode or packed is None:
        reason = (done.stderr or done.stdout).strip()[-200:] or f"it ended with {done.returncode}"
        raise BprError(f"npm cannot download {PACKAGE}: {reason}; check the connection, {other}")
    return packed


def _read(path: Path) -> dict[str, bytes]:
    """The two files of a package, by name.

    Raises:
        BprError: the package cannot be read, or lacks a file.
    """
    try:
        if path.is_dir():
            return {name: (path / name).read_bytes() for name in DIGESTS}
        with tarfile.open(path, "r:gz") as archive:
            members = {name: archive.extractfile(f"package/{name}") for name in DIGESTS}
            return {name: member.read() for name, member in members.items() if member}
    except (OSError, KeyError, tarfile.TarError) as error:
        raise BprError(
            f"the runtime {path} cannot be read ({str(error)[:120]}); expected the folder or the .tgz file of the npm "
            f"package {PACKAGE} {VERSION}, as {INSTALL} and npm pack make them"
        ) from None


def _checked(path: Path, files: dict[str, bytes]) -> WebRuntime:
    """The runtime made of files whose digests are right.

    Raises:
        BprError: a digest is wrong.
    """
    for name, expected in DIGESTS.items():
        if hashlib.sha256(files.get(name, b"")).hexdigest() != expected:
            raise BprError(f"the runtime {path} is not {PACKAGE} {VERSION}: {name} differs; run {INSTALL}")
    return WebRuntime(files[SCRIPT], files[WASM])
