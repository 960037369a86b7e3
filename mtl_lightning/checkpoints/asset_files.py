"""The files that an encoder needs besides its weights, in a folder: beside each other, or a folder for each part."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mtl_lightning.writing import write_whole

_LONGEST = 200


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
    """Replaces arguments of a class in a config; ``{part: {init_args: …}}`` replaces those of the classes in one."""
    for name, value in arguments.items():
        if _is_of_parts(value):
            for part, of in value.items():
                take_arguments(init_args[name][part].setdefault("init_args", {}), of["init_args"])
        else:
            init_args[name] = value


def _is_of_parts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(v, Mapping) and [*v] == ["init_args"] for v in value.values())
