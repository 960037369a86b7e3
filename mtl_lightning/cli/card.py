"""What must be the same in all processes of a run."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import lightning
import torch

import mtl_lightning
from mtl_lightning.version import __version__

_OWN = re.compile(re.escape(str(Path(gettempdir(), "mtl_lightning-"))) + r"\w+")
"""Folders in which each process has unpacked the same checkpoint."""


def card(command: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a process is to do, and with what.

    Args:
        command: Such as ``fit``.
        config: Resolved, as plain values.
    """
    return {
        "versions": {
            "mtl_lightning": __version__,
            "torch": torch.__version__,
            "lightning": lightning.__version__,
            "digest of mtl_lightning's source files": _sources(),
        },
        "use of GPUs": torch.cuda.is_available(),
        "command": command,
        "configuration": dict(_flat(config)),
    }


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested mappings as text, by their dotted names: flags are text already."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, _OWN.sub("(temporary)", value if isinstance(value, str) else json.dumps(value, default=str))


@cache
def _sources() -> str:
    folder = Path(mtl_lightning.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]
