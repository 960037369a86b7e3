"""MTAN: the trunk runs once, and each task masks its stages."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.encoders import ConvolutionalEncoder, Encoder, PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import MTAN
from mtl_lightning.sharing.mtan import Attention, resized

TASKS = ["a", "b"]


def perceptron() -> tuple[Encoder, dict[str, Tensor]]:
    return PerceptronEncoder(5, [8, 7, 6]), {"features": torch.randn(4, 5)}


def convolution() -> tuple[Encoder, dict[str, Tensor]]:
    return ConvolutionalEncoder(2, [3, 4], grid=(2, 2), features=6), {"image": torch.randn(4, 2, 9, 8)}


@pytest.fixture(params=[perceptron, convolution])
def case(request: pytest.FixtureRequest) -> tuple[Encoder, dict[str, Tensor]]:
    torch.manual_seed(0)
    made: tuple[Encoder, dict[str, Tensor]] = request.param()
    return made


def attention_of(made: MTAN, task: str) -> list[Attention]:
    return list(made.attention[task])  # type: ignore[arg-type, call-overload]


def set_masks(modules: list[Attention], logit: float) -> None:
    with torch.no_grad():
        for module in modules:
            module.h.weight.zero_()
            module.h.bias.fill_(logit)


def pooled(representation: Any) -> Tensor:
    found = representation.pooled
    assert isinstance(found, Tensor)
    return found


def test_open_masks_are_hard_sharing_and_closed_ones_let_nothing_through(
    case: tuple[Encoder, dict[str, Tensor]],
) -> None:
    encoder, inputs = case
    made = MTAN(TASKS, encoder)
    set_masks(attention_of(made, "a"), 100.0)
    set_masks(attention_of(made, "b"), -200.0)
    found = made(inputs, TASKS)
    assert torch.equal(pooled(found["a"]), pooled(encoder(inputs)))
    assert not pooled(found["b"]).any()


def test_on_maps_it_is_two_convolutions_of_one_position() -> None:
    torch.manual_seed(0)
    attention = Attention(width=4, before=3, reduction=2, axis=1)
    hidden, before = torch.randn(2, 4, 5, 3), torch.randn(2, 3, 5, 3)
    g = nn.functional.conv2d(torch.cat([hidden, before], 1), attention.g.weight[..., None, None], attention.g.bias)
    mask = nn.functional.conv2d(g.relu(), attention.h.weight[..., None, None], attention.h.bias).sigmoid()
    torch.testing.assert_close(attention(hidden, before), mask * hidden)


def test_the_trunk_runs_once_and_only_the_tasks_asked_for_attend(case: tuple[Encoder, dict[str, Tensor]]) -> None:
    encoder, inputs = case
    made = MTAN(TASKS, encoder)
    runs: list[str] = []
    for stage in encoder.stages:
        stage.register_forward_hook(lambda *_: runs.append("trunk"))
    for task in TASKS:
        for module in attention_of(made, task):
            module.register_forward_hook(lambda *_, task=task: runs.append(task))
    made(inputs, ["b"])
    number = len(encoder.stages)
    assert runs == ["trunk"] * number + ["b"] * number


def test_what_a_task_attends_to_first_changes_what_it_attends_to_last(
    case: tuple[Encoder, dict[str, Tensor]],
) -> None:
    encoder, inputs = case
    made = MTAN(TASKS, encoder)
    before = made(inputs, TASKS)
    set_masks(attention_of(made, "a")[:1], -200.0)
    after = made(inputs, TASKS)
    assert not torch.equal(pooled(before["a"]), pooled(after["a"]))
    assert torch.equal(pooled(before["b"]), pooled(after["b"]))


def test_all_stages_are_differentiable_features(case: tuple[Encoder, dict[str, Tensor]]) -> None:
    encoder, inputs = case
    made = MTAN(TASKS, encoder)
    states = made.encode(inputs)
    hidden = [state.hidden for state in states]
    gradients = torch.autograd.grad(pooled(made.share(states, ["a"])["a"]).sum(), hidden)
    assert [gradient.shape for gradient in gradients] == [each.shape for each in hidden]
    assert len(hidden) == len(encoder.stages)


@pytest.mark.parametrize(
    ("shape", "positions"),
    [((2, 3, 6, 4), (3, 2)), ((2, 3, 7), (4,)), ((2, 3, 6, 4), ()), ((2, 3), (2, 5)), ((2, 3, 4, 4), (6,))],
)
def test_resized_features_keep_what_is_constant(shape: tuple[int, ...], positions: tuple[int, ...]) -> None:
    features = torch.arange(6.0).view(2, 3, *[1] * (len(shape) - 2)).expand(shape)
    found = resized(features, torch.Size(positions))
    assert found.shape == (2, 3, *positions)
    assert torch.equal(found, torch.arange(6.0).view(2, 3, *[1] * len(positions)).expand(found.shape))


def test_a_reduction_below_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"model.sharing: `reduction` must be at least 1, found 0"):
        MTAN(TASKS, perceptron()[0], reduction=0)
