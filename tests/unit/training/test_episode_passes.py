"""Episodes whose heads alone adapt pass the encoder once, and come to the same."""

from typing import Any

import pytest
import torch

from mtl_lightning.data import Batch
from mtl_lightning.data.episodes import Form
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.inner_loops import ANIL, MAML, MetaSGD
from mtl_lightning.sharing import DSelectK, HardSharing
from mtl_lightning.tasks import FewShotClassification, Regression
from mtl_lightning.training import adapting, episode_sets
from mtl_lightning.training.episode_passes import HeadPass, WholePass, pass_of
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.weighting import EqualWeighting

FORM = Form(support=4, queries=6, ways=2)
EPISODES = 3


def module(loop: Any, sharing: Any = HardSharing) -> MultiTaskModule:
    torch.manual_seed(1)
    tasks = {"kind": FewShotClassification(2), "size": Regression(mean=0.0, std=1.0, dropout=0.0)}
    made = MultiTaskModule(
        PerceptronEncoder(in_features=3, hidden=[8]), tasks, EqualWeighting, inner_loop=loop, sharing=sharing
    )
    made.build()
    return made.double()


def batch(*tasks: str) -> Batch:
    torch.manual_seed(2)
    size = FORM.size * EPISODES
    targets = {"kind": torch.tensor(FORM.places(size)), "size": torch.randn(size, dtype=torch.float64)}
    targets = {name: value for name, value in targets.items() if name in tasks}
    inputs = {"features": torch.randn(size, 3, dtype=torch.float64)}
    return Batch(
        inputs, targets, dict.fromkeys(targets, size), dict.fromkeys(targets, 1.0), [*range(size)], 0, form=FORM
    )


def found(model: MultiTaskModule, *tasks: str) -> dict[str, torch.Tensor]:
    """Losses, terms, gradients by all parameters, and answers."""
    made = model.losses([batch(*tasks)])
    total = torch.stack([*made.losses.values(), *made.terms.values()]).sum()
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    result = {f"loss {name}": value for name, value in made.losses.items()}
    result |= {f"term {name}": value for name, value in made.terms.items()}
    result |= {name: g for name, g in zip(named, gradients, strict=True) if g is not None}
    for number, each in enumerate(adapting.answers(model, batch(*tasks))):
        result |= {f"answer {number} {name}": value for name, value in each.logits.items()}
    return result


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize(("sharing", "tasks"), [(HardSharing, ("kind", "size")), (DSelectK, ("kind",))])
def test_one_pass_of_the_encoder_comes_to_what_one_for_each_step_does(
    sharing: type, tasks: tuple[str, ...], vectorized: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = module(ANIL(0.3, steps=3, vectorized=vectorized), sharing)
    once = found(model, *tasks)
    monkeypatch.setattr(episode_sets, "pass_of", lambda module, batch, parameters: WholePass(module, batch))
    each = found(model, *tasks)
    assert once.keys() == each.keys()
    assert any(name.startswith("encoder.") for name in once)
    assert any(name.startswith("term ") for name in once) == (sharing is DSelectK)
    for name, value in each.items():
        torch.testing.assert_close(once[name], value)


def test_the_encoder_is_passed_once_however_many_steps_there_are() -> None:
    model, passes = module(ANIL(0.3, steps=20)), list[int]()
    model.encoder.register_forward_hook(lambda *_: passes.append(1))
    model.losses([batch("kind", "size")])
    assert passes == [1]


@pytest.mark.parametrize(
    ("loop", "kind"),
    [
        (ANIL(), HeadPass),
        (MetaSGD(parameters="heads.*"), HeadPass),
        (MAML(), WholePass),
        (MAML(parameters="encoder.*"), WholePass),
    ],
)
def test_the_way_reaches_all_that_adapts(loop: Any, kind: type[WholePass]) -> None:
    model = module(loop)
    assert type(pass_of(model, batch("kind"), loop.chosen(adapting.adaptable(model)))) is kind
