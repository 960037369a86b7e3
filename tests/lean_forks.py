"""Builds the parser of ``fit`` in the process that others fork from, so that none of them builds it."""

from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import lean  # noqa: F401 - it keeps what is built

from mtl_lightning.cli import command
from mtl_lightning.cli.lightning_cli import CLI


class _BuiltError(Exception):
    """There is a parser now."""


found: Any = SimpleNamespace(imports=None)
with (
    suppress(_BuiltError),
    patch.object(command, "_understood", return_value={"command": "fit"}),
    patch.object(CLI, "parse_arguments", side_effect=_BuiltError),
):
    command._run(CLI, found, False, None, None)  # type: ignore[arg-type]
