"""Checkpoints that suffice alone: configuration, labels and tokenizer are inside."""

import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from mtl_lightning.checkpoint_io import CHECKPOINT_KEY, AtomicCheckpointIO
from mtl_lightning.errors import UserError

if TYPE_CHECKING:
    from mtl_lightning.module import MultiTaskModule


def find_checkpoint(given: str, name: str, last: bool) -> Path:
    """The file that a ``--ckpt_path`` means.

    Args:
        given: A file; the folder of a run; or ``best`` or ``last``, of the newest run called ``name``.
        name: Of the run.
        last: Whether a folder means its last checkpoint rather than its best.

    Raises:
        UserError: If there is none.
    """
    path = Path(given)
    if path.is_file():
        return path
    wanted = "last.ckpt" if last else "best.ckpt"
    if given in ("best", "last"):
        wanted, path = f"{given}.ckpt", Path("runs", name)
        runs = sorted(path.glob(f"*/checkpoints/{wanted}"), key=lambda file: file.stat().st_mtime)
        if runs:
            return runs[-1]
        raise UserError(f"ckpt_path '{given}': no run under {path} has a {wanted}; give `--name`, or a file")
    if path.is_dir():
        for name in (wanted, "last.ckpt"):
            if (path / "checkpoints" / name).is_file():
                if name != wanted:
                    print(f"{path} has no {wanted} (it was never validated): taking {name}", file=sys.stderr)
                return path / "checkpoints" / name
        raise UserError(f"ckpt_path: folder {path} has no checkpoints/{wanted}")
    raise UserError(f"ckpt_path: no file or folder {path}; give a checkpoint, a run's folder, `best` or `last`")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint of this project.

    Raises:
        UserError: If it is broken or foreign.
    """
    checkpoint = AtomicCheckpointIO().load_checkpoint(path)
    if "config" not in checkpoint[CHECKPOINT_KEY]:
        raise UserError(f"{path} was saved without its configuration (by a script, not by `fit`); give `--config` too")
    return checkpoint


def checkpoint_config(path: Path, stack: ExitStack) -> Path:
    """Writes the configuration inside a checkpoint to a file, with labels and tokenizer filled in.

    Args:
        path: The checkpoint.
        stack: Removes the temporary folder when it closes.

    Returns:
        A YAML file with ``model``, ``data``, ``name`` and ``seed_everything``.
    """
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="mtl_lightning-")))
    saved = read_checkpoint(path)[CHECKPOINT_KEY]
    config = {key: saved["config"][key] for key in ("seed_everything", "name", "model", "data")}
    for name, adapted in saved["tasks"].items():
        config["model"]["tasks"][name].setdefault("init_args", {}).update(adapted)
    for name, text in saved["assets"]["files"].items():
        (folder / Path(name).name).write_text(text, "utf-8")
    for name, value in saved["assets"]["init_args"].items():
        filled = value.replace("{folder}", str(folder)) if isinstance(value, str) else value
        config["model"]["encoder"].setdefault("init_args", {})[name] = filled
    target = folder / "mtl_lightning_config.yaml"
    target.write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False), "utf-8")
    return target


def load(path: str | Path) -> "MultiTaskModule":
    """A trained model from a checkpoint alone, ready to predict.

    Args:
        path: A checkpoint that ``fit`` wrote.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        UserError: If the file is broken or foreign.
    """
    from jsonargparse import ArgumentParser

    from mtl_lightning import cli
    from mtl_lightning.module import MultiTaskModule

    assert cli.PLUGINS, "short class names are looked up among what is imported"
    with ExitStack() as stack:
        config = yaml.safe_load(checkpoint_config(Path(path), stack).read_text("utf-8"))
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(MultiTaskModule, "model")
        model: MultiTaskModule = parser.instantiate(parser.parse_object({"model": config["model"]}))["model"]
    model.build()
    model.load_state_dict(read_checkpoint(Path(path))["state_dict"])
    return model.eval()
