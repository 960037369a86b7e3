"""MMoE, CGC and PLE: what they come to where the answer is known, and what they compute."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.encoders import ConvolutionalEncoder, Encoder, PerceptronEncoder
from mtl_lightning.sharing import CGC, PLE, HardSharing, MMoE, SeparateEncoders, Sharing
from mtl_lightning.sharing.expert_sharing import ExpertSharing

TASKS = ("a", "b", "c")


def perceptron() -> Encoder:
    torch.manual_seed(0)
    return PerceptronEncoder(5, [8, 7, 6]).double()


def convolution() -> Encoder:
    torch.manual_seed(0)
    return ConvolutionalEncoder(2, [3, 4], grid=(2, 2), features=6).double()


ENCODERS = {"perceptron": perceptron, "convolution": convolution}


@pytest.fixture(params=ENCODERS)
def make(request: pytest.FixtureRequest) -> Callable[[], Encoder]:
    return ENCODERS[request.param]


def inputs() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        "features": torch.randn(4, 5, dtype=torch.float64),
        "image": torch.randn(4, 2, 8, 8, dtype=torch.float64),
    }


def read(made: Sharing, task: str, tasks: tuple[str, ...] = TASKS) -> Tensor:
    found = made(inputs(), tasks)[task].pooled
    assert found is not None
    return found


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_one_expert_of_the_last_stages_is_hard_sharing(make: Callable[[], Encoder], stages: int) -> None:
    encoder = make()
    made = MMoE(TASKS, encoder, num_experts=1, expert_stages=stages).double()
    for task in TASKS:
        assert torch.equal(read(made, task), read(HardSharing(TASKS, encoder), task))
    assert not made.copies()


def test_one_perceptron_is_hard_sharing_of_a_longer_encoder() -> None:
    encoder, longer = perceptron(), PerceptronEncoder(5, [8, 7, 6, 4]).double()
    made = MMoE(TASKS, encoder, num_experts=1, expert_widths=[4]).double()
    longer.load_state_dict(
        {
            **encoder.state_dict(),
            "layers.9.weight": made.levels[0].shared.weights[0][0],
            "layers.9.bias": made.levels[0].shared.biases[0][0],
        }
    )
    for task in TASKS:
        torch.testing.assert_close(read(made, task), read(HardSharing(TASKS, longer), task), rtol=1e-14, atol=0)


def test_without_shared_experts_tasks_have_separate_encoders(make: Callable[[], Encoder]) -> None:
    found = []
    for cls in (partial(CGC, num_shared_experts=0, expert_stages=3), SeparateEncoders):
        encoder = make()
        encoder.pretrained = True
        made = cls(TASKS, encoder).double()
        optimizer = torch.optim.SGD([p for task in TASKS for p in made.own_parameters(task)], lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            sum((i + 1) * read(made, task).square().mean() for i, task in enumerate(TASKS)).backward()
            optimizer.step()
        assert not made.shared_parameters()
        found.append([read(made, task) for task in TASKS])
    for unshared, separate in zip(*found, strict=True):
        assert torch.equal(unshared, separate)
    assert not torch.equal(*found[0][:2])


@pytest.mark.parametrize("options", [{}, {"expert_stages": 2}], ids=["perceptrons", "stages"])
def test_one_level_is_cgc(make: Callable[[], Encoder], options: dict[str, int]) -> None:
    encoder = make()
    ple = PLE(TASKS, encoder, 2, 3, num_levels=1, **options).double()
    cgc = CGC(TASKS, encoder, 2, 3, **options).double()
    cgc.load_state_dict(ple.state_dict())
    for task in TASKS:
        assert torch.equal(read(ple, task), read(cgc, task))
        assert len(ple.own_parameters(task)) == len(cgc.own_parameters(task)) > 0


def test_two_levels_are_the_papers_formula() -> None:
    encoder = perceptron()
    made = PLE(("a", "b"), encoder, 1, 2).double()
    x = encoder(inputs()).pooled
    first, last = made.levels

    def mixed(gate: nn.Module, vector: Tensor, *experts: Tensor) -> Tensor:
        return torch.einsum("be,bed->bd", (vector @ gate.linear.weight.T).softmax(-1), torch.cat(experts, 1))

    shared, a, b = first.shared(x), first.own["a"](x), first.own["b"](x)
    x_a, x_s = mixed(first.gates["a"], x, shared, a), mixed(first.shared_gate, x, shared, a, b)
    wanted = mixed(last.gates["a"], x_a, last.shared(x_s), last.own["a"](x_a))
    torch.testing.assert_close(read(made, "a", ("a",)), wanted)


class Runs:
    """Which experts ran, and which gates."""

    def __init__(self, made: ExpertSharing) -> None:
        self.names: set[str] = set()
        for name, module in made.named_modules():
            if name.count(".") >= 2:
                module.register_forward_hook(lambda *_, name=name: self.names.add(name.removeprefix("experts.")))

    def of(self, made: ExpertSharing, *tasks: str) -> set[str]:
        self.names.clear()
        made(inputs(), tasks)
        return {name for name in self.names if name.endswith(("shared", "shared_gate", *TASKS))}


def test_nothing_is_computed_for_tasks_that_are_not_asked_for() -> None:
    made = CGC(TASKS, perceptron()).double()
    runs = Runs(made)
    assert runs.of(made, "b") == {"0.shared", "0.own.b", "0.gates.b"}
    assert runs.of(made) == set()


def test_below_the_last_level_the_shared_gate_reads_every_task() -> None:
    made = PLE(TASKS, perceptron()).double()
    below = {"0.shared", "0.shared_gate", "0.own.a", "0.own.b", "0.own.c", "0.gates.b"}
    assert Runs(made).of(made, "b") == {*below, "1.shared", "1.own.b", "1.gates.b"}


def test_without_shared_experts_other_tasks_are_not_computed_at_any_level() -> None:
    made = PLE(TASKS, perceptron(), num_shared_experts=0, num_levels=3).double()
    wanted = {f"{level}.{part}.c" for level in range(3) for part in ("own", "gates")}
    assert Runs(made).of(made, "c") == wanted
    assert len(made.own_parameters("c")) == 3 * (2 + 1), "weights and biases of an expert, and a gate"


def test_experts_are_named_by_level_and_task() -> None:
    made = PLE(("a", "shared"), perceptron(), num_task_experts=2)
    first, last = made.observe().use
    assert (first.name, last.name) == ("level_0", "level_1")
    assert last.experts_of("shared") == ["shared_0", "shared-0", "shared-1"]
    assert last.experts == {
        "shared_0": ("a", "shared"),
        "a-0": ("a",),
        "a-1": ("a",),
        "shared-0": ("shared",),
        "shared-1": ("shared",),
    }


def test_copies_are_trained_with_the_encoder() -> None:
    encoder = perceptron()
    made = PLE(TASKS, encoder, expert_stages=2)
    copies = made.copies()
    assert len(copies) == 2 * 3, "at each level four experts, one of them the encoder's own"
    for level, pairs in enumerate((copies[:3], copies[3:]), start=1):
        for _, original in pairs:
            assert list(original.parameters()) == list(encoder.stages[level].parameters())
