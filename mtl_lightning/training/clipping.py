"""Clipping of gradients of which some are sharded: their norm is one of all processes."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from mtl_lightning.backward.shards import apart, whole


class ClippedModule(LightningModule):
    """A module whose gradients are clipped as Lightning does, also where it is sharded."""

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips the gradients of an optimizer's parameters, if asked to; see Lightning's Trainer."""
        precision: Any = self.trainer.precision_plugin
        parameters = list(precision.main_params(optimizer)) if gradient_clip_val else []
        alone, sharded = ([parameters[place] for place in places] for places in apart(parameters))
        if not sharded or not gradient_clip_val:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_algorithm == "value":
            for some in (alone, sharded):
                clip_grad_value_(some, gradient_clip_val)
        else:
            gradients = [[p.grad for p in some if p.grad is not None] for some in (alone, sharded)]
            norms = [whole(get_total_norm(found)) for found in gradients if found]
            for some in (alone, sharded) if norms else ():  # there is none in a step that is skipped
                clip_grads_with_norm_(some, gradient_clip_val, torch.linalg.vector_norm(torch.stack(norms)))
