"""Maps the labels of a data set onto the label set of a task."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mtl_lightning.data.sources.paths import existing_file
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.raw_labels import Names, no_label
from mtl_lightning.small_files import read_small_text
from mtl_lightning.yaml_limits import check_yaml

LabelMap = Mapping[str, Sequence[str]]
"""For each label of a task, the data set's labels that mean it."""


class Renaming:
    """The task's name of each label of a data set.

    Args:
        label_map: See :data:`LabelMap`.
        where: Name of the setting, for messages.

    Raises:
        UserError: If the map is none, or one label stands under two labels of the task.

    >>> rename = Renaming({"joy": ["joy", "relief"]}, "label_maps.emotion")
    >>> rename("relief")
    'joy'
    """

    def __init__(self, label_map: Any, where: str) -> None:
        self.where = where
        self.names: dict[str, str] = {}
        if not isinstance(label_map, Mapping) or not label_map:
            raise UserError(f"{where} must name for each label of the task the data set's labels that mean it")
        for target, names in label_map.items():
            if not isinstance(names, list | tuple):
                raise UserError(f"{where}.{target} must be a list of the data set's labels, found {names!r}")
            for name in map(str, names):
                if self.names.setdefault(name, str(target)) != str(target):
                    raise UserError(
                        f"{where} names '{name}' under both '{self.names[name]}' and '{target}'; choose one"
                    )
        self.targets = [str(target) for target in label_map]
        self._sources, self._names = list(self.names), Names(self.names)

    def __call__(self, name: str) -> str:
        """The task's name of a label, whichever its spelling (see :class:`.raw_labels.Names`).

        Raises:
            UserError: If no entry names it.
        """
        position = self._names.find(name)
        if position is None:
            hint = did_you_mean(name, self.names)
            raise UserError(f"label {name!r} is in no entry of {self.where}; {hint}{no_label([name])}")
        return self.names[self._sources[position]]


def read_label_map(path: Path, where: str) -> Any:
    """What a JSON or YAML file holds.

    Raises:
        UserError: If there is no such file, or it cannot be read or is neither.
    """
    try:
        text = read_small_text(existing_file(path))
        if path.suffix == ".json":
            return json.loads(text)
        check_yaml(text, yaml.BaseLoader)
        return yaml.load(text, Loader=yaml.BaseLoader)  # labels are words
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())[:200]
        raise UserError(f"{where}: cannot read {path}: {reason}") from error
