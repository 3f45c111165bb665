"""Run folders of trainings that are gone on with."""

from pathlib import Path

from bpr_cli.training.checkpoint import TrainState, Validation, pack
from bpr_cli.training.log import CsvLog, LogRow
from bpr_cli.training.run import _resume
from bpr_cli.training.run_folder import RunFolder
from tests.fuzz.fuzzing import Reader
from tests.training.train_cases import small_recipe
from tests.training.train_learners import ALONE, learner

SETTINGS = {"seed": 0, "recipe.steps": 12}
RECIPE = small_recipe()


def make(folder: Path) -> None:
    run = RunFolder(folder)
    run.begin(SETTINGS, {}, overwrite=False)
    found = Validation(5, 0.5, 0.5)
    run.state.write_bytes(pack(learner(RECIPE), TrainState(5, (0.5, 0.25), found, found)))
    run.log.write_text("step,loss,learning_rate,validation_iou,validation_boundary_f\n5,0.5,0.1,,\n10,0.5,0.1,,\n")


def read(folder: Path) -> None:
    run = RunFolder(folder)
    with run.locked():
        run.begin(SETTINGS, {}, overwrite=False)
        standing = _resume(run, learner(RECIPE), ALONE)
        log = CsvLog(run.log, standing.step)
        log.add(LogRow(standing.step + 1))
        log.close()


READER = Reader("training", make, read)
