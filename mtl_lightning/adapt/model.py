"""A model with a new task, which begins at a trained one."""

from collections.abc import Sequence
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from mtl_lightning import tasks
from mtl_lightning.adapt.examples import Config, Examples, read
from mtl_lightning.adapt.options import ON_FEATURES
from mtl_lightning.checkpoints import checkpoint_config
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.labels import understood_labels
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.inner_loops import InnerLoop
from mtl_lightning.names import checked_name, names_asked
from mtl_lightning.sharing import LoRA
from mtl_lightning.tasks import SequenceClassification, Task
from mtl_lightning.training.from_checkpoint import made
from mtl_lightning.training.loading import load
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.trust.imports import Imports
from mtl_lightning.writing import temporary_folder


class Begun(NamedTuple):
    """What adaptation begins with.

    Attributes:
        model: With the new task, whose head knows its labels, and learns next.
        examples: To learn from.
        judged: Further examples to be judged by; null: there are none.
        embedding: What a task that compares features puts behind them; null: nothing.
        loop: The inner loop that the trained model has; null: none.
    """

    model: MultiTaskModule
    examples: Examples
    judged: Examples | None
    embedding: nn.Linear | None
    loop: InnerLoop | None


def begin(path: Path, given: Any) -> Begun:
    """Makes a model of a trained one, with a new task.

    Args:
        path: The trained one's checkpoint.
        given: Options of ``adapt``.

    Raises:
        UserError: If the model, the task and the data do not fit together.
    """
    trusted = given.trust_classes.split(",") if given.trust_classes else ()
    base, name = load(path, trusted), checked_name("--task", given.task)
    kind, stays = _class(base, name, given.kind), given.by in ON_FEATURES
    same = _reading_the_same(base, name, given.like)
    plain = base.merge(*(same if stays else same[:1]))
    assert plain.config is not None, "it was in the checkpoint"
    kept = [task for task in plain.tasks if stays and task != name and not plain.tasks[task].by_episode]
    of_task, datasets = _task(base, name, kind), plain.config["data"]["datasets"]
    with temporary_folder() as folder, ExitStack() as stack:
        start = folder / "start.ckpt"
        plain.save(start)
        config, places = checkpoint_config(start, stack)
        imports = Imports(str(path), places, trusted)
        files = [file for file in (given.data, given.test) if file is not None]
        tables = [read(file, name, given.label, kind, datasets, imports) for file in files]
        sharing = {"class_path": _path_of(LoRA), "init_args": {"rank": given.rank}}
        model = made(
            MultiTaskModule,
            _with_task(config["model"], kept, name, of_task) | ({"sharing": sharing} if given.by == "lora" else {}),
            path,
            imports,
        )
        task: Any = model.tasks[name]
        encodings = [Encoding(name, table.source, model.encoder.processor, {name: task}) for table in tables]
        model.start_from(start)
        model.build(lambda _: understood_labels(encodings[0], tables[0].rows, "train", name))
    whole = {
        **plain.config,
        "model": _with_task(plain.config["model"], kept, name, of_task),
        "data": _data(datasets, name, tables[0].config, kept),
    }
    model.keep_config(whole, base.config_is_own, base.config_places)
    beside = Path(given.output).parent
    examples = [Examples(encoding, table.rows, beside) for encoding, table in zip(encodings, tables, strict=True)]
    judged = examples[1] if given.test is not None else None
    return Begun(model.eval(), examples[0], judged, _embedding(base, given.like), base.inner_loop)


def _reading_the_same(base: MultiTaskModule, name: str, like: str | None) -> list[str]:
    """The tasks whose features the new one reads; the first is the one that it is like."""
    if like is not None:
        names_asked("--like", [like], list(base.tasks))
    plain = [task for task in base.tasks if len(base.chain.needed([task])) == 1]
    if like is None and (name in base.tasks or base.sharing.is_plain or len(base.tasks) == 1):
        like = name if name in plain else plain[0]
    if like is None:
        kind = type(base.sharing).__name__
        raise UserError(f"--like: under {kind} each task reads features of its own; name the one to go on from")
    return sorted(plain, key=lambda task: task != like) if base.sharing.is_plain else [like]


def _with_task(model: Config, kept: Sequence[str], name: str, of_task: Config) -> Config:
    """A model's configuration, of its encoder, the tasks that it keeps, and a new one."""
    return {
        "encoder": deepcopy(model["encoder"]),
        "tasks": deepcopy({**{task: model["tasks"][task] for task in kept}, name: of_task}),
    }


def _class(base: MultiTaskModule, name: str, kind: str | None) -> type[Task]:
    """The new task's class: the one that is asked for, or that of the task of its name, or the usual one."""
    if kind is not None:
        if kind not in (known := _kinds()):
            raise UserError(f"--kind: unknown class '{kind[:80]}'; {did_you_mean(kind, known)}")
        return known[kind]
    was = base.tasks.get(name)
    return SequenceClassification if was is None or was.by_episode else type(was)


def _task(base: MultiTaskModule, name: str, kind: type[Task]) -> Config:
    """The new task, as a configuration describes it: as that of its name was, but for what it learnt of its labels."""
    was = base.tasks.get(name)
    if was is None or type(was) is not kind:
        return {"class_path": _path_of(kind), "init_args": {}}
    found: Any = deepcopy((base.config or {})["model"]["tasks"][name])
    found = {"class_path": found} if isinstance(found, str) else found
    settings = {key: value for key, value in found.get("init_args", {}).items() if key not in was.adapted()}
    return {"class_path": found["class_path"], "init_args": settings}


def _kinds() -> dict[str, type[Task]]:
    """The tasks of this package that need nothing but a label, by their names."""
    kinds = [getattr(tasks, name) for name in tasks.__all__]
    found = [each for each in kinds if isinstance(each, type) and issubclass(each, Task) and each is not Task]
    return {each.__name__: each for each in found if not each.by_episode}


def _data(datasets: dict[str, Config], name: str, few: Config, kept: Sequence[str]) -> Config:
    """The data of the new model: what labels the tasks that it keeps, and the few examples."""
    found = {}
    for dataset, config in datasets.items():
        labels = {task: of for task, of in config.get("init_args", {}).get("labels", {}).items() if task in kept}
        if labels:
            found[dataset] = {**config, "init_args": {**config["init_args"], "labels": labels}}
    return {"datasets": {**found, f"{name}_examples" if name in found else name: few}}


def _embedding(base: MultiTaskModule, like: str | None) -> nn.Linear | None:
    """What the model puts behind features to compare them, if a task that does so is meant, or is the only one."""
    comparing = [task for task in base.tasks.values() if task.reads_support]
    meant = [base.tasks[like]] if like is not None else comparing if len(base.tasks) == 1 else []
    return next((task.head for task in meant if task.reads_support and isinstance(task.head, nn.Linear)), None)


def _path_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
