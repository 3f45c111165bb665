"""The run directory: one training at a time, and only with the settings it was started with."""

import json
import subprocess
import sys

import pytest

from bpr_cli.errors import BprError
from bpr_cli.training.run_folder import COLUMNS, CsvLog, LogRow, RunFolder, TensorBoardLog

SETTINGS = {"seed": 0, "recipe.steps": 5, "patches": ["ab"]}

HOLD = """
import sys, time
from pathlib import Path
from bpr_cli.training.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def refusal(call, *arguments) -> str:
    with pytest.raises(BprError) as caught:
        call(*arguments)
    return str(caught.value)


def enter(folder: RunFolder) -> None:
    with folder.locked():
        pass


def test_a_directory_in_use_is_refused_until_its_process_is_gone(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with subprocess.Popen([sys.executable, "-c", HOLD, folder.path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        said = refusal(enter, folder)
        process.kill()
    assert said == (
        f"the run directory {folder.path} is in use by another training; wait for it, stop it, or give another --out"
    )
    enter(folder)


def test_a_path_that_is_not_a_directory(tmp_path):
    (tmp_path / "run").write_text("")
    assert "cannot be written: File exists" in refusal(enter, RunFolder(tmp_path / "run"))


def test_the_same_settings_resume_and_differing_ones_are_named(tmp_path):
    folder = RunFolder(tmp_path)
    folder.begin(SETTINGS, {"torch": "1"}, overwrite=False)
    content = folder.document.read_bytes()
    folder.begin(SETTINGS, {"torch": "2"}, overwrite=False)
    assert folder.document.read_bytes() == content
    assert json.loads(content)["settings"] == SETTINGS
    said = refusal(folder.begin, {**SETTINGS, "recipe.steps": 4}, {}, False)
    assert f"{tmp_path} was started with recipe.steps=5, but this run has recipe.steps=4; use the same settings" in said
    said = refusal(folder.begin, {**SETTINGS, "seed": 1, "patches": []}, {}, False)
    assert "was started with seed=0, but this run has seed=1 (and 1 more differ); " in said


def test_more_steps_and_another_patience_go_on(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.begin(SETTINGS, {"torch": "1"}, overwrite=False) is None
    more = {**SETTINGS, "recipe.steps": 9}
    assert folder.begin(more, {}, overwrite=False) == 5
    assert folder.begin(more, {}, overwrite=False) is None
    assert folder.begin({**more, "recipe.patience": 3}, {}, overwrite=False) is None
    content = json.loads(folder.document.read_bytes())
    assert (content["settings"], content["circumstances"]) == ({**more, "recipe.patience": 3}, {"torch": "1"})
    refusal(folder.begin, {**more, "seed": 1, "recipe.steps": 12}, {}, False)


def test_overwriting_starts_afresh(tmp_path):
    folder = RunFolder(tmp_path)
    folder.begin(SETTINGS, {}, overwrite=False)
    folder.tensorboard.mkdir()
    for path in (folder.state, folder.best, folder.last, folder.log, folder.tensorboard / "events.out.1"):
        path.write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    folder.begin({"seed": 1}, {}, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "run.json", "tensorboard"]
    assert not list(folder.tensorboard.iterdir())
    assert json.loads(folder.document.read_bytes())["settings"] == {"seed": 1}


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', '{"version": 2, "settings": {"seed": 0}}', "\xff"])
def test_a_document_of_something_else(text, tmp_path):
    folder = RunFolder(tmp_path)
    folder.document.write_text(text, encoding="latin-1")
    assert "was not written by this version of bpr; give another --out or --overwrite" in refusal(
        folder.begin, SETTINGS, {}, False
    )


def test_weights_without_a_document(tmp_path):
    folder = RunFolder(tmp_path)
    folder.best.write_text("mine")
    assert "holds weights but no run.json" in refusal(folder.begin, SETTINGS, {}, False)


def test_a_log_resumes_after_the_saved_step(tmp_path):
    path = tmp_path / "log.csv"
    rows = [LogRow(10, 1 / 3, 1e-4), LogRow(10, validation_iou=0.5, validation_boundary_f=0.25), LogRow(20, 0.1, 1e-5)]
    log = CsvLog(path, 0)
    for row in rows:
        log.add(row)
    log.close()
    lines = path.read_text().splitlines()
    assert lines == [",".join(COLUMNS), "10,0.3333333333333333,0.0001,,", "10,,,0.5,0.25", "20,0.1,1e-05,,"]
    path.write_text(path.read_text() + "30,0.1")  # cut short by a kill
    log = CsvLog(path, 10)
    log.add(rows[2])
    log.close()
    assert path.read_text().splitlines() == lines


def test_a_file_that_is_not_a_log_is_replaced(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xff\n" + "²,,,,\n".encode() + b"5,0.5,0.1,,\n")
    CsvLog(path, 10).close()
    assert path.read_text().splitlines() == [",".join(COLUMNS), "5,0.5,0.1,,"]


def test_a_missing_tensorboard_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert "install it with pip install tensorboard" in refusal(TensorBoardLog, tmp_path, 0)


def test_tensorboard_reads_what_is_logged(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = TensorBoardLog(tmp_path, 0)
    log.add(LogRow(10, 0.5, 0.001))
    log.add(LogRow(10, validation_iou=0.75, validation_boundary_f=0.25))
    log.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    tags = ["learning_rate", "loss", "validation/boundary_f", "validation/iou"]
    assert sorted(events.Tags()["scalars"]) == tags
    assert [(event.step, event.value) for event in events.Scalars("validation/iou")] == [(10, 0.75)]
