"""A simulated click → buy funnel: ESMM is calibrated over all impressions, a head trained on clicks alone is not."""

from typing import NamedTuple

import pytest
import torch
from funnels import binary
from torch import Tensor

from mtl_lightning.chains import ESMM, Link
from mtl_lightning.data import Batch
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.tasks import IGNORE
from mtl_lightning.training.module import MultiTaskModule

SIZE, STEPS = 6000, 300


class Funnel(NamedTuple):
    """Impressions, and what is true of each."""

    features: Tensor
    click: Tensor
    buy: Tensor
    conditional: Tensor


def simulated(seed: int) -> Funnel:
    """What draws a click speaks against buying: clicks are a biased sample of the impressions."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(SIZE, 3, generator=generator)
    clicked = (1.5 * features[:, 0] + features[:, 1] - 1).sigmoid()
    conditional = (-1.5 * features[:, 0] + features[:, 2]).sigmoid()
    draws = torch.rand(2, SIZE, generator=generator)
    click = draws[0] < clicked
    return Funnel(features, click.long(), (click & (draws[1] < conditional)).long(), conditional)


def trained(chain: dict[str, Link], funnel: Funnel, buy: Tensor) -> MultiTaskModule:
    torch.manual_seed(0)
    tasks = {"click": binary(), "buy": binary()}
    model = MultiTaskModule(PerceptronEncoder(in_features=3, hidden=[16]), tasks, chain=chain)
    model.build()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    targets = {"click": funnel.click, "buy": buy}
    batch = Batch({"features": funnel.features}, targets, {}, dict.fromkeys(tasks, 1.0), [], SIZE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.stack([*model.losses([batch]).losses.values()]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model.eval()


def chances(model: MultiTaskModule, funnel: Funnel) -> dict[str, Tensor]:
    with torch.no_grad():
        return {task: logits.softmax(-1)[:, 1] for task, logits in model({"features": funnel.features}).items()}


def calibration_error(predicted: Tensor, truth: Tensor) -> float:
    """Mean over examples of |mean prediction - rate| in its tenth of the predictions."""
    order = predicted.argsort()
    gaps = [(predicted[part] - truth[part]).mean().abs() for part in order.chunk(10)]
    return float(torch.stack(gaps).mean())


@pytest.fixture(scope="module")
def train() -> Funnel:
    return simulated(1)


def test_esmm_is_calibrated_over_all_impressions_and_a_head_on_clicks_alone_is_not(train: Funnel) -> None:
    test = simulated(2)
    on_clicks = train.buy.where(train.click == 1, IGNORE)
    whole = chances(trained({"buy": ESMM("click")}, train, train.buy), test)
    biased = chances(trained({}, train, on_clicks), test)
    assert calibration_error(whole["click"], test.click) < 0.03
    assert calibration_error(whole["buy"], test.buy) < 0.03
    assert calibration_error(biased["buy"], test.buy) > 0.2
    assert calibration_error(biased["buy"][test.click == 1], test.buy[test.click == 1]) < 0.05, "where it was trained"
    implied = whole["buy"] / whole["click"]
    assert float((implied - test.conditional).abs().mean()) < 0.06, "also of impressions that were not clicked"
