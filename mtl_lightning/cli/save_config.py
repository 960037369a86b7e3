"""The whole resolved configuration, kept beside all that a run writes."""

from contextlib import suppress
from copy import deepcopy
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger

from mtl_lightning.writing import CannotWriteError, writing

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class SaveConfig(SaveConfigCallback):
    """Keeps the whole resolved configuration: beside the checkpoints, in them, and with the loggers.

    Without ``ckpt_path``: or else the saved configuration of a resumed run would resume from there forever.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace, **settings: Any) -> None:
        config = _written(config.clone())
        config["ckpt_path"] = None
        super().__init__(parser, config, **settings)
        self._dumped: dict[str, Any] | None = None

    def save_config(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Hands the configuration to the loggers."""
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger):
                logger.log_hyperparams(self._plain())

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Hands the configuration to the model, whose checkpoints carry it (those of the parameters alone, too)."""
        path = Path(trainer.default_root_dir, self.config_filename)
        try:
            with writing(path):
                super().setup(trainer, pl_module, stage)
        except CannotWriteError:
            with suppress(OSError):
                path.unlink()
            raise
        pl_module.keep_config(self._plain())

    def _plain(self) -> dict[str, Any]:
        if self._dumped is None:
            self._dumped = yaml.load(self.parser.dump(self.config, skip_none=False), _LOADER)
        return deepcopy(self._dumped)


def _written(value: Any) -> Any:
    """The same with words for members of enumerations: that is how the defaults of Lightning's classes are given."""
    if isinstance(value, Namespace):
        return Namespace({key: _written(item) for key, item in vars(value).items()})
    if isinstance(value, list):
        return [_written(item) for item in value]
    if isinstance(value, dict):
        return {key: _written(item) for key, item in value.items()}
    return value.value if isinstance(value, Enum) else value
