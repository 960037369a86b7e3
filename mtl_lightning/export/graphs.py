"""A model as files that ONNX Runtime runs, one for each way in which it reads inputs."""

import logging
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError
from mtl_lightning.export.pooling import pooling_of_any_size
from mtl_lightning.export.samples import samples, tensors_of
from mtl_lightning.training.module import MultiTaskModule

_SIZES = (3, 5, 2)
"""Words of the examples that a model is traced with: no two dimensions are alike by accident."""


class _Outputs(nn.Module):
    """What decoders read, one after the other, of inputs one after the other."""

    def __init__(self, model: MultiTaskModule, inputs: Sequence[str], tasks: Sequence[str]) -> None:
        super().__init__()
        self.model, self.inputs, self.tasks = model, inputs, tasks

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        found = self.model.read_by_decoders(dict(zip(self.inputs, tensors, strict=True)), self.tasks)
        return tuple(tensor for outputs in found.values() for tensor in outputs.values())


class WrittenGraph(NamedTuple):
    """A file, and what it computes; see :class:`.Reading`."""

    graph: str
    outputs: Mapping[str, Mapping[str, str]]


def write_graph(
    model: MultiTaskModule, inputs: Collection[str], tasks: Sequence[str], folder: Path
) -> WrittenGraph | None:
    """Writes the model as it reads some inputs; null: of these, it predicts none of the tasks.

    Args:
        model: In evaluation mode, on the CPU.
        inputs: Their names.
        tasks: Names of those wanted.
        folder: To write into.

    Raises:
        UserError: If the model does something that ONNX has no operation for.
    """
    plain = model.encoder.processor.plain
    assert plain is not None, "it was checked"
    tensors = tensors_of(model, samples(plain, inputs, _SIZES))
    wanted = [task for task in model.can_predict(tensors) if task in tasks]
    if not wanted:
        return None
    with torch.no_grad():
        found = model.read_by_decoders(tensors, wanted)
    outputs = {task: {name: f"{task}/{name}" for name in of_task} for task, of_task in found.items()}
    path = folder / f"{'-'.join(inputs)}.onnx"
    traced = _Outputs(model, list(tensors), wanted).eval()
    names = [name for of_task in outputs.values() for name in of_task.values()]
    dims = (tuple(dict.fromkeys(range(t.dim()), torch.export.Dim.AUTO) for t in tensors.values()),)
    with _quiet(), pooling_of_any_size(traced):
        try:
            program: Any = torch.onnx.export(
                traced,
                tuple(tensors.values()),
                dynamo=True,
                dynamic_shapes=dims,
                input_names=list(tensors),
                output_names=names,
                verbose=False,
            )
            program.save(path, external_data=False)
        except (torch.onnx.OnnxExporterError, RuntimeError, NotImplementedError) as error:
            said = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UserError(f"this model cannot be exported as onnx: {said.strip()[:300]}") from error
    return WrittenGraph(path.name, outputs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of itself."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
