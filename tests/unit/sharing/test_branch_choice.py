"""How branches are drawn, and when the draws are learned."""

import torch

from mtl_lightning.sharing.branch_choice import BranchChoice

TASKS = ["a", "b", "c"]
LOGITS = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def made(temperature: float) -> BranchChoice:
    choice = BranchChoice(TASKS, 2, 3, temperature, min_temperature=0.1, warmup=0)
    with torch.no_grad():
        choice.between[0].copy_(LOGITS)
    choice.count()
    return choice


def test_each_example_draws_for_itself_by_the_chances() -> None:
    torch.manual_seed(0)
    drawn = made(2.0).parents(0, 20_000).detach()
    assert drawn.shape == (20_000, 3, 3) and torch.equal(drawn.sum(-1), torch.ones(20_000, 3))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(drawn.mean(0), (LOGITS / 2.0).softmax(-1), atol=0.02, rtol=0)
    together = (drawn[:, 0, 2] * drawn[:, 1, 0]).mean()
    torch.testing.assert_close(together, drawn[:, 0, 2].mean() * drawn[:, 1, 0].mean(), atol=0.02, rtol=0)


def test_draws_have_the_gradient_of_their_chances() -> None:
    choice, weights = made(2.0), torch.randn(5, 3, 3)
    (found,) = torch.autograd.grad((choice.parents(0, 5) * weights).sum(), [choice.between[0]])
    logits = LOGITS.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(((logits / 2.0).softmax(-1) * weights).sum(), [logits])
    torch.testing.assert_close(found, wanted)


def test_what_is_all_but_even_at_first_is_all_but_sure_in_the_end() -> None:
    choice = BranchChoice(TASKS, 1, 2, temperature=10.0, min_temperature=0.1, warmup=0)
    with torch.no_grad():
        choice.logits("b")[1] = 1.0
    choice.count()
    assert choice.chances("b")[0][1] < 0.53
    choice.num_batches += 10_000
    assert choice.chances("b")[0][1] > 0.9999


def test_choices_are_learned_after_the_warm_up_at_a_falling_temperature() -> None:
    choice = BranchChoice(TASKS, 2, 2, temperature=4.0, min_temperature=0.5, warmup=2)
    temperatures, learned = [], []
    for _ in range(100):
        choice.count()
        temperatures.append(float(choice.temperature))
        (gradient,) = torch.autograd.grad((choice.leaf("b", 7) * torch.tensor([1.0, 2.0])).sum(), [choice.logits("b")])
        learned.append(bool(gradient.any()))
    assert temperatures[:3] == [4.0, 4.0, 4.0] and temperatures[5] == 2.0 and temperatures[-1] == 0.5
    assert learned == [False] * 2 + [True] * 98
