import math

import pytest
import torch
from torch.optim import SGD

from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.optim import WarmupDecay
from mtl_lightning.tasks import SequenceClassification
from mtl_lightning.training.module import MultiTaskModule


def factors(steps, **settings):
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = WarmupDecay(optimizer, **settings)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"] / 2.0)
        optimizer.step()
        scheduler.step()
    return found


def test_linear():
    assert factors(11, total_steps=10, warmup=0.2) == pytest.approx(
        [0, 0.5, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0]
    )


def test_cosine_ends_at_final():
    found = factors(9, total_steps=8, warmup=0.0, decay="cosine", final=0.2)
    assert found == pytest.approx([0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(9)])


def test_constant_after_the_warm_up_and_past_the_end():
    assert factors(8, total_steps=4, warmup=0.5, decay="constant") == pytest.approx([0, 0.5, 1, 1, 1, 1, 1, 1])


def test_without_a_number_of_steps():
    with pytest.raises(ValueError, match="total_steps is missing"):
        factors(1)


def test_warmup_is_a_fraction():
    with pytest.raises(ValueError, match="fraction of the steps, found 100"):
        factors(1, total_steps=10, warmup=100)


@pytest.mark.parametrize(
    ("error", "said"), [(ValueError("bad"), "model.optimizer: bad"), (UserError("a.tsv: bad"), "a.tsv: bad")]
)
def test_what_is_said_of_the_optimizer(error, said):
    def refuse(groups):
        raise error

    module = MultiTaskModule(PerceptronEncoder(3, [4]), {"x": SequenceClassification(["a", "b"])}, optimizer=refuse)
    module.build()
    with pytest.raises(UserError) as raised:
        module.configure_optimizers()
    assert str(raised.value) == said
