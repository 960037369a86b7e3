"""How each method learns an intent and its slots from few sentences, and what it then says of others."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtl_lightning import load
from mtl_lightning.__main__ import main
from mtl_lightning.adapt.choosing import learn
from mtl_lightning.adapt.examples import Examples
from mtl_lightning.adapt.learners import HeadLearner, Learner, WholeLearner
from mtl_lightning.adapt.model import begin
from mtl_lightning.adapt.options import parsed
from mtl_lightning.data import FileSource
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.training.module import MultiTaskModule

HERE = Path(__file__).parent
Sentences = Sequence[Sequence[str]]


class Few(NamedTuple):
    """What a method starts from.

    Attributes:
        joint: Checkpoint of the model that was trained on both tasks.
        meta: That of the one which went on from it in episodes.
        file: The few sentences.
        folder: For what a method writes.
        flags: Options of every ``fit``.
    """

    joint: Path
    meta: Path
    file: Path
    folder: Path
    flags: Sequence[str]


class Said(NamedTuple):
    """What a method says.

    Attributes:
        intents: Of each sentence of all intents.
        tags: Of each sentence of the held-out intent.
    """

    intents: list[str]
    tags: list[list[str]]


def fit(folder: Path, *arguments: str) -> Path:
    """Trains; returns the checkpoint."""
    if status := main(["fit", *arguments, f"--trainer.default_root_dir={folder}", "--wandb=off"]):
        raise SystemExit(status)
    return folder / "checkpoints" / "last.ckpt"


def _intents(model: MultiTaskModule, sentences: Sentences) -> list[str]:
    return [row["intent"]["label"] for row in model.predict({"tokens": sentences}, tasks=["intent"])]


def _tags(model: MultiTaskModule, sentences: Sentences) -> list[list[str]]:
    return [row["slots"]["labels"] for row in model.predict({"tokens": sentences}, tasks=["slots"])]


def _after(learner: Learner, steps: int) -> MultiTaskModule:
    """The model with what it learns in some steps."""
    values = learn(learner, learner.examples.labelled, steps)
    learner.model.load_state_dict({**learner.model.state_dict(), **values})
    return learner.model


def _adapted(few: Few, task: str, by: str, steps: int, lr: float) -> MultiTaskModule:
    """What ``adapt --by`` does in a fixed number of steps: a new head, and what goes with it."""
    start = few.meta if by == "inner_loop" else few.joint
    options = {"ckpt_path": start, "task": task, "data": few.file, "output": few.folder / "adapted.ckpt", "by": by}
    begun = begin(start, parsed([word for name, value in options.items() for word in (f"--{name}", str(value))]))
    if by in ("head", "prototypes"):
        return _after(HeadLearner(begun.model, task, begun.examples, None, steps, lr), steps or 8)
    loop = begun.loop if by == "inner_loop" else None
    return _after(WholeLearner(begun.model, task, begun.examples, steps, lr, loop), steps)


def by_adapt(few: Few, everything: Sentences, own: Sentences, by: str, steps: int, lr: float) -> Said:
    """A new head for each task, from the joint model."""
    return Said(
        _intents(_adapted(few, "intent", by, steps, lr), everything), _tags(_adapted(few, "slots", by, steps, lr), own)
    )


def by_prototypes(few: Few, everything: Sentences, own: Sentences) -> Said:
    """The nearest mean of sentences, and of words, by the joint model's features."""
    source = FileSource({"train": few.file.name}, {"tokens": "tokens"}, {"slots": "slots"}, str(few.file.parent))
    rows = source.load()["train"]
    model = load(few.joint)
    tags = [tag for row in rows["slots"] for tag in row]
    names = sorted(set(tags))
    numbers = torch.tensor([names.index(tag) for tag in tags])
    vectors = torch.cat(_word_vectors(model, rows["tokens"]))
    means = torch.stack([vectors[numbers == number].mean(0) for number in range(len(names))])
    said = [[names[i] for i in torch.cdist(each, means).argmin(1).tolist()] for each in _word_vectors(model, own)]
    return Said(_intents(_adapted(few, "intent", "prototypes", 0, 1.0), everything), said)


def _word_vectors(model: MultiTaskModule, sentences: Sentences) -> list[Tensor]:
    """The encoder's features of the words of each sentence [L, D]."""
    columns = model.encoder.processor.encode({"tokens": list(sentences)})
    examples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    with torch.inference_mode():
        tokens = model.eval().encoder(model.encoder.processor.collate(examples)).tokens
    assert tokens is not None
    return [tokens[number, : len(sentence)].float() for number, sentence in enumerate(sentences)]


def by_full(few: Few, everything: Sentences, own: Sentences, epochs: int, lr: float) -> Said:
    """All of the joint model is trained on, by both tasks at once."""
    place = ["--data.datasets.snips.files.train", few.file.name, f"--data.datasets.snips.root={few.file.parent}"]
    options = [f"--init_from={few.joint}", f"--trainer.max_epochs={epochs}", f"--model.optimizer.lr={lr}"]
    with TemporaryDirectory(dir=few.folder) as folder:
        model = load(fit(Path(folder, "run"), f"--config={HERE / 'snips.yaml'}", *few.flags, *place, *options))
    return Said(_intents(model, everything), _tags(model, own))


def by_inner_loop(few: Few, everything: Sentences, own: Sentences, steps: int) -> Said:
    """The steps of the inner loop: of a new head for intents, and of the head of slots that was learnt for them."""
    model = load(few.meta)
    source = FileSource({"train": few.file.name}, {"tokens": "tokens"}, {"slots": "slots"}, str(few.file.parent))
    tasks: dict[str, Any] = {"slots": model.tasks["slots"]}
    encoding = Encoding("few", source, model.encoder.processor, tasks)
    examples = Examples(encoding, source.load()["train"], few.folder)
    slots = _after(WholeLearner(model.eval(), "slots", examples, steps, 1.0, model.inner_loop), steps)
    return Said(_intents(_adapted(few, "intent", "inner_loop", steps, 1.0), everything), _tags(slots, own))


METHODS: dict[str, Callable[[Few, Sentences, Sentences], Said]] = {
    "prototypes": by_prototypes,
    "head": partial(by_adapt, by="head", steps=50, lr=0.01),
    "LoRA": partial(by_adapt, by="lora", steps=10, lr=0.003),
    "full": partial(by_full, epochs=10, lr=0.0003),
    "inner loop": partial(by_inner_loop, steps=100),
}
