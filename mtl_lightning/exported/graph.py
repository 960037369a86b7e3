"""A model in a file that ONNX Runtime runs."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mtl_lightning.errors import UserError

_SLOWER = ["SkipLayerNormFusion"]
"""What ONNX Runtime fuses to its disadvantage: a sum and its normalisation take a third of the time apart."""


class NotComputedError(UserError):
    """The model fails on inputs that could be read."""


class Graph:
    """Runs a file; it is read when it is first needed.

    Args:
        path: Of the file.
        threads: How many compute; null: as many as there are cores.
        spins: Whether threads that have nothing to compute keep their cores busy for a while, to go on sooner.
    """

    def __init__(self, path: Path, threads: int | None = None, spins: bool = True) -> None:
        self._path = path
        self._threads = threads
        self._spins = spins

    def open(self) -> None:
        """Reads the file.

        Raises:
            UserError: If onnxruntime is not installed, or cannot read it.
        """
        assert self._session is not None

    @property
    def inputs(self) -> list[str]:
        """Names of what it reads."""
        return [each.name for each in self._session.get_inputs()]

    def run(self, arrays: Mapping[str, np.ndarray], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        """Some of what it computes, by name.

        Args:
            arrays: Its inputs by name; others are left alone.
            outputs: Names of what is wanted.

        Raises:
            NotComputedError: If it fails on them.
        """
        session = self._session
        given = {each.name: np.ascontiguousarray(arrays[each.name]) for each in session.get_inputs()}
        try:
            return dict(zip(outputs, session.run(list(outputs), given), strict=True))
        except Exception as error:  # onnxruntime has a class of its own for each status
            said = str(error).split("Status Message: ")[-1]
            raise NotComputedError(f"{self._path.name} cannot be computed on these inputs: {said[:300]}") from error

    @cached_property
    def _session(self) -> Any:
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError("exported models need onnxruntime: pip install 'mtl-lightning[serve]'") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what is an error is raised
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self._spins)))
        try:
            return onnxruntime.InferenceSession(
                self._path, options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOWER
            )
        except Exception as error:  # as above
            raise UserError(f"{self._path} is no model that onnxruntime reads: {str(error)[:300]}") from error
