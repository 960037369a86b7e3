"""Feature maps go through a sharing, or it says that they do not."""

import pytest
import torch
from sharing_cases import MAKERS, TASKS

from mtl_lightning.encoders import UNetEncoder

LINEAR_ALONE = {"LoRA", "MTLLoRA", "MTLoRA", "Poly"}
"""Sharings that adapt linear maps, of which this encoder has none."""


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in LINEAR_ALONE])
def test_maps_are_made_by_all_parameters_or_said_not_to_be(name: str) -> None:
    encoder = UNetEncoder(2, [2, 3], batch_norm=False)
    made = MAKERS[name](list(TASKS), encoder)
    held = [p for p in dict.fromkeys([*encoder.parameters(), *made.parameters()]) if p.requires_grad]
    found = made({"image": torch.randn(2, 2, 4, 5)}, list(TASKS))
    assert all(each.maps[1].shape == (2, 2, 4, 5) for each in found.values())
    total = torch.stack([each.maps[1].sum() for each in found.values()]).sum()
    gradients = torch.autograd.grad(total, held, allow_unused=True)
    assert all(gradient is not None for gradient in gradients) == made.carries_maps
