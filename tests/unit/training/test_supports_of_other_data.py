"""Episodes whose support sets come from other tasks or data sets: gradients by hand, runs, and what is refused."""

import copy
import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
import yaml
from torch.func import functional_call

from mtl_lightning.data import Batch, Episodes
from mtl_lightning.data.episodes import Form
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.inner_loops import ANIL, MAML
from mtl_lightning.tasks import Regression
from mtl_lightning.training import adapting
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.weighting import EqualWeighting

SIZE, SHOTS, QUERIES = 2, 3, 4


def module(loop: Any) -> MultiTaskModule:
    torch.manual_seed(1)
    tasks = {name: Regression(mean=0.0, std=1.0, dropout=0.0) for name in ("near", "far")}
    made = MultiTaskModule(PerceptronEncoder(in_features=3, hidden=[8]), tasks, EqualWeighting, inner_loop=loop)
    data = SimpleNamespace(
        episodes={"own": Episodes(shots=SHOTS, queries=QUERIES, support=["other"], support_tasks=["near"])},
        datasets={"own": SimpleNamespace(labels={"far": "y"}), "other": SimpleNamespace(labels={"near": "y"})},
    )
    made._trainer = SimpleNamespace(datamodule=data)  # type: ignore[assignment]
    made.build()
    return made.double()


def part(seed: int, size: int, task: str, **options: Any) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(shape, generator=draw, dtype=torch.float64) for shape in ((size, 3), (size,)))
    return Batch({"features": x}, {task: y}, {task: size}, {task: 1.0}, [*range(size)], 0, **options)


def batch() -> Batch:
    form = Form(0, QUERIES, support_tasks=("near",))
    others = {"a": part(2, SIZE * SHOTS, "near"), "b": part(3, SIZE * SHOTS, "near")}
    return part(1, SIZE * QUERIES, "far", form=form, supports=others)


def by_hand(model: MultiTaskModule, adapts: dict[str, torch.Tensor]) -> torch.Tensor:
    """The mean query loss after one step of rate .3 on the mean loss of two support sets."""
    given, losses = batch(), []

    def loss(values: Any, each: Batch, task: str, rows: slice) -> torch.Tensor:
        logits = functional_call(model, values, ({"features": each.inputs["features"][rows]}, [task]))[task]
        return (logits[:, 0] - each.targets[task][rows]).square().mean()

    for number in range(SIZE):
        rows, query = (slice(number * n, (number + 1) * n) for n in (SHOTS, QUERIES))
        support = torch.stack([loss(adapts, each, "near", rows) for each in given.supports.values()]).mean()
        gradients = torch.autograd.grad(support, list(adapts.values()), create_graph=True, allow_unused=True)
        after = {n: p if g is None else p - 0.3 * g for (n, p), g in zip(adapts.items(), gradients, strict=True)}
        losses.append(loss(after, given, "far", query))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("kind", [MAML, ANIL])
@pytest.mark.parametrize("vectorized", [False, True])
def test_the_gradient_is_that_of_one_tasks_query_after_a_step_by_another_task(kind: Any, vectorized: bool) -> None:
    model = module(kind(0.3, vectorized=vectorized))
    found = model.losses([batch()]).losses
    assert list(found) == ["far"]
    expected = by_hand(model, model.inner_loop.chosen(adapting.adaptable(model)))  # type: ignore[union-attr]
    torch.testing.assert_close(found["far"], expected)
    named = dict(model.named_parameters())
    pairs = [torch.autograd.grad(each, list(named.values()), allow_unused=True) for each in (found["far"], expected)]
    for name, ours, theirs in zip(named, *pairs, strict=True):
        assert (ours is None) == (theirs is None), name
        torch.testing.assert_close(ours, theirs)
    of_near = dict(zip(named, pairs[0], strict=True))["heads.near.head.weight"]
    assert (of_near is not None and bool(of_near.any())) == (kind is MAML)
    assert len(list(adapting.answers(model, batch()))) == SIZE


def test_heads_that_are_adapted_by_train_by_the_query_loss_too() -> None:
    model = module(MAML())
    assert adapting.adapted_with(model, "far") == ["near"]
    _, own, _ = model._trained.of(model)
    heads = {name: {id(p) for p in model.tasks[name].parameters()} for name in ("near", "far")}
    assert {id(p) for p in own["far"]} == heads["near"] | heads["far"]
    assert {id(p) for p in own["near"]} == heads["near"]


def source(task: str) -> dict[str, Any]:
    files = {"train": f"{task}.jsonl", "val": f"{task}.jsonl"}
    return {
        "class_path": "FileSource",
        "init_args": {"files": files, "inputs": {"features": "f"}, "labels": {task[:4]: "y"}},
    }


CONFIG: dict[str, Any] = {
    **tiny.CONFIG,
    "model": {
        "encoder": {"class_path": "PerceptronEncoder", "init_args": {"in_features": 2, "hidden": [4]}},
        "tasks": {"near": "Regression", "size": "Regression"},
        "inner_loop": {"class_path": "MAML", "init_args": {"lr": 0.1}},
        "weighting": "PCGrad",
    },
    "data": {
        "datasets": {name: source(name) for name in ("near_a", "near_b", "size")},
        "episodes": {
            "near_a": {"shots": 2, "queries": 3, "support": ["near_b"], "evaluated": 4, "per_epoch": 8},
            "size": {
                "shots": 2,
                "queries": 3,
                "support": ["near_a", "near_b"],
                "support_tasks": ["near"],
                "per_epoch": 8,
                "evaluated": 0,
            },
        },
        "batch_size": 2,
        "num_workers": 0,
    },
}


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw = random.Random(1)
    for name in CONFIG["data"]["datasets"]:
        rows = [{"f": [draw.random(), draw.random()], "y": draw.random()} for _ in range(12)]
        tiny.write_rows(Path(f"{name}.jsonl"), rows)
    configure()


def configure(**changes: Any) -> None:
    """Writes the configuration, with changes by dotted key; null removes one."""
    config = copy.deepcopy(CONFIG)
    for key, value in changes.items():
        *path, last = key.split(".")
        place = config
        for name in path:
            place = place[name]
        place[last] = value
        if value is None:
            del place[last]
    Path("config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def test_a_run_resumed_in_mid_epoch_is_the_same_to_the_bit() -> None:
    assert tiny.fit("whole", "--evaluate=val", "--json=val.json") == 0
    assert tiny.fit("part", "--trainer.max_steps=3") == 0
    assert tiny.fit("part", "--ckpt_path=part") == 0
    tiny.check_same_states()
    found = json.loads(Path("val.json").read_text())
    assert "loss_interval" in found["near"]
    assert "loss_interval" not in found["size"]  # each example once, and nothing adapts
    assert {name for name in tiny.logged("whole") if "gradient" in name}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.inner_loop": None}, "data.episodes.near_a.support: without `model.inner_loop` nothing adapts to"),
        ({"data.episodes.near_a.support": ["near"]}, "near_a.support names the unknown data set 'near'; did you mean"),
        (
            {"data.episodes.size.support_tasks": ["bear"]},
            "size.support_tasks: unknown task 'bear'; did you mean 'near'",
        ),
        ({"data.episodes.size.support_tasks": None}, "data.episodes.size: near_a labels near, and so gives nothing to"),
        ({"data.episodes.size.support_tasks": ["near", "size"]}, "'size' is labelled by no support set (of near_a and"),
        ({"data.episodes.near_a.shots": 13}, "data.episodes.near_a, split 'val': a support set needs 13 (`shots`)"),
        ({"data.episodes.near_a.queries": 13}, "an episode needs 13 (`queries`) labelled examples, found at most 12"),
        (
            {"data.datasets.near_b.init_args.files": {"train": "near_b.jsonl"}},
            "data.episodes.near_a.support: 'near_b' has no split 'val' to adapt to; give it one, or set `evaluated: 0`",
        ),
        ({"data.episodes.near_a.ways": 2}, "data.episodes: `support` does not go with `ways`"),
    ],
)
def test_what_cannot_work_is_refused_in_a_line(
    changes: dict[str, Any], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(**changes)
    assert tiny.fit("run") == 2
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert message in said[0]
