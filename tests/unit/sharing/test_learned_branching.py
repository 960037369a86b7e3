"""Learned branching: draws in training, one tree otherwise, and what remains when it is pruned."""

import re
from collections.abc import Callable
from functools import partial
from itertools import combinations, pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.encoders import ConvolutionalEncoder, PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import HardSharing, LearnedBranching, Sharing

TASKS = ["a", "b", "c"]
WIDTHS = [5, 4, 3, 6]
SIZES = [fan_in * fan_out + fan_out for fan_in, fan_out in pairwise(WIDTHS)]


def made(**options: Any) -> tuple[PerceptronEncoder, LearnedBranching]:
    torch.manual_seed(0)
    encoder = PerceptronEncoder(5, WIDTHS[1:], dropout=0.1)
    return encoder, LearnedBranching(TASKS, encoder, **options)


def chosen(**options: Any) -> tuple[PerceptronEncoder, LearnedBranching]:
    """With a tree: stage 1 for all, stage 2 for a + c and for b, stage 3 for each; none is the encoder's own."""
    encoder, sharing = made(**options)
    assert sharing.choice is not None
    between, of_tasks = sharing.choice.between, sharing.choice.of_tasks
    with torch.no_grad():
        between[0][:, 1] = 1.0
        for branch, parent in enumerate([2, 1, 2]):
            between[1][branch, parent] = 1.0
        for task, branch in enumerate([0, 1, 2]):
            of_tasks[task][branch] = 1.0
    return encoder, sharing


def inputs(number: int = 7) -> dict[str, Tensor]:
    return {"features": torch.randn(number, 5, generator=torch.Generator().manual_seed(1))}


def backward(found: Any) -> None:
    torch.stack([each.pooled.square().mean() for each in found.values()]).sum().backward()  # type: ignore[no-untyped-call]


def calls_of(*modules: nn.Module) -> list[nn.Module]:
    """Notes the linear layers that run."""
    calls: list[nn.Module] = []
    for module in nn.ModuleList(modules).modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda layer, *_: calls.append(layer))
    return calls


def test_one_branch_is_hard_sharing() -> None:
    found = []
    makers: list[Callable[..., Sharing]] = [partial(LearnedBranching, num_branches=1), HardSharing]
    for make in makers:
        torch.manual_seed(0)
        encoder = PerceptronEncoder(5, [4, 6])
        sharing = make(TASKS, encoder)
        representations: Any = sharing(inputs(), TASKS)
        backward(representations)
        found.append([representations["b"].pooled, *(parameter.grad for parameter in encoder.parameters())])
    assert torch.equal(found[0][0], found[1][0])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_evaluation_draws_nothing_and_training_does() -> None:
    _, sharing = chosen()
    sharing.train()
    torch.manual_seed(5)
    counted = sharing.choice.num_batches.clone()  # type: ignore[union-attr]
    first = sharing(inputs(), TASKS)["a"].pooled
    others = [sharing(inputs(), TASKS)["a"].pooled for _ in range(5)]
    assert not all(torch.equal(first, other) for other in others)
    torch.manual_seed(5)
    sharing.choice.num_batches.copy_(counted)  # type: ignore[union-attr]
    assert torch.equal(sharing(inputs(), TASKS)["a"].pooled, first)
    sharing.encoder.eval()  # type: ignore[attr-defined]
    sharing.eval()
    state, counted = torch.get_rng_state(), sharing.choice.num_batches.clone()  # type: ignore[union-attr]
    first = sharing(inputs(), TASKS)["a"].pooled
    assert torch.equal(sharing(inputs(), TASKS)["a"].pooled, first)
    assert torch.equal(torch.get_rng_state(), state) and sharing.choice.num_batches == counted  # type: ignore[union-attr]


def test_evaluation_takes_the_likeliest_path() -> None:
    encoder, sharing = chosen()
    encoder.eval(), sharing.eval()
    nodes = [[stage, *copies] for stage, copies in zip(encoder.stages, sharing.branches, strict=True)]  # type: ignore[misc]
    found = sharing(inputs(), TASKS)
    for task, path in {"a": [1, 2, 0], "b": [1, 1, 1], "c": [1, 2, 2]}.items():
        state = encoder.begin(inputs())
        for stage, branch in enumerate(path):
            state = nodes[stage][branch](state)
        assert torch.equal(found[task].pooled, state.hidden)


def test_what_no_path_uses_is_neither_computed_nor_counted() -> None:
    encoder, sharing = chosen()
    calls = calls_of(encoder, sharing)
    encoder.eval(), sharing.eval()
    sharing(inputs(), TASKS)
    assert len(calls) == len(set(calls)) == 1 + 2 + 3
    calls.clear()
    sharing(inputs(), ["c", "a"])
    assert len(calls) == 1 + 1 + 2
    assert sharing.groups() == [[("a", "b", "c")], [("b",), ("a", "c")], [("a",), ("b",), ("c",)]]
    counted = {part.name: sum(p.numel() for p in part.parameters) for part in sharing.pruned_parts()}
    assert counted == {
        "stage 1 of a + b + c": SIZES[0],
        "stage 2 of b": SIZES[1],
        "stage 2 of a + c": SIZES[1],
        **{f"stage 3 of {task}": SIZES[2] for task in TASKS},
    }


def test_a_tree_is_decided_anew_after_training() -> None:
    encoder, sharing = chosen()
    encoder.eval(), sharing.eval()
    before = sharing(inputs(), TASKS)
    sharing.train()
    with torch.no_grad():
        sharing.choice.of_tasks[0].copy_(sharing.choice.of_tasks[2])  # type: ignore[union-attr]
    sharing.eval()
    after = sharing(inputs(), TASKS)
    assert torch.equal(after["a"].pooled, before["c"].pooled) and after["a"] is after["c"]


def test_pruning_keeps_the_tree_and_nothing_else() -> None:
    encoder, sharing = chosen()
    encoder.eval(), sharing.eval()
    before, groups = sharing(inputs(), TASKS), sharing.groups()
    sharing.prune()
    after = sharing(inputs(), TASKS)
    assert all(torch.equal(after[task].pooled, before[task].pooled) for task in TASKS)
    assert sharing.groups() == groups
    held = {*encoder.parameters(), *sharing.parameters()}
    assert sum(parameter.numel() for parameter in held) == SIZES[0] + 2 * SIZES[1] + 3 * SIZES[2]
    assert held == {parameter for part in sharing.parts() for parameter in part.parameters}
    assert [len(sharing.own_parameters(task)) for task in TASKS] == [2, 4, 2]
    encoder.train(), sharing.train()
    backward(sharing(inputs(), TASKS))
    assert all(parameter.grad is not None for parameter in held)


@pytest.mark.parametrize("shared_stages", [0, -2])
def test_a_task_s_path_makes_a_plain_encoder(shared_stages: int) -> None:
    encoder, sharing = chosen() if shared_stages == 0 else made(shared_stages=shared_stages)
    assert sharing.choice is not None
    with torch.no_grad():
        sharing.choice.of_tasks[2][1] = 9.0
    encoder.eval(), sharing.eval()
    wanted = sharing(inputs(), TASKS)
    for _ in range(2):
        for task in TASKS:
            merged: Any = sharing.merge(task)
            assert torch.equal(merged(inputs()).pooled, wanted[task].pooled)
        sharing.prune()
    with pytest.raises(UserError, match="there is no task 'd'"):
        sharing.merge("d")


def test_a_checkpoint_that_is_pruned_prunes() -> None:
    encoder, sharing = chosen()
    sharing.prune()
    encoder.eval(), sharing.eval()
    other_encoder, other = made()
    other.load_state_dict(sharing.state_dict())
    other_encoder.load_state_dict(encoder.state_dict())
    other_encoder.eval(), other.eval()
    for task, found in other(inputs(), TASKS).items():
        assert torch.equal(found.pooled, sharing(inputs(), TASKS)[task].pooled)
    with pytest.raises(UserError, match="this LearnedBranching is pruned, and the checkpoint's is not"):
        sharing.load_state_dict(made()[1].state_dict())
    with pytest.raises(UserError, match="has 3 branches in a stage, this model 2; set `num_branches` as it was"):
        made(num_branches=2)[1].load_state_dict(sharing.state_dict())


def test_first_stages_may_be_shared() -> None:
    encoder, sharing = made(shared_stages=-1)
    calls = calls_of(encoder, sharing)
    backward(sharing(inputs(), TASKS))
    assert len(calls) == 2 + 3
    assert sharing.eval().groups() == [[tuple(TASKS)]] * 3
    assert [part.name for part in sharing.pruned_parts()] == ["encoder", "stage 3 of a + b + c"]


@pytest.mark.parametrize(("pretrained", "redraw"), [(False, None), (True, None), (True, True), (False, False)])
def test_copies_of_random_stages_are_other_draws(pretrained: bool, redraw: bool | None) -> None:
    def weights() -> list[Tensor]:
        torch.manual_seed(0)
        encoder = ConvolutionalEncoder(2, [3, 4], grid=(2, 2), features=6, batch_norm=True)
        encoder.pretrained = pretrained
        state = torch.get_rng_state()
        sharing = LearnedBranching(TASKS, encoder, redraw=redraw)
        assert torch.equal(torch.get_rng_state(), state)
        last = [encoder.stages[-1], *sharing.branches[-1].children()]
        return [next(p for p in stage.parameters() if p.dim() > 1).detach() for stage in last]

    different = not pretrained if redraw is None else redraw
    for (one, other), again in zip(combinations(weights(), 2), combinations(weights(), 2), strict=True):
        assert torch.equal(one, other) != different
        assert torch.equal(one.flatten().sort().values, other.flatten().sort().values)
        assert torch.equal(one, again[0]) and torch.equal(other, again[1])


def test_reduced_precision_mixes_exactly() -> None:
    _, sharing = made(shared_stages=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = sharing.encode(inputs())
        wanted = [state.hidden for state in states]
        found = sharing.share(states, ["b"])["b"].pooled
    assert found is not None
    for row, of_branches in zip(found, torch.stack(wanted, 1), strict=True):
        assert any(torch.equal(row, each) for each in of_branches)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"num_branches": 0}, "`num_branches` must be at least 1, found 0"),
        ({"temperature": 0.0}, "`temperature` must be a finite number above 0, found 0.0"),
        ({"shared_stages": 3}, "`shared_stages` is 3, all of them; leave at least one that branches"),
        ({"shared_stages": 4}, "`shared_stages` is 4, but PerceptronEncoder has 3 stages; choose from -3 to 3"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_options_that_are_none_are_refused(options: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=f"^model.sharing: {re.escape(line)}$"):
        made(**options)


def test_an_encoder_whose_stages_are_one_is_refused() -> None:
    encoder = PerceptronEncoder(4, [4, 4])
    encoder.layers[3] = encoder.layers[0]
    with pytest.raises(UserError, match="has the same parameters in several stages, which cannot branch one by one"):
        LearnedBranching(TASKS, encoder)


def test_it_says_how_likely_each_task_takes_which_branch() -> None:
    _, sharing = chosen()
    assert sharing.choice is not None
    sharing.choice.count()
    with torch.no_grad():
        for logits in sharing.choice.parameters():
            logits *= 500.0  # all but certain, also at the first temperature
    first, second, third = sharing.observe().use
    assert [use.name for use in (first, second, third)] == ["stage_1", "stage_2", "stage_3"]
    for use, branches in ((first, [1, 1, 1]), (second, [2, 1, 2]), (third, [0, 1, 2])):
        means = [mean for task in TASKS if (mean := use.mean(task)) is not None]
        torch.testing.assert_close(torch.stack(means), torch.eye(3)[branches])
    sharing.prune()
    assert not sharing.observe().use


def test_before_anything_is_learned_every_branch_is_as_likely() -> None:
    _, sharing = made()
    for use in sharing.observe().use:
        mean = use.mean("a")
        assert mean is not None
        torch.testing.assert_close(mean, torch.full((3,), 1 / 3))
