"""Run folders of trainings that are gone on with."""

from pathlib import Path

from bpr_cli.training.checkpoint import TrainState, ValidationResult, pack
from bpr_cli.training.run_folder import CsvLog, LogRow, RunFolder
from bpr_cli.training.train import _resume
from tests.fuzz.fuzzing import Reader
from tests.training.toy_data import small_recipe
from tests.training.trainers import ALONE, new_trainer

SETTINGS = {"seed": 0, "recipe.steps": 12}
RECIPE = small_recipe()


def make(folder: Path) -> None:
    run = RunFolder(folder)
    run.begin(SETTINGS, {}, overwrite=False)
    found = ValidationResult(5, 0.5, 0.5)
    run.state.write_bytes(pack(new_trainer(RECIPE), TrainState(5, (0.5, 0.25), found, found)))
    run.log.write_text("step,loss,learning_rate,validation_iou,validation_boundary_f\n5,0.5,0.1,,\n10,0.5,0.1,,\n")


def read(folder: Path) -> None:
    run = RunFolder(folder)
    with run.locked():
        run.begin(SETTINGS, {}, overwrite=False)
        state = _resume(run, new_trainer(RECIPE), ALONE)
        log = CsvLog(run.log, state.step)
        log.add(LogRow(state.step + 1))
        log.close()


READER = Reader("training", make, read)
