"""What predicts: an exported folder, without torch, or a checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mtl_lightning.errors import UserError
from mtl_lightning.exported.description import FORMAT
from mtl_lightning.exported.model import ExportedModel
from mtl_lightning.manifest import manifest_of
from mtl_lightning.serve.catalogue import Catalogue, told
from mtl_lightning.serve.options import Options


class Model(Protocol):
    """What predicts."""

    def predict(
        self, columns: Mapping[str, Sequence[Any]], batch_size: int = 64, tasks: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """See :meth:`.ExportedModel.predict`."""


def is_exported(model: str) -> bool:
    """Whether a path is a folder that predicts without torch."""
    found = manifest_of(Path(model))
    return found is not None and found.format == FORMAT


def opened(options: Options, device: str) -> tuple[Model, Catalogue]:
    """The model, ready to predict, and what can be asked of it.

    Args:
        options: Which one, and how many threads compute.
        device: Of a checkpoint; an exported model computes on the CPU.

    Raises:
        UserError: If there is none, or it is broken.
    """
    if is_exported(options.model):
        return _exported(options)
    try:
        return _trained(options, device)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{options.model} is no folder that `export --format onnx` wrote; a checkpoint needs {error.name}, "
            "which is not installed"
        ) from error


def _exported(options: Options) -> tuple[Model, Catalogue]:
    model = ExportedModel(options.model, options.threads, spins=False)  # who answers needs a core, too
    for reading in model.readings:
        model.open(reading)
    ways: dict[frozenset[str], list[str]] = {}
    for reading in model.readings:
        known = ways.setdefault(frozenset(reading.columns), [])
        known += [task for task in reading.outputs if task not in known]
    tasks = {name: told(decoder.state()) for name, decoder in model.tasks.items()}
    return model, Catalogue(tasks, list(ways.items()), model.inputs.files, model.inputs.optional, model.inputs.may_lack)


def _trained(options: Options, device: str) -> tuple[Model, Catalogue]:
    import torch

    from mtl_lightning.checkpoints import find_checkpoint
    from mtl_lightning.cli.quiet import quieten_libraries
    from mtl_lightning.training.from_checkpoint import data_of
    from mtl_lightning.training.loading import load

    quieten_libraries()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    path = find_checkpoint(options.model, options.name, last=False, key="FOLDER|RUN")
    trusted = options.trust_classes.split(",") if options.trust_classes else ()
    model = load(path, trusted).to(device)
    ways: dict[frozenset[str], list[str]] = {}
    datasets = data_of(path, trusted, "--trust_classes {}").datasets
    model.ways = [(source.inputs, list(source.labels)) for source in datasets.values()]
    for source in datasets.values():
        known = ways.setdefault(frozenset(source.inputs), [])
        known += [task for task in model.tasks if task in source.labels and task not in known]
    about: dict[str, dict[str, Any]] = {}
    processor = model.encoder.processor
    for name, task in model.tasks.items():
        try:
            about[name] = told(task.decoder().state())
        except UserError:  # it writes
            about[name] = {"predicts": type(task).__name__}
    return model, Catalogue(about, list(ways.items()), processor.files, processor.optional, processor.may_lack)
