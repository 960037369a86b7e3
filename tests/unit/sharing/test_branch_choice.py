"""How branches are drawn, and when the draws are learned."""

import torch
from torch.nn.functional import gumbel_softmax

from mtl_lightning.sharing.branch_choice import BranchChoice

TASKS = ["a", "b", "c"]


def test_draws_are_those_of_gumbel_softmax() -> None:
    choice = BranchChoice(TASKS, 2, 3, temperature=2.0, min_temperature=0.1, warmup=0)
    with torch.no_grad():
        choice.between[0].copy_(torch.randn(3, 3))
    choice.count()
    weights = torch.randn(3, 3)
    torch.manual_seed(1)
    drawn = choice.parents(0)
    torch.manual_seed(1)
    wanted = gumbel_softmax(choice.between[0], tau=2.0, hard=True)
    assert torch.equal(drawn.sum(1), torch.ones(3)) and torch.equal(drawn, wanted.round())
    (mine,), (theirs,) = (torch.autograd.grad((d * weights).sum(), [choice.between[0]]) for d in (drawn, wanted))
    torch.testing.assert_close(mine, theirs)


def test_choices_are_learned_after_the_warm_up_at_a_falling_temperature() -> None:
    choice = BranchChoice(TASKS, 2, 2, temperature=4.0, min_temperature=0.5, warmup=2)
    temperatures, learned = [], []
    for _ in range(100):
        choice.count()
        temperatures.append(float(choice.temperature))
        (gradient,) = torch.autograd.grad((choice.leaf("b") * torch.tensor([1.0, 2.0])).sum(), [choice.logits("b")])
        learned.append(bool(gradient.any()))
    assert temperatures[:3] == [4.0, 4.0, 4.0] and temperatures[5] == 2.0 and temperatures[-1] == 0.5
    assert learned == [False] * 2 + [True] * 98
