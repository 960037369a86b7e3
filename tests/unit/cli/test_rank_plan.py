"""What ``fit --plan_ranks`` prints, and that it leaves nothing behind."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
import torch.distributed as dist
from torch import nn

from mtl_lightning import MultiTaskModule
from mtl_lightning.__main__ import main
from mtl_lightning.backward import Executor
from mtl_lightning.backward.feature_products import FeatureProducts
from mtl_lightning.backward.planned import planned
from mtl_lightning.backward.rows import WholeRows
from mtl_lightning.backward.scattered_rows import ScatteredRows
from mtl_lightning.cli.rank_plan import RankPlan, _memory, _state
from mtl_lightning.communication import H100_NODES, Size, Work, volumes
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Regression
from mtl_lightning.weighting import FSMTL, SAMO, EqualWeighting, MoCo, MoDo, UPGrad

ENCODER, HEADS = 3 * 4 + 4, (4 + 1) * 2 + (4 + 1)
BYTES = 4 * (ENCODER + HEADS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    tiny.write(tmp_path)
    return tmp_path


def rows(text: str) -> dict[str, list[str]]:
    """The cells of a table behind the first of each line."""
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line[:1] == "│"]
    return {first: rest for first, *rest in cells}


def test_it_prints_tables_and_leaves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.iterdir())
    given = ["--model.weighting=UPGrad", "--trainer.devices=4", "--trainer.strategy=ddp", "--wandb=offline"]
    assert main(["fit", "--config", "config.yaml", "--plan_ranks", "128", *given]) == 0
    assert sorted(folder.iterdir()) == before
    assert not dist.is_initialized()
    printed = capsys.readouterr().out
    assert printed.startswith("128 processes")
    found = rows(printed)
    assert found["parameters and buffers"] == found["their gradients"] == [f"{BYTES} B"]
    assert found["state of AdamW"] == [f"{2 * BYTES + 6 * 4} B"], "and the number of steps of each of six parameters"
    assert found["rows, 2 gradients"] == [f"{2 * 4 * ENCODER} B"]
    sent, exchanges, computing, waiting, together = found["this job"]
    assert (sent, exchanges) == (f"{volumes.rows(Size(2, ENCODER, HEADS)).sent(128):.3g} B", "5")
    assert computing.endswith("µs") and waiting.endswith("µs") and together.endswith("µs")
    assert found["sum of the losses, by DDP"][1] == "1"


def test_processes_divide_the_batch_of_a_step(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, computing = ["fit", "--config", "config.yaml", "--plan_ranks=16"], []
    for given in (["--data.batch_size=2"], ["--data.batch_size=32", "--data.batch_size_of=step"]):
        assert main([*command, *given]) == 0
        computing.append(rows(capsys.readouterr().out)["this job"][2])
    assert computing[0] == computing[1]
    assert main([*command, "--data.batch_size=8", "--data.batch_size_of=step"]) != 0
    printed = capsys.readouterr()
    assert "cannot be divided by 16 processes" in printed.err and not rows(printed.out)


def make(weighting: type, **options: object) -> Executor:
    shared, heads = nn.Linear(1000, 100), {task: nn.Linear(100, 1).parameters() for task in "abc"}
    return Executor(weighting(["a", "b", "c"]), shared.parameters(), heads, **options)  # type: ignore[arg-type]


SHARED, OWN = 100_100, 3 * 101


@pytest.mark.parametrize(
    ("weighting", "options", "number", "kind", "way"),
    [
        (UPGrad, {}, 2, ScatteredRows, "scattered_rows"),
        (UPGrad, {}, 128, WholeRows, "rows"),  # whose parts would be small
        (MoCo, {}, 2, WholeRows, "rows"),
        (UPGrad, {"gradient_of": "features"}, 2, FeatureProducts, "features"),
        (EqualWeighting, {}, 2, type(None), "plain"),
    ],
    ids=["large parts", "small parts", "Jacobian", "features", "losses"],
)
def test_a_job_is_planned_as_it_would_run(
    weighting: type, options: dict[str, object], number: int, kind: type, way: str
) -> None:
    plan = planned(make(weighting, **options), number)
    assert type(plan.rows) is kind
    assert plan.size == Size(3, SHARED, OWN)
    volume = getattr(volumes, way)(plan.size)
    assert plan.sent() == (pytest.approx(volume.sent(number)), len(volume.exchanges))
    assert plan.time(Work(1.0, 2.0), H100_NODES).total > 3.0
    if plan.rows is not None and kind is not FeatureProducts:
        parts = 1 / number if kind is ScatteredRows else 0
        assert plan.rows.num_bytes == 4 * 3 * SHARED * (1 + parts)


def test_steps_between_two_refreshes_count_as_often_as_they_come() -> None:
    plan = planned(make(UPGrad, refresh_every=4), 2)
    asked, between = (way(Size(3, SHARED, OWN)).sent(2) for way in (volumes.scattered_rows, volumes.known_weights))
    assert plan.sent()[0] == pytest.approx((asked + 3 * between) / 4)


def test_methods_of_several_batches_send_a_row_for_each_task_and_batch() -> None:
    plan = planned(make(MoDo), 2)
    assert plan.size == Size(3 * 3, SHARED, OWN)
    assert plan.rows is not None and plan.rows.num_bytes == 4 * 9 * SHARED * (1 + 1 / 2)


def test_methods_that_perturb_parameters_send_gradients_at_both_places() -> None:
    assert planned(make(FSMTL), 2).size == Size(2 * 3, SHARED, 2 * OWN)
    plan = planned(make(SAMO), 2)
    assert plan.size == Size(3 + 1, SHARED, 2 * OWN) and type(plan.rows) is WholeRows


def test_rows_of_some_parameters_are_followed_by_the_gradient_of_all() -> None:
    shared = nn.Linear(10, 10)
    heads = {task: nn.Linear(10, 1).parameters() for task in "ab"}
    plan = planned(Executor(UPGrad(["a", "b"]), shared.parameters(), heads, gradient_of=[shared.bias]), 2)
    assert plan.size == Size(2, 110, 22, compared=10)


@pytest.mark.parametrize(
    ("optimizer", "options", "expected"),
    [
        (torch.optim.AdamW, {}, 2 * 4 * 12 + 2 * 4),  # two moments, and each parameter's number of steps
        (torch.optim.SGD, {"momentum": 0.9}, 4 * 12),
        (torch.optim.SGD, {}, 0),
        (torch.optim.Adafactor, {}, None),
    ],
    ids=["AdamW", "momentum", "SGD", "needs numbers"],
)
def test_state_of_an_optimizer(optimizer: type, options: dict[str, float], expected: int | None) -> None:
    module = nn.Linear(3, 3)
    made = optimizer(module.parameters(), lr=0.1, **options)
    assert _state(made) == expected
    assert not made.state and all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize(
    ("optimizer", "rest"),
    [(torch.optim.SGD, "activations"), (torch.optim.Adafactor, "activations and what is not known")],
)
def test_a_sum_says_what_is_not_in_it(optimizer: type, rest: str) -> None:
    module = nn.Linear(3, 3)
    table = _memory(planned(make(EqualWeighting), 2), module, [optimizer(module.parameters(), lr=0.1)])
    assert list(table.columns[0].cells)[-1] == f"together, without {rest}"


def test_several_processes_are_refused() -> None:
    """As torchrun and srun start them, whatever the configuration says."""
    trainer: Any = SimpleNamespace(world_size=2)
    with pytest.raises(UserError, match="--plan_ranks needs one process, found 2"):
        RankPlan(8).on_fit_start(trainer, MultiTaskModule(PerceptronEncoder(3, [4]), {"a": Regression()}))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["fit", "--plan_ranks", "0"], "--plan_ranks: expected a number of processes, at least 1, found '0'"),
        (["fit", "--plan_ranks=many"], "--plan_ranks: expected a number of processes, at least 1, found 'many'"),
        (["fit", "--plan_ranks", "9" * 30], f"--plan_ranks: expected at most 1,000,000 processes, found '{'9' * 30}'"),
        (
            ["fit", "--plan_ranks=8", "--trainer.strategy=fsdp2"],
            "trainer.strategy: --plan_ranks plans `ddp` alone, found 'fsdp2'",
        ),
        (
            ["fit", "--plan_ranks=8", "--trainer.strategy=lightning.pytorch.strategies.FSDPStrategy"],
            "trainer.strategy: --plan_ranks plans `ddp` alone, found 'FSDPStrategy'",
        ),
        (["fit", "--plan_ranks"], "flag --plan_ranks has no value"),
        (["fit", "--config", "plans.yaml"], "plans.yaml, line 1: unknown key 'plan_ranks'"),
        (["compare", "--weightings", "equal,upgrad", "--plan_ranks", "8"], "compare has no --plan_ranks; ask `fit`"),
    ],
    ids=["none", "a word", "too many", "sharded", "a class", "nothing", "in a file", "of a comparison"],
)
def test_bad_questions_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], error: str
) -> None:
    (folder / "plans.yaml").write_text("plan_ranks: 8\n")
    command, *rest = arguments
    assert main([command, "--config", "config.yaml", *rest]) == 2
    assert error in capsys.readouterr().err
