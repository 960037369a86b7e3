"""Every sharing, with its defaults, trains, is evaluated, predicts, resumes and compiles, on data sets of their own."""

import inspect
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from datasets import Dataset
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny import BERT
from torch import Tensor, nn
from torch.optim import AdamW

from mtl_lightning import MultiTaskModule, sharing
from mtl_lightning.data import DataSource, MultiTaskDataModule
from mtl_lightning.data.schedules import Alternating, RoundRobin
from mtl_lightning.encoders import Encoder, PerceptronEncoder, TransformerEncoder
from mtl_lightning.sharing import Sharing
from mtl_lightning.tasks import Regression, SequenceClassification, Task, TokenClassification
from mtl_lightning.training.compilation import compile_encoder
from mtl_lightning.weighting import EqualWeighting, MoCo, UPGrad

SHARINGS: dict[str, type[Sharing]] = {
    name: value
    for name, value in vars(sharing).items()
    if inspect.isclass(value) and issubclass(value, Sharing) and not inspect.isabstract(value)
}
CASES = [(name, "perceptron") for name in SHARINGS] + [(name, "transformer") for name in sorted(SHARINGS)[::6]]
FAMILIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "loss": ({"weighting": EqualWeighting}, {"precision": "bf16-mixed"}),
    "jacobian": ({"weighting": MoCo}, {"accumulate_grad_batches": 2}),
}
"""Each sharing trains with one of them, and with the third, Gramian weightings, where it is looked at whether tasks are
learnt."""

Case = tuple[str, str]
pytestmark = pytest.mark.filterwarnings("ignore:.*available CUDA.*", "ignore:.*not a leaf Tensor is being accessed")


class Rows(DataSource):
    """Points, and words that say the same: how large one is, on which side it lies, and the case of each word."""

    def __init__(self, inputs: dict[str, str], labels: dict[str, str], seed: int) -> None:
        super().__init__(inputs, labels)
        self.seed = seed

    def load(self) -> dict[str, Dataset]:
        return dict.fromkeys(("train", "val"), table(self.seed))


@cache
def table(seed: int) -> Dataset:
    draw = Random(seed)
    points = [[draw.gauss(0, 1) for _ in range(6)] for _ in range(18)]
    rows = [
        {
            "point": point,
            "words": ["UP" if value > 0 else "down" for value in point[: 1 + i % 3]],
            "text": "UP" if point[0] > 0 else "down",
            "side": "xy"[point[0] > 0],
            "width": point[1] - point[2],
            "height": None if i % 5 == 0 else point[0] + point[1],
            "tags": ["B-U" if value > 0 else "O" for value in point[: 1 + i % 3]],
        }
        for i, point in enumerate(points)
    ]
    return Dataset.from_list(rows)


def data(kind: str, schedule: Any = RoundRobin) -> MultiTaskDataModule:
    """Two data sets: one labels the first and second task, the other the third and first."""
    if kind == "perceptron":
        inputs = [{"features": "point"}] * 2
        labels = [{"a": "height", "b": "side"}, {"c": "width", "a": "height"}]
    else:
        inputs = [{"text": "text"}, {"tokens": "words"}]
        labels = [{"a": "height", "b": "side"}, {"c": "tags", "a": "height"}]
    sources = {name: Rows(inputs[i], labels[i], 2 * i) for i, name in enumerate(("first", "second"))}
    return MultiTaskDataModule(dict(sources), batch_size=6, num_workers=0, schedule=schedule())


def module(case: Case, dropout: float = 0.0, **options: Any) -> MultiTaskModule:
    """The same weights each time."""
    name, kind = case
    torch.manual_seed(1)
    encoder: Encoder = PerceptronEncoder(6, [6, 6], dropout=dropout)
    if kind == "transformer":
        encoder = TransformerEncoder(config=BERT, tokenizer="characters:ascii", max_length=12, dropout=dropout)
    tasks: dict[str, Task] = {"a": Regression(0.0, 1.0), "b": SequenceClassification(["x", "y"])}
    tasks["c"] = Regression(0.0, 1.0) if kind == "perceptron" else TokenClassification("bio", ["O", "B-U", "I-U"])
    options = {"optimizer": partial(AdamW, lr=0.02), **options}
    return MultiTaskModule(encoder, tasks, sharing=SHARINGS[name], **options)


def trainer(*callbacks: Callback, **settings: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=50,
        callbacks=list(callbacks),
        **{"enable_checkpointing": False, "max_epochs": 1, "check_val_every_n_epoch": None, **settings},
    )


class Gradients(Callback):
    """The size of each parameter's gradients, in all steps together."""

    def __init__(self) -> None:
        self.sizes: dict[str, float] = {}

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        for name, parameter in pl_module.named_parameters():
            if parameter.grad is not None:
                assert parameter.grad.isfinite().all(), name
                self.sizes[name] = self.sizes.get(name, 0.0) + float(parameter.grad.abs().sum())


def states(of: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in of.state_dict().items() if isinstance(value, Tensor)}


@pytest.fixture(params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param  # type: ignore[no-any-return]


def test_all_parameters_train_though_tasks_are_missing(case: Case) -> None:
    options, settings = FAMILIES["loss" if CASES.index(case) % 2 else "jacobian"]
    made, gradients = module(case, **options), Gradients()
    run = trainer(gradients, **settings)
    run.fit(made, datamodule=data(case[1], Alternating))
    assert made.step is not None and run.global_step == 6 // run.accumulate_grad_batches
    assert untrained(made, gradients) == []


def untrained(made: MultiTaskModule, gradients: Gradients) -> list[str]:
    """Names of parameters that should train, and had no gradient."""
    names = [name for name, parameter in made.named_parameters() if parameter.requires_grad]
    return [name for name in names if not gradients.sizes.get(name)]


def test_it_learns_is_evaluated_and_predicts(case: Case) -> None:
    made, gradients = module(case, weighting=UPGrad), Gradients()
    source = data(case[1], partial(RoundRobin, epoch_length=12))
    (before,) = trainer().validate(made, datamodule=source, verbose=False)
    trainer(gradients, limit_val_batches=0).fit(made, datamodule=source)
    assert untrained(made, gradients) == []
    (after,) = trainer().validate(made, datamodule=source, verbose=False)
    for task in "abc":
        assert after[f"val/{task}/loss"] < before[f"val/{task}/loss"], task
    inputs = {"features": table(0)["point"]} if case[1] == "perceptron" else {"tokens": table(0)["words"]}
    found, alone = made.predict(inputs), made.predict(inputs, tasks=["b"])
    assert all(set(row) == {"a", "b", "c"} for row in found) and all(set(row) == {"b"} for row in alone)
    assert [row["b"]["label"] for row in alone] == [row["b"]["label"] for row in found]


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("name", SHARINGS)
def test_a_resumed_run_goes_on_bitwise(name: str, tmp_path: Path) -> None:
    case, ends = (name, "perceptron"), []
    for checkpoint in (None, tmp_path / "step=4.ckpt"):
        made = module(case, dropout=0.2, weighting=UPGrad)
        saving = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=4, save_top_k=-1)
        run = trainer(saving, max_epochs=2, enable_checkpointing=True)
        run.fit(made, datamodule=data(case[1]), ckpt_path=checkpoint, weights_only=True)
        assert run.global_step == 6
        ends.append(states(made))
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


@pytest.mark.parametrize("name", SHARINGS)
def test_compiled_parts_compute_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer is left out: it has each graph compiled for each number of examples."""
    compile_in_place = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda *parts, **_: compile_in_place(*parts, backend="eager"))
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    inputs, found = {"features": torch.randn(4, 6)}, []
    for compiling in (False, True):
        made = module((name, "perceptron"))
        if compiling:
            compile_encoder(made.sharing)
        torch.manual_seed(2)
        vectors = [each.pooled for each in made.sharing(inputs, ["a", "c"]).values()]
        held = [*made.encoder.parameters(), *made.sharing.parameters()]
        parameters = [parameter for parameter in held if parameter.requires_grad]
        sums = [vector.sum() for vector in vectors]
        found.append((vectors, [torch.autograd.grad(one, parameters, None, True, allow_unused=True) for one in sums]))
    torch.testing.assert_close(*found)
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0
