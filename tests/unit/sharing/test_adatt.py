"""AdaTT and STEM: the papers' formulas, and whom a task's gradient reaches."""

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.encoders import ConvolutionalEncoder, Encoder, PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import STEM, AdaTT, Sharing

TASKS = ("a", "b", "c")


@pytest.fixture
def encoder() -> PerceptronEncoder:
    torch.manual_seed(0)
    return PerceptronEncoder(5, [8, 6]).double()


def inputs() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        "features": torch.randn(4, 5, dtype=torch.float64),
        "image": torch.randn(4, 2, 8, 8, dtype=torch.float64),
    }


def read(made: Sharing, task: str, *tasks: str) -> Tensor:
    found = made(inputs(), tasks or (task,))[task].pooled
    assert found is not None
    return found


def mixed(gate: nn.Module, vector: Tensor, *experts: Tensor) -> Tensor:
    return torch.einsum("be,bed->bd", (vector @ gate.linear.weight.T).softmax(-1), torch.cat(experts, 1))


def test_without_shared_experts_it_is_adatt_sp(encoder: PerceptronEncoder) -> None:
    made = AdaTT(("a", "b"), encoder).double()
    x = encoder(inputs()).pooled
    level, last = made.levels
    a, b = (level.own[task](x) for task in ("a", "b"))
    x_a, x_b = (mixed(level.gates[t], x, a, b) + own[:, 0] for t, own in (("a", a), ("b", b)))
    a, b = last.own["a"](x_a), last.own["b"](x_b)
    torch.testing.assert_close(read(made, "b"), mixed(last.gates["b"], x_b, a, b) + b[:, 0])


def test_with_shared_experts_it_is_the_general_one(encoder: PerceptronEncoder) -> None:
    made = AdaTT(("a", "b"), encoder, num_task_experts=2, num_shared_experts=3).double()
    x = encoder(inputs()).pooled
    level, last = made.levels

    def fused(reader: str | None, vector: Tensor, at: nn.Module, made_by: dict[str | None, Tensor]) -> Tensor:
        own = torch.einsum("e,bed->bd", at.native_weights(reader), made_by[reader])
        return mixed(at.gate(reader), vector, *made_by.values()) + own

    first = {group: level.experts(group)(x) for group in (None, "a", "b")}
    second = {group: last.experts(group)(fused(group, x, level, first)) for group in first}
    x_a = fused("a", x, level, first)
    torch.testing.assert_close(read(made, "a"), fused("a", x_a, last, second))


def test_own_weights_start_between_those_of_the_authors_program(encoder: PerceptronEncoder) -> None:
    made = AdaTT(TASKS, encoder, num_task_experts=4)
    own = torch.cat([weights for level in made.levels for weights in level.native.values()])
    assert own.numel() == 2 * 3 * 4
    assert own.abs().max() <= 0.5
    assert own.std() > 0.1


@pytest.mark.parametrize("stages", [None, 1], ids=["perceptrons", "stages"])
def test_stopping_gradients_changes_them_and_nothing_else(stages: int | None) -> None:
    torch.manual_seed(0)
    encoder: Encoder = ConvolutionalEncoder(2, [3, 4], grid=(2, 2), features=6).double()
    made = STEM(TASKS, encoder, 2, 2, expert_stages=stages).double()
    other = STEM(TASKS, encoder, 2, 2, stop_gradient=False, expert_stages=stages).double()
    other.load_state_dict(made.state_dict())
    for task in TASKS:
        torch.testing.assert_close(read(made, task, *TASKS), read(other, task, *TASKS), rtol=1e-13, atol=1e-15)
    gradients = []
    for each in (made, other):
        parameters = {**dict(encoder.named_parameters(prefix="encoder")), **dict(each.named_parameters())}
        value = read(each, "a", *TASKS).square().sum()
        found = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
        gradients.append(dict(zip(parameters, found, strict=True)))
    stopped, passed = gradients
    others = [name for name in stopped if ".own.b." in name or ".own.c." in name]
    assert others
    assert all(stopped[name] is None and passed[name] is not None for name in others)
    own = [name for name in stopped if ".own.a." in name or ".shared." in name or ".gates.a." in name]
    for name in own:
        torch.testing.assert_close(stopped[name], passed[name])
    trunk = stopped["encoder.layers.0.weight"], passed["encoder.layers.0.weight"]
    assert not torch.allclose(*trunk), "what others' experts send back to the encoder is left out too"


def test_the_encoder_is_trained_as_if_others_experts_were_constants(encoder: PerceptronEncoder) -> None:
    made = STEM(("a", "b"), encoder).double()
    x = encoder(inputs()).pooled
    (level,) = made.levels
    wanted = mixed(level.gates["a"], x, level.shared(x), level.own["a"](x), level.own["b"](x).detach())
    parameters = list(encoder.parameters())
    for found, gradient in zip(
        torch.autograd.grad(read(made, "a").square().sum(), parameters),
        torch.autograd.grad(wanted.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(found, gradient)


def test_own_experts_are_a_tasks_own_where_gradients_stop(encoder: PerceptronEncoder) -> None:
    made = STEM(TASKS, encoder)
    (level,) = made.levels
    assert set(made.own_parameters("b")) == {*level.own["b"].parameters(), *level.gates["b"].parameters()}
    passed = STEM(TASKS, encoder, stop_gradient=False)
    assert set(passed.own_parameters("b")) == set(passed.levels[0].gates["b"].parameters())


def test_experts_that_nobody_trains_keep_no_graph(encoder: PerceptronEncoder) -> None:
    made = STEM(TASKS, encoder)
    graphs: dict[str, bool] = {}
    for task, experts in made.levels[0].own.items():
        experts.register_forward_hook(lambda *args, task=task: graphs.update({task: args[-1].requires_grad}))
    made.double()(inputs(), ("b",))
    assert graphs == {"a": False, "b": True, "c": False}


@pytest.mark.parametrize("cls", [AdaTT, STEM])
@pytest.mark.parametrize(("option", "value"), [("num_task_experts", 0), ("num_shared_experts", -1)])
def test_bad_options_are_one_line(encoder: PerceptronEncoder, cls: type[AdaTT], option: str, value: int) -> None:
    with pytest.raises(UserError, match=f"`{option}` must be at least {value + 1}, found {value}"):
        cls(TASKS, encoder, **{option: value})


def test_tasks_that_read_the_same_do_not_each_copy_it(encoder: PerceptronEncoder) -> None:
    """The number of operations grows with the tasks, not with their square."""
    numbers = []
    for size in (4, 8, 16):
        tasks = [f"task_{i}" for i in range(size)]
        with torch.profiler.profile() as profile:
            AdaTT(tasks, encoder, num_levels=1).double()(inputs(), tasks)
        numbers.append(sum(event.count for event in profile.key_averages() if event.key == "aten::bmm"))
    assert numbers == [4, 8, 16]
