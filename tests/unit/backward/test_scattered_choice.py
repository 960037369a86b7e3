"""When rows are kept in parts: where the parts are of some size, unless a Jacobian method sees them."""

import pytest
import torch
from torch import nn

from mtl_lightning.backward import Executor, evidence, processes
from mtl_lightning.backward.rows import Rows, WholeRows
from mtl_lightning.backward.scattered_rows import ScatteredRows
from mtl_lightning.backward.step import Setup
from mtl_lightning.weighting import DWA, MoCo, UPGrad, Weighting

ONE_MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("backend", "device", "number", "size", "expected"),
    [
        ("nccl", "cuda", 8, ONE_MEGABYTE, True),
        ("nccl", "cuda", 8, ONE_MEGABYTE - 8, False),
        ("nccl", "cuda", 1, ONE_MEGABYTE, False),
        ("gloo", "cpu", 8, 16 * ONE_MEGABYTE, True),
        ("gloo", "cpu", 8, 16 * ONE_MEGABYTE - 8, False),
        ("gloo", "cuda", 8, 16 * ONE_MEGABYTE, False),
        ("mpi", "cpu", 8, 16 * ONE_MEGABYTE, False),
    ],
    ids=["large", "small parts", "one process", "gloo", "gloo, small parts", "gloo on GPUs", "another backend"],
)
def test_parts_pay(
    monkeypatch: pytest.MonkeyPatch, backend: str, device: str, number: int, size: int, expected: bool
) -> None:
    monkeypatch.setattr(processes, "num_processes", lambda: number)
    monkeypatch.setattr("torch.distributed.get_backend", lambda: backend)
    assert processes.adds_up_parts_sooner(size, torch.device(device)) is expected


@pytest.mark.parametrize(("weighting", "kind"), [(UPGrad, ScatteredRows), (DWA, ScatteredRows), (MoCo, WholeRows)])
def test_the_rows_of_a_jacobian_method_are_whole(
    monkeypatch: pytest.MonkeyPatch, weighting: type[Weighting], kind: type[Rows]
) -> None:
    shared, heads = nn.Linear(3, 2), {task: nn.Linear(2, 1).parameters() for task in "ab"}
    executor = Executor(weighting(["a", "b"]), shared.parameters(), heads)
    assert type(executor._rows) is WholeRows
    asked: list[int] = []
    monkeypatch.setattr(evidence, "adds_up_parts_sooner", lambda size, device: bool(asked.append(size)) or True)
    executor.discard()  # as when training starts, and the other processes are there
    assert type(executor._rows) is kind
    assert asked == ([] if kind is WholeRows else [4 * 8])


@pytest.mark.parametrize(("width", "sent_early"), [(512, True), (3, False)], ids=["long rows", "short rows"])
def test_long_rows_are_sent_while_the_next_ones_are_computed(
    monkeypatch: pytest.MonkeyPatch, width: int, sent_early: bool
) -> None:
    shared, heads = nn.Linear(width, 520), {task: nn.Linear(520, 1) for task in "abc"}
    executor = Executor(
        UPGrad([*"abc"]), shared.parameters(), {task: head.parameters() for task, head in heads.items()}
    )
    events: list[str] = []
    differentiate, send = Setup.differentiate, Rows._send_row
    monkeypatch.setattr(Setup, "differentiate", lambda *given: (events.append("computed"), differentiate(*given))[1])
    monkeypatch.setattr(Rows, "_send_row", lambda rows, place: (events.append(f"{place} sent"), send(rows, place))[1])
    features = shared(torch.ones(2, width))
    losses = {task: heads[task](features).square().mean() for task in "ac"}  # b has labels elsewhere
    executor.add(losses, dict.fromkeys("abc", 1.0), complete="abc")
    early = ["computed", "0 sent", "1 sent", "computed", "2 sent"]
    assert events == (early if sent_early else ["computed", "computed", "0 sent", "1 sent", "2 sent"])
    step = executor.combine()
    executor.backward(step.objective)
    assert len(events) == 5 and torch.count_nonzero(step.gramian[1]) == 0


class PartOfRows(Rows):
    """What a process holds that has the first number of each row alone, as of sharded parameters."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        super().__init__(parameters, num_tasks=2)
        self.num_parameters = self._width = 1
        self.sent: list[float] = []

    @property
    def _sources(self) -> list[torch.Tensor]:
        return [self.parameters[0][:1]]

    def _send_row(self, place: int) -> None:
        self.sent.append(float(self._written(place)))


def test_processes_that_hold_little_of_a_long_row_send_it_as_early_as_others() -> None:
    rows = PartOfRows([nn.Parameter(torch.zeros(1 << 18))])
    rows.start_batch("ab")
    for task, value in (("a", 5.0), ("b", 7.0)):
        rows.add(task, [torch.tensor([value])], rows._sources)
        rows.send(task)
        assert rows.sent[-1] == value, "sent before the next one comes"
    rows.end_batch()
    assert rows.sent == [5.0, 7.0]


def test_rows_of_which_nothing_is_sent_are_zero_where_a_task_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rows, "_send_row", lambda rows, place: None)  # as of parameters that are all sharded
    parameters = [nn.Parameter(torch.zeros(1 << 18))]
    rows = WholeRows(parameters, num_tasks=3)
    rows._memory().fill_(torch.nan)
    rows.start_batch("abc")
    rows.add("b", [torch.ones(1 << 18)], parameters)
    for task in "abc":
        rows.send(task)
    rows.end_batch()
    rows.gather(torch.device("cpu"))
    assert rows.values[:, 0].tolist() == [0.0, 1.0, 0.0]


def test_no_process_holds_the_jacobian_of_scattered_rows() -> None:
    assert hasattr(WholeRows, "jacobian") and not hasattr(ScatteredRows, "jacobian")


def test_zeros_at_the_end_of_rows_are_where_a_model_has_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl_lightning.backward.scattered_rows.num_processes", lambda: 4)
    monkeypatch.setattr(torch.__future__, "get_swap_module_params_on_conversion", lambda: True)  # the same objects
    shared = nn.Linear(3, 1)
    rows = ScatteredRows([shared.weight], num_tasks=2)
    shared.to("meta")
    assert rows.parameters[0].is_meta
    assert [(piece.shape, piece.is_meta) for piece in rows._padding] == [((1,), True)]
