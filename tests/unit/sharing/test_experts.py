"""Experts and gates: computed together as one by one; they start different, and gates move."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.encoders import ConvolutionalEncoder, PerceptronEncoder, Representation
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import CGC, PLE, MMoE
from mtl_lightning.sharing.expert_sharing import ExpertSharing
from mtl_lightning.sharing.experts import PerceptronExperts, StageExperts
from mtl_lightning.sharing.gates import mixture

TASKS = ("a", "b", "c")


@pytest.fixture
def encoder() -> PerceptronEncoder:
    torch.manual_seed(0)
    return PerceptronEncoder(5, [8, 7, 6]).double()


def features(*shape: int) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 5)], ids=["pooled", "tokens"])
def test_experts_together_are_those_one_by_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    experts, read = PerceptronExperts(3, 5, [7, 6, 4]).double(), features(*shape)
    found = experts(read)
    assert found.shape == (*shape[:-1], 3, 4)
    for i in range(3):
        hidden = read
        for weights, biases in zip(experts.weights, experts.biases, strict=True):
            hidden = nn.functional.linear(hidden, weights[i], biases[i]).relu()
        torch.testing.assert_close(found[..., i, :], hidden)


def test_experts_start_different_and_as_linear_layers_do() -> None:
    torch.manual_seed(0)
    experts = PerceptronExperts(4, 100, [200, 50])
    for (fan_in, _), weights in zip(pairwise([100, 200, 50]), experts.weights, strict=True):
        bound = fan_in**-0.5
        assert weights.abs().max() <= bound
        torch.testing.assert_close(weights.std(), torch.tensor(bound / 3**0.5), rtol=0.02, atol=0.0)
        assert all(not torch.equal(weights[0], other) for other in weights[1:])


@pytest.mark.parametrize("rest", [(6,), (3, 2, 2), ()], ids=["vectors", "maps", "numbers"])
def test_a_mixture_is_the_weighted_sum(rest: tuple[int, ...]) -> None:
    weights = features(4, 5).softmax(-1)
    outputs = [features(4, 2, *rest), features(4, 3, *rest)]
    wanted = torch.einsum("be,be...->b...", weights, torch.cat(outputs, 1))
    torch.testing.assert_close(mixture(weights, outputs), wanted)


def test_copies_of_random_stages_are_random_too(encoder: PerceptronEncoder) -> None:
    first, *others = StageExperts(encoder, slice(1, 3), 3, with_original=True).experts
    assert [list(stage.parameters()) for stage in first] == [list(s.parameters()) for s in encoder.stages[1:]]
    for original, *copied in zip(first.parameters(), *(other.parameters() for other in others), strict=True):
        for copy in copied:
            assert not torch.equal(copy, original)
            assert torch.equal(copy.flatten().sort().values, original.flatten().sort().values)


def test_copies_of_pretrained_stages_start_from_them(encoder: PerceptronEncoder) -> None:
    encoder.pretrained = True
    first, *others = StageExperts(encoder, slice(1, 3), 3, with_original=True).experts
    for original, *copied in zip(first.parameters(), *(other.parameters() for other in others), strict=True):
        assert all(torch.equal(copy, original) and copy is not original for copy in copied)


def train(made: ExpertSharing, steps: int = 20) -> list[Tensor]:
    """The gates' gradients, step by step; two tasks that disagree."""
    inputs = {"features": features(32, 5)}
    parameters = list(dict.fromkeys([*made.encoder.parameters(), *made.parameters()]))
    optimizer, found = torch.optim.Adam(parameters, lr=0.01), []
    for _ in range(steps):
        optimizer.zero_grad()
        read = made(inputs, ["a", "b"])
        target = inputs["features"][:, :1]
        loss = sum((sign * target - read[task].pooled.mean(1, keepdim=True)).square().mean() for task, sign in SIGNS)
        loss.backward()
        gates = [p.grad for name, p in made.named_parameters() if ".gates." in name and p.grad is not None]
        found.append(torch.cat([gradient.flatten() for gradient in gates]).norm())
        optimizer.step()
    return found


SIGNS = (("a", 1.0), ("b", -1.0))


def test_gates_of_identical_experts_move_as_they_differ(encoder: PerceptronEncoder) -> None:
    encoder.pretrained = True
    first, *later = train(MMoE(("a", "b"), encoder, expert_stages=2).double())
    assert first < 1e-12, "experts are identical: gates have nothing to choose from"
    assert later[-1] > 1e-3


def test_without_a_difference_they_never_do(encoder: PerceptronEncoder) -> None:
    encoder.pretrained = True
    made = MMoE(("a", "b"), encoder, expert_stages=2).double()
    for name, parameter in made.named_parameters():
        if ".gates." in name:
            nn.init.zeros_(parameter)
    assert max(train(made)) < 1e-12


@pytest.mark.parametrize("options", [{}, {"expert_stages": 2}], ids=["perceptrons", "stages"])
def test_gates_move_from_the_first_step_on(encoder: PerceptronEncoder, options: dict[str, int]) -> None:
    assert train(MMoE(("a", "b"), encoder, **options).double(), steps=1)[0] > 1e-4


def test_tokens_are_gated_each_for_itself_and_pooled_apart(encoder: PerceptronEncoder) -> None:
    made = MMoE(TASKS, encoder, expert_widths=[4]).double()
    pooled, tokens, mask = features(2, 6), features(2, 3, 6), torch.ones(2, 3, dtype=torch.bool)
    found = made.share(Representation(pooled, tokens, mask), ["b"])["b"]
    assert found.tokens is not None
    assert found.mask is mask
    for i in range(3):
        position = made.share(Representation(tokens[:, i]), ["b"])["b"]
        torch.testing.assert_close(found.tokens[:, i], position.pooled)
    torch.testing.assert_close(found.pooled, made.share(Representation(pooled), ["b"])["b"].pooled)


def test_what_is_noted_of_tokens_leaves_padding_out(encoder: PerceptronEncoder) -> None:
    made = MMoE(TASKS, encoder).double().train()
    tokens, mask = features(2, 3, 6), torch.tensor([[True, True, False], [True, False, False]])
    made.share(Representation(None, tokens, mask), ["b"])
    other = torch.where(mask.unsqueeze(-1), tokens, 100.0)
    (use,) = made.observe().use
    before = use.newest("b")
    made.share(Representation(None, other, mask), ["b"])
    torch.testing.assert_close(use.newest("b"), before)
    assert use.newest("a") is None


def test_all_positions_of_a_feature_map_are_mixed_alike() -> None:
    torch.manual_seed(0)
    encoder = ConvolutionalEncoder(2, [3, 4], grid=(2, 2), features=6).double()
    made = CGC(TASKS, encoder, expert_stages=2).double()
    image, (level,) = features(4, 2, 8, 8), made.levels
    state = encoder.stages[0](encoder.begin({"image": image}))
    weights = level.gates["a"](state.hidden.mean((2, 3)))
    outputs = [level.experts(group)(state)[:, 0] for group in (None, "a")]
    mixed = weights[:, :1] * outputs[0] + weights[:, 1:] * outputs[1]
    torch.testing.assert_close(made({"image": image}, ["a"])["a"].pooled, mixed)


BAD = {
    "no-experts": (MMoE, {"num_experts": 0}, "`num_experts` must be at least 1, found 0"),
    "no-task-experts": (CGC, {"num_task_experts": 0}, "`num_task_experts` must be at least 1, found 0"),
    "negative-shared": (PLE, {"num_shared_experts": -1}, "`num_shared_experts` must be at least 0, found -1"),
    "no-levels": (PLE, {"num_levels": 0}, "`num_levels` must be at least 1, found 0"),
    "no-widths": (MMoE, {"expert_widths": []}, "`expert_widths` must be one or more widths"),
    "zero-width": (CGC, {"expert_widths": [4, 0]}, "`expert_widths` must be one or more widths"),
    "both-kinds": (MMoE, {"expert_widths": [4], "expert_stages": 1}, "not both"),
    "too-many-stages": (MMoE, {"expert_stages": 4}, "`expert_stages` must be from 1 to 3.*found 4"),
    "no-stages": (MMoE, {"expert_stages": 0}, "`expert_stages` must be from 1 to 3.*found 0"),
    "odd-stages": (PLE, {"expert_stages": 3}, "multiple of `num_levels`, found 3 stages for 2 levels"),
}


@pytest.mark.parametrize(("cls", "options", "message"), BAD.values(), ids=BAD)
def test_bad_options_are_one_line(
    encoder: PerceptronEncoder, cls: type[ExpertSharing], options: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        cls(TASKS, encoder, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
