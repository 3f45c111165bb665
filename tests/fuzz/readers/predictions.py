"""What is done with every set of predictions: all that refining asks of it."""

from contextlib import suppress
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.output_checks import check_names, check_output, check_overwriting
from bpr_cli.formats.settings import ReadSettings


def refine_nothing(predictions: Path, images: Path, out: Path, **options: object) -> None:
    """Open predictions, read all of every item, and write it back as it is."""
    check_output(predictions, images, out)
    opened = open_predictions(predictions, images, ReadSettings(**options))
    check_overwriting(opened, out)
    check_names(opened, out)
    writer, records = opened.writer(out), {}
    for item in opened.items:
        with suppress(BprError):
            opened.size(item)
        with suppress(BprError):
            records.update(writer.write(item, opened.read(item)).records)
    writer.close(records[position] for position in sorted(records))
