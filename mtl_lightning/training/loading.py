"""A trained model from a checkpoint alone."""

from contextlib import ExitStack
from pathlib import Path

from jsonargparse import ArgumentParser

from mtl_lightning.checkpoints import checkpoint_config, read_checkpoint
from mtl_lightning.paths import expanded
from mtl_lightning.plugins import PLUGINS
from mtl_lightning.training.module import MultiTaskModule


def load(path: str | Path) -> MultiTaskModule:
    """A trained model from a checkpoint alone, ready to predict.

    Args:
        path: A checkpoint that ``fit`` wrote.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        UserError: If the file is broken or foreign.
    """
    assert PLUGINS, "short class names are looked up among what is imported"
    path = expanded(str(path))
    with ExitStack() as stack:
        config = checkpoint_config(Path(path), stack)
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(MultiTaskModule, "model")
        model: MultiTaskModule = parser.instantiate(parser.parse_object({"model": config["model"]}))["model"]
    model.build()
    model.load_state_dict(read_checkpoint(Path(path))["state_dict"])
    return model.eval()
