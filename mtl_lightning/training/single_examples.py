"""Refuses training batches of a single example where the encoder cannot take them."""

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from mtl_lightning.data.passes import Passes
from mtl_lightning.data.sampler import Rows, StepSampler
from mtl_lightning.errors import UserError
from mtl_lightning.training.randomness import random_state, same_again


def check_single_examples(module: Any, forward_modules: list[nn.Module]) -> None:
    """Tries one example where a process will get a single one, and the encoder normalises over batches.

    All processes try, and so end alike; the one that came to such a batch alone would leave the others waiting.

    Args:
        module: The Lightning module, about to train.
        forward_modules: Whose buffers a forward pass may change; they are left as they were.

    Raises:
        UserError: If the encoder refuses it.
    """
    loader = module.trainer.train_dataloader
    sampler = getattr(loader, "sampler", None)
    if not isinstance(sampler, StepSampler) or not any(isinstance(m, _NormBase) for m in module.encoder.modules()):
        return
    for name, passes in sampler.passes.items():
        if isinstance(passes, Passes) and passes.sizes.min() < 2 * sampler.num_replicas:
            batch = module.trainer.strategy.batch_to_device(loader.dataset[{name: Rows([0], {})}])
            precision = module.trainer.precision_plugin
            with torch.no_grad(), same_again(forward_modules, random_state(module.device)):
                try:
                    with precision.train_step_context():
                        module.encoder(precision.convert_input(batch[name].inputs))
                except ValueError as error:
                    raise UserError(
                        f"data.batch_size: data set '{name}', of size {len(passes.lengths):,}, leaves a process a "
                        f"batch of one example, which the encoder's normalisation refuses ({error}); set it to 3 "
                        "or more, or `data.drop_last: true`"
                    ) from error
