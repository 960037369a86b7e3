"""Groups of tasks, as they are read from what a sharing has learned."""

import pytest
import torch

from experiments.sharing import groups
from mtl_lightning import sharing


def test_agreement_is_the_share_of_pairs_that_are_rightly_together_or_apart() -> None:
    assert groups.agreement(groups.KNOWN, [1 - group for group in groups.KNOWN]) == 1
    assert groups.agreement([0] * 8, groups.KNOWN) == pytest.approx(12 / 28)
    assert groups.agreement([0, 0, 0, 0, 1, 1, 1, 0], groups.KNOWN) == pytest.approx(21 / 28)


def test_two_clusters_are_those_of_the_vectors() -> None:
    clear = torch.tensor([[0.0, 1.0], [0.1, 0.9], [1.0, 0.0], [0.9, 0.2]])
    assert groups.agreement(groups.two_clusters([clear]), [0, 0, 1, 1]) == 1
    silent, wrong = torch.zeros(4, 2), 1000 * clear[[0, 2, 1, 3]]
    assert groups.agreement(groups.two_clusters([clear, silent, clear, wrong]), [0, 0, 1, 1]) == 1


@pytest.mark.parametrize("name", groups.METHODS)
def test_what_a_sharing_has_learned_is_read_from_it(name: str) -> None:
    """Groups that are put into a sharing come out of it."""
    method = groups.METHODS[name]
    pixels, labels = groups.tensors(pairs=80)
    made = groups.trained(method, 0, pixels, labels, steps=2)
    assert len(method.read(made)) == 8
    with torch.no_grad():
        for number, task in enumerate(groups.TASKS):
            put = 10.0 if groups.KNOWN[number] else -10.0
            if isinstance(made, sharing.LearnedBranching):
                assert made.choice is not None
                made.choice.logits(task).copy_(torch.tensor([put, -put]))
            elif isinstance(made, sharing.FiLM):
                made.vectors[task].copy_(torch.tensor([put, 0.1 * number, 0.0, 1.0]))
            else:
                (use,) = made.observe().use
                use.train().note(task, torch.tensor([[put, -put]]).softmax(-1))
    made.train().eval()
    assert groups.agreement(groups.two_clusters([method.read(made)]), groups.KNOWN) == 1


def test_the_table_has_a_row_for_each_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "STARTS", 1)
    text = groups.table(range(2), pairs=80, steps=1)
    assert [line.split(" | ")[0] for line in text.splitlines()[2:]] == [f"| {name}" for name in groups.METHODS]
    assert text.splitlines()[0] == "| | seed 0 | seed 1 | mean |"
