"""A conditional random field over tags against the sum, the maximum and the mean over all paths."""

import copy
import math
from itertools import pairwise, product
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mtl_lightning.decoding import chain as numpy_chain
from mtl_lightning.encoders import Representation
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import IGNORE, TokenClassification
from mtl_lightning.tasks.bio import follows
from mtl_lightning.tasks.linear_chain import ChainHead, best_paths, without_words

BIO = ["O", "B-a", "I-a", "B-b", "I-b"]


class Case(NamedTuple):
    """A task, logits [B, L, C] marked at padding, targets [B, L] and the number of words of each sentence."""

    task: TokenClassification
    logits: Tensor
    targets: Tensor
    lengths: list[int]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    scheme = draw(st.sampled_from(["tags", "bio"]))
    labels = BIO if scheme == "bio" else draw(st.sampled_from([["p", "q"], ["p", "q", "r"]]))
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    torch.manual_seed(draw(st.integers(0, 2**16)))
    case = random_case(scheme, labels, lengths)
    missing = torch.rand(case.targets.shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    return case._replace(targets=case.targets.masked_fill(missing, IGNORE))


def random_case(scheme: str, labels: list[str], lengths: list[int]) -> Case:
    task = crf(scheme, labels)
    longest = max(lengths)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    logits = without_words(3 * torch.randn(len(lengths), longest, len(labels), dtype=torch.float64), mask)
    targets = torch.randint(len(labels), mask.shape).masked_fill(~mask, IGNORE)
    return Case(task, logits, targets, lengths)


def crf(scheme: str = "bio", labels: list[str] = BIO) -> TokenClassification:
    task = TokenClassification(scheme, labels, decoding="crf", dropout=0.0)
    task.build(4)
    torch.nn.init.normal_(chain_of(task).transitions, std=2)
    return task.double().eval()


def chain_of(task: TokenClassification) -> ChainHead:
    assert task.chain is not None
    return task.chain


def allowed(task: TokenClassification, path: tuple[int, ...]) -> bool:
    tags = ["O", *(task.labels[tag] for tag in path)]  # the start is as an O
    return task.scheme == "tags" or all(follows(*pair) for pair in pairwise(tags))


def paths(case: Case, row: int) -> dict[tuple[int, ...], float]:
    """Score of every allowed path of a sentence."""
    scores, size, length = chain_of(case.task).transitions.tolist(), case.logits.shape[-1], case.lengths[row]
    found = {}
    for path in product(range(size), repeat=length):
        if allowed(case.task, path):
            steps = sum(scores[a][b] for a, b in zip((size, *path), (*path, size), strict=True))
            found[path] = steps + sum(case.logits[row, t, tag].item() for t, tag in enumerate(path))
    return found


def agrees(path: tuple[int, ...], known: list[int]) -> bool:
    return all(tag in (IGNORE, found) for found, tag in zip(path, known, strict=False))


@settings(deadline=None, max_examples=60)
@given(cases())
def test_the_loss_is_that_of_all_paths(case: Case) -> None:
    wanted, known = 0.0, chain_of(case.task).regular(case.targets)
    for row in range(len(case.lengths)):
        weights = {path: math.exp(score) for path, score in paths(case, row).items()}
        right = sum(weight for path, weight in weights.items() if agrees(path, known[row].tolist()))
        wanted -= math.log(right / sum(weights.values()))
    count = max(1, int((case.targets != IGNORE).sum()))
    assert case.task.loss(case.logits, case.targets).item() == pytest.approx(wanted / count, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_the_best_path_and_the_marginals_are_those_of_all_paths(case: Case) -> None:
    mask = torch.arange(case.logits.shape[1]) < torch.tensor(case.lengths)[:, None]
    decoded, found = case.task.decode(case.logits, mask), case.task.best(case.logits)
    for row, length in enumerate(case.lengths):
        scores = paths(case, row)
        best = max(scores, key=scores.__getitem__)
        assert decoded[row]["labels"] == [case.task.labels[tag] for tag in best]
        assert found[row, :length].tolist() == list(best)
        total = sum(map(math.exp, scores.values()))
        for t in range(length):
            wanted = sum(math.exp(score) for path, score in scores.items() if path[t] == best[t]) / total
            assert decoded[row]["probabilities"][t] == pytest.approx(wanted, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**16), st.lists(st.integers(1, 12), min_size=1, max_size=4), st.sampled_from(["tags", "bio"]))
def test_what_is_decoded_without_torch_is_what_the_loss_says(seed: int, lengths: list[int], scheme: str) -> None:
    """Marginals are the gradient of the logarithm of the sum over all paths."""
    torch.manual_seed(seed)
    case = random_case(scheme, BIO, lengths)
    task, logits = case.task, case.logits.requires_grad_()
    mask, chain = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None], chain_of(task)
    path = best_paths(logits.detach(), mask, chain.chain(torch.float64))
    (gradient,) = torch.autograd.grad(task.loss(logits, path.masked_fill(~mask, IGNORE)) * sum(lengths), logits)
    wanted = (torch.nn.functional.one_hot(path, len(BIO)) + gradient)[mask]
    arrays = (
        logits.detach().masked_fill(~mask[..., None], 0).numpy(),
        mask.numpy(),
        numpy_chain.Chain.of(chain.steps().detach().numpy()),
    )
    assert torch.equal(torch.from_numpy(numpy_chain.best_paths(*arrays))[mask], path[mask])
    torch.testing.assert_close(torch.from_numpy(numpy_chain.marginals(*arrays))[mask], wanted, atol=1e-9, rtol=0)


def test_words_are_independent_before_training() -> None:
    plain, chain = (
        TokenClassification(labels=["p", "q", "r"]),
        TokenClassification(labels=["p", "q", "r"], decoding="crf"),
    )
    plain.build(4), chain.build(4)
    logits, targets = torch.randn(3, 5, 3), torch.randint(3, (3, 5))
    assert torch.allclose(chain.loss(logits, targets), plain.loss(logits, targets))
    assert torch.equal(chain.best(logits), plain.best(logits))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**16))
def test_decoded_tags_are_always_bio(seed: int) -> None:
    torch.manual_seed(seed)
    case = random_case("bio", BIO, [6, 3, 1])
    for row, tags in enumerate(case.task.best(case.logits).tolist()):
        assert allowed(case.task, tuple(tags[: case.lengths[row]]))


def test_padding_changes_nothing() -> None:
    task, hidden = crf(), torch.randn(2, 5, 4, dtype=torch.float64)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    logits = task(Representation(tokens=hidden, mask=mask))
    targets = torch.tensor([[0, 1, 2, IGNORE, 3], [3, IGNORE, IGNORE, IGNORE, IGNORE]])
    apart = [task(Representation(tokens=hidden[:1])), task(Representation(tokens=hidden[1:, :2]))]
    losses = [task.loss(apart[0], targets[:1]) * 4, task.loss(apart[1], targets[1:, :2])]
    assert torch.allclose(task.loss(logits, targets), torch.stack(losses).sum() / 5)
    rows = task.decode(logits, mask)
    assert [row["labels"] for row in rows] == [
        task.decode(part, torch.ones(part.shape[:2], dtype=torch.bool))[0]["labels"] for part in apart
    ]


def test_a_tag_inside_that_follows_no_span_begins_one() -> None:
    task = crf()
    irregular, regular = torch.tensor([[2, 2, 0, 4, IGNORE, 2]]), torch.tensor([[1, 2, 0, 3, IGNORE, 2]])
    assert torch.equal(chain_of(task).regular(irregular), regular)
    logits = torch.randn(1, 6, 5, dtype=torch.float64)
    assert task.loss(logits, irregular) == task.loss(logits, regular) < 100
    sure = 50.0 * torch.nn.functional.one_hot(regular.masked_fill(regular == IGNORE, 1), 5).double()
    assert task.correct(sure, irregular).tolist() == [1]


def test_a_span_type_without_its_first_tag_may_begin() -> None:
    task = crf("bio", ["O", "I-a"])
    assert torch.isfinite(loss := task.loss(torch.randn(1, 3, 2).double(), torch.tensor([[1, 1, 0]]))) and loss < 100


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    task = crf().float()
    mask = torch.tensor([[True] * 4, [True] * 2 + [False] * 2])
    logits = without_words(torch.randn(2, 4, 5).to(dtype), mask)
    targets = torch.tensor([[0, 1, 2, 2], [3, 4, IGNORE, IGNORE]])
    wanted = task.loss(without_words(logits.float(), mask), targets)
    with torch.autocast("cpu", torch.bfloat16):
        found = task.loss(logits, targets)
    assert found.dtype == torch.float32 and torch.equal(found, wanted)


@pytest.mark.parametrize("scale", [10, 1e4])
def test_large_logits_have_a_finite_loss_and_gradient(scale: float) -> None:
    task, targets = crf(), torch.tensor([0, 1, 2, 2, IGNORE, 0, 3, 4]).expand(4, 8)
    logits = (scale * torch.randn(4, 8, 5)).requires_grad_()
    exact = task.loss(logits.double(), targets).item()
    loss = task.float().loss(logits, targets)
    gradients = torch.autograd.grad(loss, [logits, chain_of(task).transitions])
    assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)
    assert scale > 10 or loss.item() == pytest.approx(exact, rel=1e-5)


def test_a_chain_learns_what_words_do_not_say() -> None:
    """Tags alternate, and only the first word tells which comes first."""
    torch.manual_seed(0)
    first = torch.randint(2, (64,))
    targets = (first[:, None] + torch.arange(6)) % 2
    features = torch.zeros(64, 6, 4)
    features[:, 0, 0] = 2.0 * first - 1
    accuracy = {}
    for decoding in ("independent", "crf"):
        task = TokenClassification(labels=["p", "q"], decoding=decoding, dropout=0.0)
        task.build(4)
        optimizer = torch.optim.Adam(task.parameters(), lr=0.1)
        for _ in range(60):
            optimizer.zero_grad()
            task.loss(task(Representation(tokens=features)), targets).backward()
            optimizer.step()
        logits = task(Representation(tokens=features))
        accuracy[decoding] = (task.best(logits) == targets).float().mean().item()
    assert accuracy["crf"] == 1 and accuracy["independent"] < 0.8


def test_a_warm_start_takes_the_steps_between_labels_that_both_know() -> None:
    old, new = crf("tags", ["p", "q", "r"]), crf("tags", ["r", "s", "p"])
    before = chain_of(new).transitions.detach().clone()
    taken, words = new.inherited(copy.deepcopy(old.state_dict()), {"labels": ["p", "q", "r"]})
    new.load_state_dict({**new.state_dict(), **taken})
    assert words == "2 of 3 labels; fresh: 's'"
    theirs, own = chain_of(old).transitions, chain_of(new).transitions
    rows, places = [0, 2, 3], [2, 0, 3]
    assert torch.equal(own[rows][:, rows], theirs[places][:, places])
    assert torch.equal(own[1], before[1]) and torch.equal(own[:, 1], before[:, 1])
    assert torch.equal(chain_of(new).weight[[0, 2]], chain_of(old).weight[[2, 0]])


@pytest.mark.parametrize(
    "setting",
    [{"label_smoothing": 0.1}, {"focal_gamma": 2}, {"class_weights": "balanced"}],
    ids=lambda s: next(iter(s)),
)
def test_losses_of_single_words_are_refused(setting: dict) -> None:
    with pytest.raises(UserError, match=f"`{next(iter(setting))}` is of the loss of single words"):
        TokenClassification(decoding="crf", **setting)
