"""A model's parameters and what it is made of in files that hold no code: safetensors and YAML, no pickle.

In the folder are ``model.safetensors`` (parameters and buffers by name), ``model.yaml`` (configuration, tasks, and
whatever else a checkpoint of parameters alone holds) and the encoder's files, such as the tokenizer's, in ``assets``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mtl_lightning.checkpoints.asset_files import write_assets
from mtl_lightning.checkpoints.shapes import CHECKPOINT_KEY
from mtl_lightning.checkpoints.split import put_together, take_apart
from mtl_lightning.errors import UserError
from mtl_lightning.manifest import check_files, listed, manifest_of
from mtl_lightning.small_files import read_small_text
from mtl_lightning.yaml_limits import check_yaml

WEIGHTS = "model.safetensors"
"""The file that stands for the folder where one file is named."""

FORMAT = "torch"
"""What ``export --format`` calls it."""

_REST, _ASSETS, _STATE = "model.yaml", "assets", "state_dict."
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def weights_in(folder: Path) -> Path | None:
    """The file of the parameters, if there is an exported model in a folder."""
    found = manifest_of(folder)
    return folder / WEIGHTS if found is not None and found.format == FORMAT else None


def write_exported(checkpoint: Mapping[str, Any], folder: Path) -> None:
    """Writes a checkpoint of parameters alone.

    Args:
        checkpoint: It stays as it is.
        folder: It is there.
    """
    split = take_apart(checkpoint, lambda tensor: True)
    tensors = {name.removeprefix(_STATE): tensor.contiguous().clone() for name, tensor in split.tensors.items()}
    places = {name.removeprefix(_STATE): place for name, place in split.places.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    ours = dict(split.rest[CHECKPOINT_KEY])
    files, ours["assets"] = ours["assets"]["files"], {**ours["assets"], "files": {}}
    (folder / _ASSETS).mkdir()
    write_assets(files, folder / _ASSETS)
    extra = {name: value for name, value in split.rest["state_dict"].items() if value is not None}
    nested = {name: place for name, place in places.items() if len(place) > 2}
    rest = {**split.rest, CHECKPOINT_KEY: ours, "state_dict": extra, "nested": nested}
    (folder / _REST).write_text(yaml.dump(rest, Dumper=_Dumper, allow_unicode=True, sort_keys=False), "utf-8")


def read_exported(path: Path) -> dict[str, Any]:
    """The checkpoint in a folder that :func:`write_exported` wrote.

    Args:
        path: Of the file of the parameters.

    Raises:
        UserError: If something is missing or broken.
    """
    found = check_files(path.parent)
    try:
        tensors = load_file(listed(found, path.parent, path.name))
        text = read_small_text(listed(found, path.parent, _REST))
        check_yaml(text, _Loader)
        checkpoint: dict[str, Any] = yaml.load(text, _Loader)
        assets = [path.parent / name for name in found.files if name.startswith(f"{_ASSETS}/")]
        files = {str(file.relative_to(path.parent / _ASSETS).as_posix()): file.read_bytes().decode() for file in assets}
        checkpoint[CHECKPOINT_KEY]["assets"]["files"] = files
        nested = checkpoint.pop("nested")
        checkpoint["state_dict"] |= {name: tensor for name, tensor in tensors.items() if name not in nested}
        put_together(checkpoint, {name: tensors[name] for name in nested}, nested)
    except UserError:
        raise
    except (
        OSError,
        ValueError,
        SafetensorError,
        yaml.YAMLError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(f"{path.parent} is no exported model, or a broken one: {said}; export it again") from error
    return checkpoint
