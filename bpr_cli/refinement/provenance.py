"""How an output is made. The journal keeps it, so that a process without the network can complete the output."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from bpr_cli.errors import with_urls
from bpr_cli.formats.base import PredictionSet
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.refinement.network_used import NetworkUsed
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.settings import build
from bpr_cli.system.journal_files import JournalFiles, JournalHeader, every_files
from bpr_cli.system.shards import Shard
from bpr_cli.version import __version__
from bpr_cli.weights.lookup import digest_of, find_weights

NOT_IN_RESULT = ("weights", "device", "backend", "batch_size", "workers")
"""Settings that do not decide whether a run may resume. Instead, the journal compares the digest of the weights, the
kind of the device and the backend that ran."""


@dataclass(frozen=True)
class InputArguments:
    """The arguments that a set of predictions was opened with.

    Attributes:
        predictions: as it was given.
        images: as it was given.
        reading: how to read the predictions.
        folder: working directory of the process, for relative paths.
    """

    predictions: str
    images: str
    reading: ReadSettings
    folder: str

    @classmethod
    def of(cls, predictions: PredictionSet) -> InputArguments | None:
        """Those of an opened set; None if it does not come from files."""
        given, reading = predictions.inputs, predictions.read_settings
        if not given or not reading:
            return None
        if reading.image_info:
            reading = replace(reading, image_info=Path(with_urls(str(reading.image_info))))
        return cls(with_urls(given.predictions), with_urls(given.images), reading, str(Path.cwd()))


@dataclass(frozen=True)
class Provenance:
    """Everything that a process needs to know of a refinement that others have done.

    Attributes:
        network: what the results depend on, besides settings and inputs.
        settings: how to refine.
        inputs: how to open the predictions; None for a set that does not come from files.
    """

    network: NetworkUsed
    settings: RefineSettings
    inputs: InputArguments | None

    @classmethod
    def of(cls, network: NetworkUsed, settings: RefineSettings, predictions: PredictionSet) -> Provenance:
        """That of what a network makes of predictions."""
        return cls(network, settings, InputArguments.of(predictions))

    @classmethod
    def recorded(
        cls, folder: Path, shard: Shard | None, settings: RefineSettings, predictions: PredictionSet
    ) -> Provenance | None:
        """That of an earlier process, if this one would make the same of the same predictions.

        Args:
            folder: folder of the journal.
            shard: the shard of this process; None for the whole.
            settings: those of this process.
            predictions: the set of this process; its files may have moved since.

        Raises:
            BprError: the journal is damaged or another version wrote it; or there are no such weights.
        """
        files = [JournalFiles(folder, shard), *(() if shard else every_files(folder))]
        header = next((header for each in files if (header := each.header())), None)
        if header is None or not header.about:
            return None
        found = cls.parse(header.about)
        if _decisive(found.settings) != _decisive(settings):
            return None
        with suppress(OSError):
            if digest_of(find_weights(settings.weights)) == found.network.weights.digest:
                return replace(found, settings=settings, inputs=InputArguments.of(predictions))
        return None

    @classmethod
    def parse(cls, about: object) -> Provenance:
        """Read what ``header`` stored.

        Raises:
            BprError: it is incomplete or damaged.
        """
        return build(cls, about)

    def header(self, predictions: PredictionSet) -> JournalHeader:
        """The header of the journal: the settings that determine the result, and this."""
        network, settings = self.network, asdict(self.settings)
        return JournalHeader(
            settings={
                "bpr": __version__,
                "weights": network.weights.digest,
                "device": sorted({device.partition(":")[0] for device in network.devices}),
                "backend": network.backend,
                **predictions.settings,
                **{name: value for name, value in settings.items() if name not in NOT_IN_RESULT},
            },
            names={"weights": f"{self.settings.weights} (SHA-256 {network.weights.digest[:12]}…)"},
            about=self._plain(),
        )

    def _plain(self) -> dict[str, Any]:
        """As plain data for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self, enc_hook=os.fspath)
        return plain


def _decisive(settings: RefineSettings) -> dict[str, Any]:
    """The settings that the result depends on, except for the weights, whose digest counts."""
    names = {"weights", "batch_size", "workers"}
    return {name: value for name, value in asdict(settings).items() if name not in names}
