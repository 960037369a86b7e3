"""DSelect-k: smooth in training, k experts in the end, whatever their number."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from mtl_lightning.encoders import PerceptronEncoder, Representation
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import DSelectK
from mtl_lightning.sharing.dselect_k import selectors, smooth_step

TASKS = ("a", "b", "c")


def encoder() -> PerceptronEncoder:
    torch.manual_seed(0)
    return PerceptronEncoder(5, [8])


@pytest.mark.parametrize("num_experts", range(2, 10))
def test_a_selector_is_the_product_of_its_bits(num_experts: int) -> None:
    torch.manual_seed(num_experts)
    number = (num_experts - 1).bit_length()
    bits = torch.rand(3, number, dtype=torch.float64)
    wanted = torch.zeros(3, num_experts, dtype=torch.float64)
    for code in range(2**number):
        share = torch.ones(3, dtype=torch.float64)
        for j in range(number):
            share = share * (bits[:, j] if code >> j & 1 else 1 - bits[:, j])
        wanted[:, code if code < num_experts else code - 2 ** (number - 1)] += share
    found = selectors(bits, num_experts)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(found.sum(-1), torch.ones(3, dtype=torch.float64))
    assert (selectors(bits.round(), num_experts).max(-1).values == 1).all()


def test_the_smooth_step_has_no_bend() -> None:
    values = torch.tensor([-0.5, 0.5], dtype=torch.float64, requires_grad=True)
    found = smooth_step(values)
    assert found.tolist() == [0.0, 1.0]
    (slope,) = torch.autograd.grad(found.sum(), values)
    assert slope.tolist() == [0.0, 0.0]


def weights(made: DSelectK, task: str, read: Tensor) -> Tensor:
    found: Tensor = made.levels[0].gates[task](read)
    return found


def chosen(made: DSelectK, steps: int) -> dict[str, Tensor]:
    """What the gates of two tasks that have nothing in common choose in the end, by example [B, E]."""
    read = torch.randn(64, 5)
    wanted = {"a": read[:, :2].sum(1), "b": -read[:, 2]}
    parameters = [*made.encoder.parameters(), *made.parameters()]  # type: ignore[misc]
    heads = torch.nn.ModuleDict({task: torch.nn.Linear(4, 1) for task in wanted})
    optimizer = torch.optim.Adam([*parameters, *heads.parameters()], lr=0.01, fused=True)
    assert weights(made, "a", made.encoder({"features": read}).pooled).max() < 0.6
    for _ in range(steps):
        optimizer.zero_grad()
        found = made({"features": read}, list(wanted))
        losses = [(heads[t](found[t].pooled).squeeze(1) - wanted[t]).square().mean() for t in wanted]
        torch.stack([*losses, *made.terms().values()]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert max(losses) < 0.1
    return {task: weights(made, task, made.encoder({"features": read}).pooled) for task in wanted}


def test_with_k_1_a_task_has_one_expert_within_500_steps() -> None:
    """Also where codes are more than experts; in the next test they are as many."""
    torch.manual_seed(0)
    made = DSelectK(("a", "b"), encoder(), num_experts=5, k=1, expert_widths=[4])
    for found in chosen(made, 500).values():
        assert (found.max(-1).values == 1).all()
    assert made.terms()["selector_entropy"] < 1e-6


def test_with_k_1_examples_come_to_have_one_expert_each() -> None:
    torch.manual_seed(0)
    made = DSelectK(("a", "b"), encoder(), 4, k=1, per_example=True, entropy=0.05, expert_widths=[4])
    for found in chosen(made, 300).values():
        assert found.max(-1).values.mean() > 0.9


@pytest.mark.parametrize("k", [1, 2, 3])
def test_at_most_k_experts_are_left(k: int) -> None:
    made = DSelectK(TASKS, encoder(), num_experts=6, k=k)
    for gate in made.levels[0].gates.values():
        with torch.no_grad():
            gate.biases[: k * 3] = torch.where(torch.rand(k * 3) < 0.5, -1.0, 1.0)
    found = weights(made, "a", torch.randn(4, 8))
    assert found.shape == (4, 6)
    assert ((found > 0).sum(-1) <= k).all()
    torch.testing.assert_close(found.sum(-1), torch.ones(4))


def test_the_term_is_of_the_tasks_of_the_last_batch_alone() -> None:
    made = DSelectK(TASKS, encoder(), entropy=0.5)
    read = {"features": torch.randn(4, 5)}
    terms = []
    for tasks in (TASKS, ("a",), ("a",), ()):
        made(read, tasks)
        terms.append(made.terms()["selector_entropy"])
    assert terms[0] > 2.9 * terms[1] > 0
    assert terms[1] == terms[2]
    assert terms[3] == 0
    (gradient,) = torch.autograd.grad(terms[1], made.levels[0].gates["a"].biases)
    assert gradient[:-2].abs().min() > 0
    torch.testing.assert_close(terms[1], torch.tensor(0.5 * 2 * 2 * 0.6931), rtol=1e-2, atol=0.0)


def test_the_term_ignores_padding() -> None:
    made = DSelectK(TASKS, encoder(), per_example=True)
    tokens, mask = torch.randn(2, 3, 8), torch.tensor([[True, True, False], [True, False, False]])
    made.share(Representation(None, tokens, mask), ["b"])
    term = made.terms()["selector_entropy"]
    made.share(Representation(None, torch.where(mask.unsqueeze(-1), tokens, 9.0), mask), ["b"])
    assert made.terms()["selector_entropy"] == term


def test_a_batch_without_examples_has_nothing_to_say() -> None:
    made = DSelectK(TASKS, encoder(), per_example=True)
    made({"features": torch.randn(0, 5)}, TASKS)
    assert made.terms()["selector_entropy"] == 0


def test_without_a_coefficient_there_is_no_term_and_evaluation_keeps_none() -> None:
    made = DSelectK(TASKS, encoder(), entropy=0.0)
    made({"features": torch.randn(4, 5)}, TASKS)
    assert made.terms() == {}
    other = DSelectK(TASKS, encoder()).eval()
    other({"features": torch.randn(4, 5)}, TASKS)
    assert other.terms()["selector_entropy"] == 0


def test_it_can_be_copied_after_a_step_in_training() -> None:
    made = DSelectK(TASKS, encoder())
    made({"features": torch.randn(4, 5)}, TASKS)
    assert deepcopy(made).terms()["selector_entropy"] == 0
    assert made.terms()["selector_entropy"] > 0


BAD = {
    "k-above-experts": ({"num_experts": 3, "k": 4}, "`k` must be from 1 to 3, the number of experts, found 4"),
    "no-k": ({"k": 0}, "`k` must be from 1 to 4"),
    "one-expert": ({"num_experts": 1, "k": 1}, "`num_experts` must be at least 2, found 1"),
    "entropy": ({"entropy": -0.1}, "`entropy` must be at least 0, found -0.1"),
    "gamma": ({"gamma": 0.0}, "`gamma` must be a finite number above 0, found 0.0"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_bad_options_are_one_line(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        DSelectK(TASKS, encoder(), **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
