"""Makes a trained model, and its data, of a checkpoint alone."""

from argparse import ArgumentError
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import ArgumentParser

from mtl_lightning.checkpoints import CHECKPOINT_KEY, checkpoint_config, read_checkpoint
from mtl_lightning.checkpoints.usable import usable
from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.errors import UserError
from mtl_lightning.plugins import PLUGINS
from mtl_lightning.training.restorable import RestorableModule
from mtl_lightning.trust.imports import Imports
from mtl_lightning.trust.parsing import guarded, refused

Model = TypeVar("Model", bound=RestorableModule)
Made = TypeVar("Made")


def load_as(kind: type[Model], path: Path, trusted: Collection[str] = (), option: str = "") -> Model:
    """A trained model from a checkpoint alone, in evaluation mode, on the CPU.

    Args:
        kind: Its class.
        path: A checkpoint that ``fit`` wrote.
        trusted: Classes or modules that may be imported where somebody else may have written the checkpoint.
        option: How the user says that he trusts ``{}``.

    Raises:
        UserError: If the file is broken or foreign, or names a class that is not trusted.
    """
    assert PLUGINS, "short class names are looked up among what is imported"
    with usable(path):
        with ExitStack() as stack:
            config, places = checkpoint_config(path, stack)
            model = made(kind, config["model"], path, Imports(str(path), places, trusted, option))
        model.build()
        checkpoint = read_checkpoint(path)
        model.load_state_dict(checkpoint["state_dict"])
        model.keep_config(checkpoint[CHECKPOINT_KEY]["config"], places is not None, places)
    return model.eval()


def data_of(
    path: Path, trusted: Collection[str] = (), option: str = "", tasks: Collection[str] | None = None
) -> MultiTaskDataModule:
    """The data that a model was trained on; none of it is read yet. Errors are those of ``load_as``.

    Args:
        path: As of ``load_as``.
        trusted: As of ``load_as``.
        option: As of ``load_as``.
        tasks: Those to evaluate: the data sets that label them, without what training alone reads; null: all there is.
    """
    with usable(path), ExitStack() as stack:
        config, places = checkpoint_config(path, stack)
        data = config["data"] if tasks is None else {"datasets": config["data"]["datasets"], "tasks": list(tasks)}
        return made(MultiTaskDataModule, data, path, Imports(str(path), places, trusted, option))


def made(kind: type[Made], config: dict[str, Any], path: Path, imports: Imports) -> Made:
    """What a part of the configuration in a checkpoint describes.

    Args:
        kind: Its class.
        config: Arguments, as plain data.
        path: The checkpoint.
        imports: What it may import.

    Raises:
        UserError: If an argument is wrong, or names a class that is not trusted.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "it")
    with guarded(imports):
        try:
            found: Made = parser.instantiate(parser.parse_object({"it": config}))["it"]
        except (ArgumentError, ValueError) as error:
            said = refused(str(error)) or " ".join(str(error).split())[:400]
            raise UserError(f"the configuration in {path}: {said}") from error
    return found
