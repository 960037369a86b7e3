"""AITM: what each step takes from the one before, in closed form."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from mtl_lightning.encoders import PerceptronEncoder, Representation
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import AITM, HardSharing

TASKS = ("click", "cart", "buy", "other")
INPUTS = {"features": torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))}


def made(**options: object) -> tuple[PerceptronEncoder, AITM]:
    torch.manual_seed(0)
    encoder = PerceptronEncoder(in_features=3, hidden=[4]).double()
    return encoder, AITM(TASKS, encoder, **options).double()  # type: ignore[arg-type]


def vectors(found: dict[str, Representation]) -> dict[str, Tensor]:
    return {task: each.pooled for task, each in found.items() if each.pooled is not None}


def transferred(sharing: AITM, task: str, own: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """The paper's formula, vector by vector."""
    part = dict(sharing.transfers[task].named_parameters())

    def mapped(name: str, u: Tensor) -> Tensor:
        return linear(u, part[f"{name}.weight"], part[f"{name}.bias"])

    us = [mapped("told.0", before).relu(), own]
    scores = torch.stack([mapped("query", u).mul(mapped("key", u)).sum(-1) / own.shape[-1] ** 0.5 for u in us])
    weights = scores.exp() / scores.exp().sum(0)
    return sum(w[:, None] * mapped("value", u) for w, u in zip(weights, us, strict=True)), weights[0].mean()  # type: ignore[return-value]


def test_each_step_reads_the_papers_mixture() -> None:
    encoder, sharing = made(order=["click", "cart", "buy"], tower_widths=[6, 5])
    features = encoder(INPUTS).pooled
    own = {task: sharing.towers[task](features) for task in TASKS}
    cart, taken = transferred(sharing, "cart", own["cart"], own["click"])
    buy, _ = transferred(sharing, "buy", own["buy"], cart)
    found = vectors(sharing(INPUTS, TASKS))  # type: ignore[arg-type]
    assert sharing.features == 5
    for task, wanted in {"click": own["click"], "cart": cart, "buy": buy, "other": own["other"]}.items():
        torch.testing.assert_close(found[task], wanted)
    torch.testing.assert_close(sharing.taken["cart"], taken)
    assert sharing.taken.keys() == {"cart", "buy"}


def test_without_transfer_it_is_hard_sharing_with_towers() -> None:
    encoder, sharing = made(transfer=False)
    hard = HardSharing(TASKS, encoder)(INPUTS, TASKS)
    for task, found in vectors(sharing(INPUTS, TASKS)).items():  # type: ignore[arg-type]
        assert torch.equal(found, sharing.towers[task](hard[task].pooled))
    assert all(len(sharing.own_parameters(task)) == 2 for task in TASKS)


def test_tokens_are_transferred_position_by_position() -> None:
    _, sharing = made()
    tokens = torch.randn(2, 3, 4, dtype=torch.float64)
    found = sharing.share(Representation(tokens[:, 0], tokens, torch.ones(2, 3, dtype=torch.bool)), ["buy"])["buy"]
    assert found.pooled is not None and found.tokens is not None
    torch.testing.assert_close(found.tokens[:, 0], found.pooled)
    assert sharing.share(Representation(tokens=tokens), ["buy"])["buy"].pooled is None


def test_only_the_steps_before_are_computed() -> None:
    _, sharing = made(order=["buy", "click", "cart"])
    ran = []
    for task, tower in sharing.towers.items():
        tower.register_forward_hook(lambda *_, task=task: ran.append(task))
    sharing(INPUTS, ["click"])
    assert sorted(ran) == ["buy", "click"]


def test_the_last_step_alone_has_its_parameters_for_itself() -> None:
    _, sharing = made(order=["click", "cart", "buy"])
    assert [task for task in TASKS if sharing.own_parameters(task)] == ["buy", "other"]
    readers = {part.name: list(part.tasks) for part in sharing.parts()}
    assert readers["tower of click"] == ["click", "cart", "buy"]
    assert readers["tower of buy"] == ["buy"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": ["click", "by"]}, "`order` names the unknown task 'by'; did you mean 'buy'"),
        ({"order": ["click", "buy", "click"]}, "`order` names 'click' twice"),
        ({"tower_widths": [0]}, "`tower_widths` must be at least 1, found 0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=f"model.sharing: {message}"):
        made(**options)
