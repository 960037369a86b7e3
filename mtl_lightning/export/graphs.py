"""A model as files that ONNX Runtime runs, one for each way in which it reads inputs."""

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from keyword import iskeyword
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError
from mtl_lightning.export.attention import join_heads
from mtl_lightning.export.pooling import pooling_of_any_size
from mtl_lightning.export.quiet import errors_alone
from mtl_lightning.export.samples import samples, tensors_of
from mtl_lightning.training.module import MultiTaskModule

_OPSET = 23
"""Of ONNX: the first in which attention is one operation, not twenty."""

_OF_THIS_MACHINE = ("pkg.torch.onnx.stack_trace", "pkg.torch.onnx.fx_node")

_SIZES = (3, 5, 2)
"""Words of the examples that a model is traced with: no two dimensions are alike by accident."""


class Logits(NamedTuple):
    """The logits of a task among the outputs of a graph.

    Attributes:
        kind: The NamedTuple that they are; null: they are one tensor.
        names: Of the output that each field is; of a tensor, by ``""``.
    """

    kind: type[Any] | None
    names: Mapping[str, str]

    def of(self, arrays: Mapping[str, np.ndarray]) -> Any:
        """What the task's ``loss`` and ``update`` read, from outputs by name."""
        tensors = {field: torch.from_numpy(arrays[name]) for field, name in self.names.items()}
        if self.kind is None:
            return tensors[""]
        fields: Sequence[str] = self.kind._fields
        return self.kind(**{field: tensors.get(field) for field in fields})


class WrittenGraph(NamedTuple):
    """A file, and what it computes.

    Attributes:
        graph: Its name.
        outputs: See :class:`.Reading`.
        logits: By task; where decoders read something else, they are outputs of their own.
    """

    graph: str
    outputs: Mapping[str, Mapping[str, str]]
    logits: Mapping[str, Logits] = {}


class _Outputs(nn.Module):
    """Some of what a model computes, one after the other, of inputs one after the other."""

    def __init__(self, model: MultiTaskModule, inputs: Sequence[str], tasks: Sequence[str]) -> None:
        super().__init__()
        self.model, self.inputs, self.tasks = model, inputs, tasks
        self.names: list[str] = []

    def found(self, *tensors: Tensor) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        inputs = dict(zip(self.inputs, tensors, strict=True))
        return self.model.read_by_decoders_and_metrics(inputs, self.tasks)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        named = _named(*self.found(*tensors))
        return tuple(named[name] for name in self.names)

    def describe(self, *tensors: Tensor) -> tuple[dict[str, dict[str, str]], dict[str, Logits]]:
        """Names the outputs: by task what its decoder reads, and its logits. The same tensor has one name."""
        outputs, logits = self.found(*tensors)
        first: dict[int, str] = {}
        named = _named(outputs, logits)
        for name, tensor in named.items():
            first.setdefault(id(tensor), name)
        read = {task: {name: f"{task}/{name}" for name in of_task} for task, of_task in outputs.items()}
        judged = {
            task: Logits(
                type(found) if hasattr(found, "_asdict") else None,
                {field: first[id(tensor)] for field, tensor in _fields(found).items()},
            )
            for task, found in logits.items()
            if task in self.tasks
        }
        wanted = {
            *(n for each in read.values() for n in each.values()),
            *(n for j in judged.values() for n in j.names.values()),
        }
        self.names = [name for name in named if name in wanted]
        return read, judged


def _named(outputs: Mapping[str, Mapping[str, Tensor]], logits: Mapping[str, Any]) -> dict[str, Tensor]:
    """All tensors by the names that they have as outputs of a graph."""
    return {
        **{f"{task}/{name}": tensor for task, found in outputs.items() for name, tensor in found.items()},
        **{f"{task}//{field}": tensor for task in outputs for field, tensor in _fields(logits[task]).items()},
    }


def _fields(logits: Any) -> dict[str, Tensor]:
    """The tensors in a task's logits, by field."""
    found = logits._asdict() if hasattr(logits, "_asdict") else {"": logits}
    return {field: value for field, value in found.items() if value is not None}


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
    if named := [task for task in model.tasks if iskeyword(task)]:
        raise UserError(
            f"this model cannot be exported as onnx: task '{named[0]}' has the name of a word of Python, which the "
            "exporter of torch cannot read; train it under another name"
        )
    traced = _Outputs(model, list(tensors), wanted).eval()
    with torch.no_grad():
        outputs, logits = traced.describe(*tensors.values())
    path = folder / f"{'-'.join(inputs)}.onnx"
    dims = (tuple(dict.fromkeys(range(t.dim()), torch.export.Dim.AUTO) for t in tensors.values()),)
    with _quiet(), pooling_of_any_size(traced):
        try:
            program: Any = torch.onnx.export(
                traced,
                tuple(tensors.values()),
                dynamo=True,
                opset_version=_OPSET,
                dynamic_shapes=dims,
                input_names=list(tensors),
                output_names=traced.names,
                verbose=False,
            )
            _forget_sources(program.model)
            join_heads(program.model)
            program.save(path, external_data=False)
        except (torch.onnx.OnnxExporterError, RuntimeError, NotImplementedError) as error:
            said = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UserError(f"this model cannot be exported as onnx: {said.strip()[:300]}") from error
    return WrittenGraph(path.name, outputs, logits)


def _forget_sources(model: Any) -> None:
    """Takes out where on this machine the code of each operation is."""
    for node in model.graph.all_nodes():
        for name in _OF_THIS_MACHINE:
            node.metadata_props.pop(name, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of itself."""
    with errors_alone("torch.onnx", "onnxscript", "onnx_ir"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
