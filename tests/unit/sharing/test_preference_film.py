"""One model for all preferences: it serves what it is asked for."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import PreferenceFiLM
from mtl_lightning.weighting import COSMOS

TASKS = ["low", "high"]


def asked_for(sharing: PreferenceFiLM, **preference: float) -> Tensor:
    """What it finds for a preference [B, D]."""
    torch.manual_seed(0)
    other = PreferenceFiLM(TASKS, sharing.encoder, "features", preference=preference).eval()
    other.load_state_dict(sharing.state_dict())
    pooled: Tensor = other({"features": torch.ones(1, 1)}, TASKS)["low"].pooled
    return pooled.detach()


@pytest.mark.parametrize(("cosine", "within"), [(0.0, 0.1), (1.0, 0.2)])
def test_each_preference_has_its_solution(cosine: float, within: float) -> None:
    """Of (r, 1 - r) between y² and (1 - y)², it is y = 1 - r; with the cosine, less far from the middle."""
    torch.manual_seed(0)
    sharing = PreferenceFiLM(TASKS, PerceptronEncoder(1, [8]), "features")
    weighting = COSMOS(TASKS, cosine=cosine, seed=0)
    optimizer = torch.optim.Adam([*sharing.encoder.parameters(), *sharing.parameters()], lr=0.02)
    for _ in range(400):
        sharing.prefer(weighting.preference)
        found = sharing({"features": torch.ones(1, 1)}, TASKS)["low"].pooled.mean()
        weighting(torch.stack([found**2, (1 - found) ** 2]), torch.arange(2)).backward()
        optimizer.step()
        optimizer.zero_grad()
    for share in (0.2, 0.5, 0.8):
        assert asked_for(sharing, low=share, high=1 - share).mean().item() == pytest.approx(1 - share, abs=within)


def test_the_encoder_runs_once_for_all_tasks() -> None:
    encoder, runs = PerceptronEncoder(3, [4, 4]), list[int]()
    encoder.stages[0].register_forward_hook(lambda *_: runs.append(1))
    found = PreferenceFiLM([*"abc"], encoder)({"features": torch.ones(2, 3)}, [*"abc"])
    assert len(runs) == 1
    assert found["a"] is found["b"] is found["c"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(PreferenceFiLM, behind="norms"), r"`behind` is 'norms'; choose from features, stages"),
        (partial(PreferenceFiLM, width=0), r"`width` must be at least 1, found 0"),
        (partial(PreferenceFiLM, behind="features", stages=[1]), r"`stages` have no effect on `behind: features`"),
        (
            partial(PreferenceFiLM, preference={"lo": 1}),
            r"`preference` names the unknown task 'lo'; did you mean 'low'",
        ),
        (partial(PreferenceFiLM, preference={"low": -1}), r"`preference\.low` must be a finite number of at least 0"),
        (partial(PreferenceFiLM, preference={"low": 0}), r"`preference` is 0 for every task; prefer one"),
    ],
)
def test_wrong_arguments(make: Callable[..., PreferenceFiLM], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(TASKS, PerceptronEncoder(1, [4]))
