"""What the executor is given of a step: the losses of its batches."""

from collections import Counter
from typing import Any

from mtl_lightning.data import StepBatch
from mtl_lightning.encoders.modes import in_evaluation
from mtl_lightning.training.joint_pass import Parts, passes
from mtl_lightning.training.randomness import random_state
from mtl_lightning.training.shared_parameters import common_features


def add_training(module: Any, batch: StepBatch, ends: bool, of_features: bool) -> list[Parts]:
    """Adds the losses that a step trains on; returns which batches went through the encoder together.

    Args:
        module: The MultiTaskModule.
        batch: Of the step.
        ends: Whether no further step belongs to the batches that are accumulated.
        of_features: Whether the weighting sees the gradients of features.
    """
    all_parts = passes(module, batch)
    to_come = Counter(task for part in batch.values() for task in part.taught)
    for parts in all_parts:
        if module.weighting.perturbs_parameters:
            module.repeated.keep(parts, random_state(module.device))
        found = module.losses(parts, of_all=module.executor.is_sharded)
        to_come.subtract(task for part in parts for task in part.taught)
        complete = [task for task in found.shares if ends and not to_come[task]]
        terms = {name: term / len(batch) for name, term in found.terms.items()}
        features = common_features(found, module.sharing) if of_features else ()
        module.executor.add(found.losses, found.shares, features, complete, terms)
    return all_parts


def add_validation(module: Any, batch: StepBatch) -> None:
    """Adds the losses of the validation batches that come with a step, where they are of use.

    The model is as in an evaluation meanwhile: dropout is off, and running statistics stay as they are.

    Args:
        module: The MultiTaskModule.
        batch: Of the step.
    """
    beside = [part.validation for part in batch.values() if part.validation is not None]
    if not beside or not module.executor.takes_validation:
        return
    with in_evaluation(module):
        for part in beside:
            found = module.losses([part], of_all=module.executor.is_sharded)
            module.executor.add_validation(found.losses, found.shares)
