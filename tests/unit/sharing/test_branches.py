"""The first stages of an encoder, and what follows them once or several times."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from mtl_lightning.encoders import ConvolutionalEncoder, Encoder, PerceptronEncoder
from mtl_lightning.sharing.branches import Branch, Trunk, branches
from mtl_lightning.sharing.stages import behind


def encoder_of(kind: str) -> tuple[Encoder, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    if kind == "perceptron":
        return PerceptronEncoder(5, [4, 3, 6]), {"features": torch.randn(7, 5)}
    return ConvolutionalEncoder(2, [3, 4], grid=(2, 2), features=6, batch_norm=True), {"image": torch.randn(7, 2, 8, 8)}


@pytest.mark.parametrize("kind", ["perceptron", "convolution"])
@pytest.mark.parametrize("start", range(4))
def test_trunk_and_branch_are_the_encoder_and_so_is_a_copy(kind: str, start: int) -> None:
    encoder, inputs = encoder_of(kind)
    wanted = encoder.eval()(inputs).pooled
    state = Trunk(encoder, start)(inputs)
    for branch in branches(encoder, start, 3).eval():
        assert torch.equal(branch(state).pooled, wanted)


def test_nothing_of_the_encoder_is_registered_twice() -> None:
    encoder, _ = encoder_of("convolution")
    first, second = branches(encoder, 1, 2)
    assert not first.state_dict() and not Trunk(encoder, 1).state_dict()
    assert set(second.parameters()).isdisjoint(encoder.parameters())
    assert [p.shape for p in second.parameters()] == [p.shape for p in first.part.parameters()]  # type: ignore[union-attr]


def test_a_copy_follows_the_mode_and_shares_the_processor() -> None:
    encoder, _ = encoder_of("perceptron")
    branch = Branch(encoder, 0, copied=True)
    assert branch.encoder.processor is encoder.processor
    assert not any(module.training for module in branch.eval().modules())


def test_a_pair_copied_together_stays_a_pair() -> None:
    encoder, inputs = encoder_of("perceptron")
    both = nn.ModuleList([encoder, branches(encoder, 1, 2)])
    copy = deepcopy(both)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
    copied_encoder, first, second = copy[0], copy[1][0], copy[1][1]  # type: ignore[index]
    state = Trunk(copied_encoder, 1)(inputs)  # type: ignore[arg-type]
    assert first(state).pooled.any() and torch.equal(first(state).pooled, second(state).pooled)


def test_layers_that_the_trunk_runs_too_are_not_the_branch_s() -> None:
    encoder = PerceptronEncoder(4, [4, 4])
    encoder.layers[3] = encoder.layers[0]
    for branch, number in zip(branches(encoder, 1, 2), (0, 2), strict=True):
        assert isinstance(branch, Branch)
        assert len(behind(encoder.stages[:1], branch.part)) == number


@pytest.mark.parametrize("kind", ["perceptron", "convolution"])
def test_whole_branches_compile_without_a_break(kind: str) -> None:
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    encoder, inputs = encoder_of(kind)
    wanted = encoder.eval()(inputs).pooled
    for branch in branches(encoder, 0, 2).eval():
        branch.compile(backend="eager")
        assert torch.equal(branch(inputs).pooled, wanted)
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0
    assert not torch._dynamo.utils.counters["graph_break"]
