"""Where ONNX Runtime Web comes from: a folder, a file of npm pack, or npm; and only the version that was tested."""

import hashlib
import io
import tarfile

import pytest

from bpr_cli.errors import BprError
from bpr_cli.web import runtime
from bpr_cli.web.runtime import SCRIPT, WASM, load_runtime

FILES = {SCRIPT: b"export const env = {}", WASM: b"\0asm"}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The version that is expected has two small files."""
    monkeypatch.setattr(runtime, "DIGESTS", {name: hashlib.sha256(each).hexdigest() for name, each in FILES.items()})


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / "onnxruntime-web" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "onnxruntime-web"


def pack(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def test_an_installed_package_and_a_packed_one_are_the_same(folder, tmp_path):
    installed, packed = load_runtime(folder), load_runtime(pack(tmp_path / "it.tgz", FILES))
    assert installed == packed
    assert (installed.script, installed.wasm) == (FILES[SCRIPT], FILES[WASM])


def test_another_version_is_refused(folder):
    (folder / WASM).write_bytes(b"\0asm, newer")
    with pytest.raises(BprError, match=r"is not onnxruntime-web 1\.30\.0: dist/ort-wasm.*\.wasm differs; run npm inst"):
        load_runtime(folder)


@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.write_bytes(b"no archive"), lambda p: pack(p, {})]
)
def test_what_is_no_package_is_refused(make, tmp_path):
    make(tmp_path / "it.tgz")
    with pytest.raises(
        BprError, match=r"the runtime .*it\.tgz cannot be read .*; expected the folder or the \.tgz file"
    ):
        load_runtime(tmp_path / "it.tgz")


def npm(tmp_path, monkeypatch, script):
    """Put a program in the place of npm."""
    program = tmp_path / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(runtime.shutil, "which", lambda _: str(program))


def test_npm_packs_the_version_that_was_tested(tmp_path, monkeypatch):
    packed = pack(tmp_path / "packed", FILES)
    npm(tmp_path, monkeypatch, f'[ "$1 $4" = "pack onnxruntime-web@1.30.0" ] && cp {packed} onnxruntime-web-1.30.0.tgz')
    assert load_runtime().wasm == FILES[WASM]


def test_npm_that_fails_or_is_missing_is_told(tmp_path, monkeypatch):
    npm(tmp_path, monkeypatch, "echo no route to the registry >&2; exit 1")
    with pytest.raises(
        BprError, match=r"npm cannot download onnxruntime-web: no route to the registry; check the conn"
    ):
        load_runtime()
    monkeypatch.setattr(runtime.shutil, "which", lambda _: None)
    with pytest.raises(
        BprError, match=r"there is no npm; install Node\.js, or run npm install onnxruntime-web@1\.30\.0"
    ):
        load_runtime()
