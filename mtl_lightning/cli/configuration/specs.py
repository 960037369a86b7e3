"""How a class and its arguments are written down: ``{class_path: NAME, init_args: {…}}``."""

from collections.abc import Mapping
from typing import Any

from torch import optim
from torch.optim import lr_scheduler

from mtl_lightning.errors import UserError, shown

_KEYS = ("class_path", "init_args", "dict_kwargs")
_OF_TORCH = {"optimizer": optim, "lr_scheduler": lr_scheduler}


def refuse_odd_classes(value: Any, path: tuple[str, ...] = ()) -> None:
    """Makes sure that whatever has a ``class_path`` names a class, and that its arguments are where they belong.

    Args:
        value: A configuration, or what is in it.
        path: Its key.

    Raises:
        UserError: If something else is there.
    """
    if isinstance(value, list):
        for item in value:
            refuse_odd_classes(item, path)
    if not isinstance(value, Mapping):
        return
    key = ".".join(part for part in path if part != "init_args")
    if "class_path" in value and path:
        if not isinstance(value["class_path"], str):
            raise UserError(f"{key}: `class_path` must be a word, found {shown(value['class_path'])}")
        if not isinstance(value.get("init_args") or {}, Mapping):
            raise UserError(f"{key}: `init_args` must hold keys and values, found {shown(value['init_args'])}")
        if odd := [name for name in value if name not in _KEYS]:
            raise UserError(f"{key}: '{odd[0]}' is next to `class_path`; put it under `init_args`")
    for name, item in value.items():
        refuse_odd_classes(item, (*path, str(name)))


def write_out_torch_names(model: dict[str, Any]) -> None:
    """Writes out the short names of torch's optimizers and schedulers; Lightning has a class by one of them, too.

    Args:
        model: Section of a configuration.
    """
    for key, module in _OF_TORCH.items():
        value = model.get(key)
        name = value.get("class_path") if isinstance(value, Mapping) else value
        if isinstance(name, str) and isinstance(getattr(module, name, None), type):
            full = f"{module.__name__}.{name}"
            model[key] = {**value, "class_path": full} if isinstance(value, Mapping) else full
