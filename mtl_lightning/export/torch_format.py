"""A folder that ``mtl_lightning.load`` and every command read as they read a checkpoint."""

from argparse import Namespace
from pathlib import Path

from mtl_lightning.checkpoints.exported import write_exported
from mtl_lightning.export.format import Format
from mtl_lightning.export.half import round_parameters
from mtl_lightning.training.module import MultiTaskModule


class TorchFormat(Format):
    """Parameters in safetensors, the rest in YAML: a checkpoint of parameters alone without pickle."""

    about = "weights in safetensors and the configuration; every command reads it as it reads a checkpoint"

    def export(self, model: MultiTaskModule, folder: Path, given: Namespace) -> int:
        """Writes the files."""
        plain = model if given.tasks is None else model.merge(*given.tasks)
        contents = plain.contents()
        if given.half is not None:
            contents["state_dict"] = {**contents["state_dict"], **round_parameters(plain, given.half)}
        write_exported(contents, folder)
        return 0
