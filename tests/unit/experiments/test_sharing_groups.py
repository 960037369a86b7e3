"""Groups of tasks, as they are read from what a sharing has learned."""

from functools import partial

import pytest
import torch

from experiments.sharing import groups
from experiments.sharing.data import SideBySide
from mtl_lightning import sharing


def test_agreement_is_the_share_of_pairs_that_are_rightly_together_or_apart() -> None:
    assert groups.agreement(groups.KNOWN, [1 - group for group in groups.KNOWN]) == 1
    assert groups.agreement([0] * 8, groups.KNOWN) == pytest.approx(12 / 28)
    assert groups.agreement([0, 0, 0, 0, 1, 1, 1, 0], groups.KNOWN) == pytest.approx(21 / 28)


def test_two_clusters_are_those_of_the_vectors() -> None:
    clear = torch.tensor([[0.0, 1.0], [0.1, 0.9], [1.0, 0.0], [0.9, 0.2]])
    assert groups.agreement(groups.two_clusters(clear), [0, 0, 1, 1]) == 1
    assert groups.agreement(groups.two_clusters(clear[[0, 2, 1, 3]]), [0, 0, 1, 1]) < 1


def test_sharings_that_tell_no_tasks_apart_have_one_cluster() -> None:
    assert len(set(groups.two_clusters(torch.ones(4, 2)))) == 1


def test_tasks_of_a_group_ask_about_one_digit_with_pairs_of_their_own() -> None:
    pixels, labels = groups.tensors(seed=0, pairs=400)
    shown = SideBySide(train=400, val=1, test=1, seed=0).load()["train"].to_dict()
    of_digits = {}
    for task, answers in labels.items():
        digits = shown[f"{task.split('_')[0]}_digit"]
        known = dict(zip(digits, answers.tolist(), strict=True))
        assert answers.tolist() == [known[digit] for digit in digits]
        assert sorted(known.values()) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        of_digits[task] = frozenset(frozenset(d for d in known if known[d] == label) for label in range(5))
    assert len(set(of_digits.values())) == 8
    torch.testing.assert_close(pixels.mean(0), torch.zeros(128), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", groups.METHODS)
def test_what_a_sharing_has_learned_is_read_from_it(name: str) -> None:
    """Groups that are put into a sharing come out of it."""
    method = groups.METHODS[name]
    made = groups.trained(method, 0, *groups.tensors(seed=0, pairs=80), steps=2)
    assert len(method.read(made)) == 8
    with torch.no_grad():
        for number, task in enumerate(groups.TASKS):
            put = 10.0 if groups.KNOWN[number] else -10.0
            if isinstance(made, sharing.LearnedBranching):
                assert made.choice is not None
                made.choice.logits(task).copy_(torch.tensor([put, -put]))
            elif isinstance(made, sharing.FiLM | sharing.TaskEmbedding):
                made.vectors[task].fill_(1.0)
                made.vectors[task][:2] = torch.tensor([put, 0.1 * number])
            else:
                (use,) = made.observe().use
                use.train().note(task, torch.tensor([[put, -put]]).softmax(-1))
    made.train().eval()
    assert groups.agreement(groups.two_clusters(method.read(made)), groups.KNOWN) == 1


def test_one_trained_model_finds_the_groups() -> None:
    """Not only what was put into it: the vectors of a short training are apart by group."""
    method = groups.METHODS["embeddings (FiLM)"]
    made = groups.trained(method, 100, *groups.tensors(seed=100, pairs=1_000), steps=200)
    assert groups.agreement(groups.two_clusters(method.read(made)), groups.KNOWN) == 1


def test_the_choices_of_a_tree_have_their_own_learning_rate() -> None:
    method = groups.METHODS["tree (LearnedBranching)"]._replace(
        sharing=partial(sharing.LearnedBranching, num_branches=2, warmup=0, lr_factor=1e-9)
    )
    made = groups.trained(method, 0, *groups.tensors(seed=0, pairs=80), steps=2)
    assert isinstance(made, sharing.LearnedBranching)
    assert made.choice is not None
    assert max(logits.abs().max() for logits in made.choice.of_tasks) < 1e-6


def test_the_table_has_a_row_for_each_method() -> None:
    text = groups.table(range(2), pairs=80, steps=1)
    assert [line.split(" | ")[0] for line in text.splitlines()[2:]] == [f"| {name}" for name in groups.METHODS]
    assert text.splitlines()[0] == "| | 0 | 1 | mean |"


def test_seeds_may_begin_later(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(groups, "table", lambda seeds: str(list(seeds)))
    groups.main(["--first=200", "--seeds=2"])
    assert capsys.readouterr().out == "[200, 201]"
