"""The whole resolved configuration, kept beside all that a run writes."""

from contextlib import suppress
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, cast

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
        super().__init__(parser, config, save_to_log_dir=False, **settings)  # Lightning would make the text once more

    def save_config(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Hands the configuration to the loggers."""
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger):
                logger.log_hyperparams(self._plain())

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Hands the configuration to the model, whose checkpoints carry it (those of the parameters alone, too)."""
        path = Path(trainer.log_dir, self.config_filename)  # which all processes ask for together
        if trainer.is_global_zero and not self.already_saved:
            self._write(path)
        super().setup(trainer, pl_module, stage)
        pl_module.keep_config(self._plain())

    def _write(self, path: Path) -> None:
        try:
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self._text, "utf-8")
        except CannotWriteError:
            with suppress(OSError):
                path.unlink()
            raise

    @cached_property
    def _text(self) -> str:
        return cast(str, self.parser.dump(self.config, skip_none=False, skip_validation=True))

    def _plain(self) -> dict[str, Any]:
        return cast(dict[str, Any], yaml.load(self._text, _LOADER))


def _written(value: Any) -> Any:
    """The same with words for members of enumerations: that is how the defaults of Lightning's classes are given."""
    if isinstance(value, Namespace):
        return Namespace({key: _written(item) for key, item in vars(value).items()})
    if isinstance(value, list):
        return [_written(item) for item in value]
    if isinstance(value, dict):
        return {key: _written(item) for key, item in value.items()}
    return value.value if isinstance(value, Enum) else value
