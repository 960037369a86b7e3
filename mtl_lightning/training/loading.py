"""A trained model from a checkpoint alone."""

from argparse import ArgumentError
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from mtl_lightning.checkpoints import CHECKPOINT_KEY, checkpoint_config, read_checkpoint
from mtl_lightning.checkpoints.exported import weights_in
from mtl_lightning.checkpoints.usable import usable
from mtl_lightning.errors import UserError
from mtl_lightning.paths import expanded
from mtl_lightning.plugins import PLUGINS
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.trust.imports import Imports
from mtl_lightning.trust.parsing import guarded, refused


def load(path: str | Path, trust_classes: Collection[str] = ()) -> MultiTaskModule:
    """A trained model from a checkpoint alone, ready to predict.

    Args:
        path: A checkpoint that ``fit`` wrote, or the folder of one that ``export --format torch`` wrote.
        trust_classes: Classes of your own, or the modules that they are in, that may be imported where somebody else
            may have written the checkpoint; see SECURITY.md.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        UserError: If the file is broken or foreign, or names a class that is not trusted.
    """
    assert PLUGINS, "short class names are looked up among what is imported"
    path = expanded(str(path))
    path = str(weights_in(Path(path)) or path)
    with usable(Path(path)):
        with ExitStack() as stack:
            config, places = checkpoint_config(Path(path), stack)
            trusted = trust_classes.split(",") if isinstance(trust_classes, str) else trust_classes
            model = _made(config["model"], path, Imports(path, places, trusted, "trust_classes=['{}']"))
        model.build()
        checkpoint = read_checkpoint(Path(path))
        model.load_state_dict(checkpoint["state_dict"])
        model.keep_config(checkpoint[CHECKPOINT_KEY]["config"], own=places is not None)
    return model.eval()


def _made(config: dict[str, Any], path: str, imports: Imports) -> MultiTaskModule:
    """The model that the configuration in a checkpoint describes."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(MultiTaskModule, "model")
    with guarded(imports):
        try:
            model: MultiTaskModule = parser.instantiate(parser.parse_object({"model": config}))["model"]
        except (ArgumentError, ValueError) as error:
            said = refused(str(error)) or " ".join(str(error).split())[:400]
            raise UserError(f"the configuration in {path}: {said}") from error
    return model
