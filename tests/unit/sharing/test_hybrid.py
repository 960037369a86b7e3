"""Hybrid sharing and separate encoders, between none and all."""

import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.encoders import ConvolutionalEncoder, Encoder, PerceptronEncoder, Representation
from mtl_lightning.encoders.tensors import TensorProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import HardSharing, HybridSharing, SeparateEncoders, Sharing

TASKS = ["a", "b", "c"]
INPUTS = {
    "perceptron": {"features": torch.randn(8, 5, generator=torch.Generator().manual_seed(1))},
    "convolution": {"image": torch.randn(8, 2, 8, 8, generator=torch.Generator().manual_seed(2))},
}
KINDS = list(INPUTS)
Make = Callable[[Sequence[str], Encoder], Sharing]


def encoder_of(kind: str, dropout: float = 0.2) -> Encoder:
    torch.manual_seed(0)
    if kind == "perceptron":
        return PerceptronEncoder(5, [4, 3, 6], dropout=dropout)
    return ConvolutionalEncoder(2, [3, 4], grid=(2, 2), features=6, batch_norm=True, dropout=dropout)


def loss(representation: Any, task: str) -> Tensor:
    target = torch.randn(6, generator=torch.Generator().manual_seed(TASKS.index(task)))
    return (representation.pooled - target).square().mean()  # type: ignore[no-any-return]


def trained(make: Make, kind: str, dropout: float = 0.2) -> tuple[Encoder, Sharing, dict[str, Tensor]]:
    """After three steps of SGD, with the representations of the last one."""
    encoder = encoder_of(kind, dropout)
    sharing = make(TASKS, encoder)
    parameters = list(dict.fromkeys([*encoder.parameters(), *sharing.parameters()]))
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    torch.manual_seed(3)
    for _ in range(3):
        optimizer.zero_grad()
        found = sharing(INPUTS[kind], TASKS)
        torch.stack([loss(found[task], task) for task in TASKS]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return encoder, sharing, {task: found[task].pooled for task in TASKS}


def assert_same(first: nn.Module, second: nn.Module) -> None:
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_all_stages_shared_is_hard_sharing(kind: str) -> None:
    for groups in (None, [["c"], ["a", "b"]]):
        hybrid = trained(lambda tasks, encoder: HybridSharing(tasks, encoder, 3, groups), kind)  # noqa: B023
        hard = trained(HardSharing, kind)
        assert_same(hybrid[0], hard[0])
        assert not hybrid[1].state_dict()
        assert all(torch.equal(hybrid[2][task], hard[2][task]) for task in TASKS)


@pytest.mark.parametrize("kind", KINDS)
def test_no_stage_shared_is_an_encoder_for_each_task(kind: str) -> None:
    encoder, sharing, found = trained(lambda tasks, encoder: HybridSharing(tasks, encoder, 0), kind)
    separate = trained(SeparateEncoders, kind)
    assert_same(encoder, separate[0])
    assert_same(sharing, separate[1])
    assert all(torch.equal(found[task], separate[2][task]) for task in TASKS)


@pytest.mark.parametrize("kind", KINDS)
def test_separate_encoders_learn_what_each_would_alone(kind: str) -> None:
    first, sharing, _ = trained(SeparateEncoders, kind, dropout=0.0)
    for i, task in enumerate(TASKS):
        alone = encoder_of(kind, 0.0)
        optimizer = torch.optim.SGD(alone.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            loss(alone(INPUTS[kind]), task).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        assert_same(alone, [first, *(pair[0] for pair in sharing.copies())][i])


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_with_no_stage_shared_is_hard_sharing_among_its_tasks(kind: str) -> None:
    encoder = encoder_of(kind, 0.0)
    sharing = HybridSharing(TASKS, encoder, 0, [["c"], ["a", "b"]])
    found = sharing(INPUTS[kind], TASKS)
    assert list(found) == TASKS and found["a"] is found["b"]
    (loss(found["a"], "a") + loss(found["b"], "b")).backward()  # type: ignore[no-untyped-call]
    hard = encoder_of(kind, 0.0)
    shared = HardSharing(["a", "b"], hard)(INPUTS[kind], ["a", "b"])
    (loss(shared["a"], "a") + loss(shared["b"], "b")).backward()  # type: ignore[no-untyped-call]
    ((copy, _),) = sharing.copies()
    for mine, theirs in zip(copy.parameters(), hard.parameters(), strict=True):
        assert torch.equal(mine.grad, theirs.grad)  # type: ignore[arg-type]
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert sharing.own_parameters("a") == [] and sharing.own_parameters("c") == list(encoder.parameters())


def test_shared_stages_run_once_and_others_for_whom_they_are_asked() -> None:
    encoder = encoder_of("convolution")
    sharing = HybridSharing(TASKS, encoder, shared_stages=-2, groups=[["a", "c"], ["b"]])
    calls: list[str] = []
    for name, module in nn.ModuleDict({"encoder": encoder, "sharing": sharing}).named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda *_, name=name: calls.append(name.split(".")[0]))
    sharing(INPUTS["convolution"], TASKS)
    assert calls == ["encoder"] * 3 + ["sharing"] * 2
    calls.clear()
    sharing(INPUTS["convolution"], ["b"])
    assert calls == ["encoder", "sharing", "sharing"]


def test_parts_say_who_shares_what() -> None:
    encoder = encoder_of("perceptron")
    sharing = HybridSharing(TASKS, encoder, 2, [["a", "c"], ["b"]])
    sizes = {part.name: (sum(p.numel() for p in part.parameters), list(part.tasks)) for part in sharing.parts()}
    assert sizes == {
        "encoder": (5 * 4 + 4 + 4 * 3 + 3, TASKS),
        "stages of a + c": (3 * 6 + 6, ["a", "c"]),
        "stages of b": (3 * 6 + 6, ["b"]),
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", range(4))
def test_a_task_s_branch_makes_a_plain_encoder(kind: str, shared: int) -> None:
    def make(tasks: Sequence[str], encoder: Encoder) -> Sharing:
        return HybridSharing(tasks, encoder, shared, [["c"], ["a", "b"]])

    encoder, sharing, _ = trained(make, kind)
    encoder.eval(), sharing.eval()
    wanted = {task: found.pooled for task, found in sharing(INPUTS[kind], TASKS).items()}
    assert torch.equal(wanted["a"], wanted["c"]) == (shared == 3)
    for task in TASKS:
        merged: Any = sharing.merge(task)
        assert type(merged) is type(encoder) and set(merged.parameters()).isdisjoint(encoder.parameters())
        assert not merged.training and torch.equal(merged(INPUTS[kind]).pooled, wanted[task])
        for parameter in merged.parameters():
            parameter.data.zero_()
    assert torch.equal(sharing(INPUTS[kind], TASKS)["b"].pooled, wanted["b"]), "the model itself is as it was"


def test_a_layer_on_both_sides_of_the_split_is_not_merged() -> None:
    encoder = PerceptronEncoder(4, [4, 4])
    encoder.layers[3] = encoder.layers[0]
    sharing = HybridSharing(TASKS, encoder, 1)
    assert sharing.merge("a") is not encoder
    with pytest.raises(UserError, match="cannot be merged: PerceptronEncoder has one layer at several depths"):
        sharing.merge("b")


@pytest.mark.parametrize("make", [HardSharing, HybridSharing, SeparateEncoders])
def test_what_is_merged_is_a_task(make: Make) -> None:
    with pytest.raises(UserError, match="there is no task 'A'; did you mean 'a'"):
        make(TASKS, encoder_of("perceptron")).merge("A")


class Uncut(Encoder):
    """One that does not say how it is cut."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.layer = 2, nn.Linear(2, 2)
        self.processor = TensorProcessor("features", ndim=1, first=2, setting="in_features")

    def forward(self, inputs: dict[str, Tensor]) -> Representation:
        return Representation(pooled=self.layer(inputs["features"]))


def test_separate_encoders_need_no_stages() -> None:
    found = SeparateEncoders(TASKS, Uncut())({"features": torch.ones(3, 2)}, ["c", "a"])
    assert torch.equal(found["a"].pooled, found["c"].pooled)
    merged: Any = SeparateEncoders(TASKS, Uncut()).merge("c")
    assert isinstance(merged, Uncut)
    with pytest.raises(UserError, match="Uncut does not say how it is cut into stages"):
        HybridSharing(TASKS, Uncut())


def test_a_copy_of_the_whole_model_is_its_own() -> None:
    encoder = encoder_of("convolution", 0.0)
    both = nn.ModuleList([encoder, SeparateEncoders(TASKS, encoder)]).eval()
    copy = deepcopy(both)
    with torch.no_grad():
        for parameter in both.parameters():
            parameter.zero_()
    assert all(r.pooled.any() for r in copy[1](INPUTS["convolution"], TASKS).values())


@pytest.mark.parametrize(
    ("groups", "line"),
    [
        ([["a", "b"]], "`groups` misses c; add each to a group, or as one of its own: [c]"),
        ([["a", "b"], ["b", "c"]], "`groups` names 'b' twice; give each task one group"),
        ([["a", "B"], ["c"]], "`groups` names the unknown task 'B'; did you mean 'b'?"),
        ([["a", "b", "c"], []], "`groups` must hold lists of task names, found [] in it"),
        (["a", "b", "c"], "`groups` must hold lists of task names, found 'a' in it"),
    ],
    ids=["missing", "twice", "unknown", "empty", "no list"],
)
def test_groups_that_are_none_are_refused(groups: list[list[str]], line: str) -> None:
    with pytest.raises(UserError, match=f"^model.sharing: {re.escape(line)}$"):
        HybridSharing(TASKS, encoder_of("perceptron"), 1, groups)
