"""The files that an encoder needs besides its weights, in a folder: beside each other, or a folder for each part."""

from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mtl_lightning.errors import UserError
from mtl_lightning.writing import write_whole

_LONGEST = 200


def are_asset_names(names: Collection[str]) -> bool:
    """Whether each names a file as ``is_asset_name`` has it, and none the folder of another.

    >>> are_asset_names(["text", "image/vocab.txt"]), are_asset_names(["text", "text/vocab.txt"])
    (True, False)
    """
    return all(map(is_asset_name, names)) and not {name.split("/")[0] for name in names if "/" in name} & set(names)


def is_asset_name(name: str) -> bool:
    """Whether it names a file in a folder, or in a folder in it, and nothing else.

    >>> [is_asset_name(name) for name in ("vocab.txt", "text/vocab.txt", "../vocab.txt", "/vocab.txt", "a/b/c")]
    [True, True, False, False, False]
    """
    parts = PurePosixPath(name).parts
    plain = "/".join(parts) == name and ".." not in parts and "\\" not in name
    return plain and 1 <= len(parts) <= 2 and name.isprintable() and len(name) <= _LONGEST


def write_assets(files: Mapping[str, str], folder: Path) -> None:
    """Writes files by name.

    Args:
        files: Names as ``is_asset_name`` wants them.
        folder: It is there.
    """
    for name, text in files.items():
        assert is_asset_name(name), "it was checked when the checkpoint was read"
        (folder / name).parent.mkdir(exist_ok=True)
        write_whole(folder / name, text)


def filled_in(value: Any, folder: Path) -> Any:
    """An argument in which ``{folder}`` stands for the folder of the files, in all that it holds."""
    if isinstance(value, Mapping):
        return {name: filled_in(each, folder) for name, each in value.items()}
    return value.replace("{folder}", str(folder)) if isinstance(value, str) else value


def take_arguments(init_args: dict[str, Any], arguments: Mapping[str, Any]) -> None:
    """Replaces arguments of a class in a config; ``{part: {init_args: …}}`` replaces those of the classes in one.

    Raises:
        UserError: If the config has no such part.
    """
    for name, value in arguments.items():
        if not _is_of_parts(value):
            init_args[name] = value
            continue
        for part, of in value.items():
            parts = init_args.get(name)
            if not isinstance(parts, dict) or not isinstance(parts.get(part), dict):
                raise UserError(f"the checkpoint is broken: its configuration has no model.encoder.{name}.{part}")
            take_arguments(parts[part].setdefault("init_args", {}), of["init_args"])


def _is_of_parts(value: Any) -> bool:
    of_parts = isinstance(value, Mapping) and len(value) > 0
    return of_parts and all(isinstance(v, Mapping) and [*v] == ["init_args"] for v in value.values())
