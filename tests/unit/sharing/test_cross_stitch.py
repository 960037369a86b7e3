"""Cross-stitch between no sharing and an average, and what it computes for whom."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.encoders import ConvolutionalEncoder, Encoder, PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import CrossStitch

TASKS = ["a", "b", "c"]


def perceptron() -> tuple[Encoder, dict[str, Tensor]]:
    return PerceptronEncoder(5, [8, 7, 6]), {"features": torch.randn(4, 5)}


def convolution() -> tuple[Encoder, dict[str, Tensor]]:
    return ConvolutionalEncoder(2, [3, 4], grid=(2, 2), features=6), {"image": torch.randn(4, 2, 8, 8)}


def stitched(encoder: Encoder, **options: Any) -> CrossStitch:
    """One whose encoders differ, as after some training."""
    made = CrossStitch(TASKS, encoder, **options)
    with torch.no_grad():
        for parameter in made.branches.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return made


def pooled(representation: Any) -> Tensor:
    found = representation.pooled
    assert isinstance(found, Tensor)
    return found


@pytest.fixture(params=[perceptron, convolution])
def case(request: pytest.FixtureRequest) -> tuple[Encoder, dict[str, Tensor]]:
    torch.manual_seed(0)
    made: tuple[Encoder, dict[str, Tensor]] = request.param()
    return made


@pytest.mark.parametrize("per_channel", [False, True])
def test_with_the_identity_it_is_separate_encoders(case: tuple[Encoder, dict[str, Tensor]], per_channel: bool) -> None:
    encoder, inputs = case
    made = stitched(encoder, self_weight=1.0, per_channel=per_channel)
    found = made(inputs, TASKS)
    for task, tower in made.towers.items():
        assert torch.equal(pooled(found[task]), pooled(tower(inputs)))


@pytest.mark.parametrize("per_channel", [False, True])
def test_uniform_weights_average_behind_every_stage(case: tuple[Encoder, dict[str, Tensor]], per_channel: bool) -> None:
    encoder, inputs = case
    made = stitched(encoder.double(), self_weight=1 / 3, per_channel=per_channel).double()
    states = [tower.begin({name: each.double() for name, each in inputs.items()}) for tower in made.towers.values()]
    for number in range(len(encoder.stages)):
        states = [tower.stages[number](state) for tower, state in zip(made.towers.values(), states, strict=True)]
        mean = torch.stack([state.hidden for state in states]).mean(0)
        states = [state._replace(hidden=mean) for state in states]
    found = made({name: each.double() for name, each in inputs.items()}, TASKS)
    for task in TASKS:
        torch.testing.assert_close(pooled(found[task]), encoder.end(states[0]).pooled, rtol=1e-6, atol=1e-7)


def test_rows_are_shares(case: tuple[Encoder, dict[str, Tensor]]) -> None:
    encoder, _ = case
    for unit in CrossStitch(TASKS, encoder, self_weight=0.8, per_channel=True).units.values():
        weights = unit.weights
        assert isinstance(weights, Tensor)
        torch.testing.assert_close(weights.sum(1), torch.ones_like(weights.sum(1)))
        torch.testing.assert_close(weights[0, :, 0], torch.tensor([0.8, 0.1, 0.1]))


@pytest.mark.parametrize("per_channel", [False, True])
def test_it_says_what_tasks_take_of_each_encoder_now(per_channel: bool) -> None:
    made = CrossStitch(TASKS, PerceptronEncoder(5, [8, 7]), self_weight=0.8, per_channel=per_channel)
    with torch.no_grad():
        made.units["2"].weights[1] = torch.tensor([-0.5, 1.5, 0.0]).reshape(3, *[1] * per_channel)
    first, second = made.observe().use
    assert (first.name, second.name) == ("stage_1", "stage_2")
    assert list(first.experts) == TASKS
    means = [use.mean(task) for use in (first, second) for task in ("a", "b")]
    expected = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.25, 0.75, 0.0]])
    torch.testing.assert_close(torch.stack([mean for mean in means if mean is not None]), expected)


def test_each_channel_is_mixed_by_its_own_matrix(case: tuple[Encoder, dict[str, Tensor]]) -> None:
    encoder, inputs = case
    made = stitched(encoder, self_weight=1.0, per_channel=True, stages=[-1])
    (unit,) = made.units.values()
    with torch.no_grad():
        unit.weights[:, :, 2] = torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])  # type: ignore[index]
    alone = [pooled(tower(inputs)) for tower in made.towers.values()]
    found = made(inputs, TASKS)
    for i, task in enumerate(TASKS):
        wanted = alone[i].clone()
        wanted[:, 2] = alone[(i + 1) % 3][:, 2]
        assert torch.equal(pooled(found[task]), wanted)


def test_what_follows_the_last_mixed_stage_is_a_tasks_own_and_computed_for_it_alone() -> None:
    torch.manual_seed(0)
    encoder, inputs = perceptron()
    made = stitched(encoder, stages=[1])
    assert list(made.units) == ["1"]
    assert made.own_parameters("b") == [p for stage in made.towers["b"].stages[1:] for p in stage.parameters()]
    runs: list[tuple[str, int]] = []
    for task, tower in made.towers.items():
        for number, stage in enumerate(tower.stages):
            stage.register_forward_hook(lambda *_, key=(task, number): runs.append(key))
    made(inputs, ["b"])
    assert runs == [("a", 0), ("b", 0), ("c", 0), ("b", 1), ("b", 2)]


def test_the_first_task_has_the_models_encoder_and_the_others_start_from_it() -> None:
    encoder, inputs = perceptron()
    made = CrossStitch(TASKS, encoder)
    assert made.towers["a"] is encoder
    pairs = made.copies()
    assert [original for _, original in pairs] == [encoder, encoder]
    for copy, _ in pairs:
        assert isinstance(copy, Encoder)
        assert torch.equal(pooled(copy(inputs)), pooled(encoder(inputs)))


def test_half_precision_does_not_round_the_mixture() -> None:
    torch.manual_seed(0)
    made = CrossStitch(["a", "b"], PerceptronEncoder(2, [2]), self_weight=1.0)
    (unit,) = made.units.values()
    states = {task: made.towers[task].begin({"features": torch.randn(3, 2)}) for task in made.tasks}
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(unit(states, ["b"])["b"].hidden, states["b"].hidden)


def test_one_task_has_its_encoder() -> None:
    torch.manual_seed(0)
    encoder, inputs = perceptron()
    made = CrossStitch(["a"], encoder)
    assert torch.equal(pooled(made(inputs, ["a"])["a"]), pooled(encoder(inputs)))


def test_training_moves_shares_between_tasks_that_are_alike() -> None:
    """Tasks a and b have the same target, c another: each of a and b takes more of the other than of c."""
    torch.manual_seed(0)
    encoder = PerceptronEncoder(6, [12])
    made = CrossStitch(TASKS, encoder, self_weight=0.8)
    heads = nn.ModuleDict({task: nn.Linear(12, 1) for task in TASKS})
    features = torch.randn(128, 6)
    targets = {"a": features[:, :3].sin().sum(1), "b": features[:, :3].sin().sum(1), "c": features[:, 3:].abs().sum(1)}
    optimizer = torch.optim.Adam([*encoder.parameters(), *made.parameters(), *heads.parameters()], 0.01, fused=True)
    for _ in range(300):
        found = made({"features": features}, TASKS)
        losses = [(heads[task](pooled(found[task])).squeeze(1) - targets[task]).square().mean() for task in TASKS]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    (unit,) = made.units.values()
    weights = unit.weights
    assert isinstance(weights, Tensor)
    assert weights[0, 1].abs() > weights[0, 2].abs()
    assert weights[1, 0].abs() > weights[1, 2].abs()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"self_weight": 1.5}, "model.sharing: `self_weight` must be from 0 to 1, found 1.5"),
        ({"lr_factor": 0}, "model.sharing: `lr_factor` must be a finite number above 0, found 0"),
        ({"stages": [4]}, r"model.sharing: `stages` must name some of the stages 1 to 3 of PerceptronEncoder"),
        ({"stages": [3, -1]}, r"each once, found \[3, -1\]"),
        ({"stages": [0]}, r"found \[0\]"),
        ({"stages": []}, r"found \[\]"),
    ],
)
def test_bad_options_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        CrossStitch(TASKS, perceptron()[0], **options)
    assert "\n" not in str(caught.value)


def test_a_copy_of_it_goes_its_own_way() -> None:
    encoder, inputs = perceptron()
    made = CrossStitch(TASKS, encoder)
    other = deepcopy(made)
    wanted: Sequence[Tensor] = [pooled(each) for each in made(inputs, TASKS).values()]
    with torch.no_grad():
        for parameter in [*other.parameters(), *other.encoder.parameters()]:
            parameter.zero_()
    assert all(torch.equal(pooled(each), w) for each, w in zip(made(inputs, TASKS).values(), wanted, strict=True))
