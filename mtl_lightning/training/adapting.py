"""Lets an inner loop adapt the model to each episode of a batch."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from mtl_lightning.backward.gradients import add_terms
from mtl_lightning.data import Batch
from mtl_lightning.errors import UserError
from mtl_lightning.inner_loops import Episode, InnerLoop, Parameters
from mtl_lightning.training.episode_sets import EpisodeSets, apart, loss_on, mapped, of_each
from mtl_lightning.training.episodes import Answers, num_labels
from mtl_lightning.training.losses import Losses
from mtl_lightning.training.supervision import Labels

_PREFIXES = ("encoder.", "sharing.", "heads.", "chain.")
_warn = rank_zero_only(logging.getLogger(__name__).warning)


def adaptable(module: Any) -> dict[str, nn.Parameter]:
    """The parameters that an inner loop may adapt, by name: all but those of weighting and supervision."""
    return {name: parameter for name, parameter in module.named_parameters() if name.startswith(_PREFIXES)}


def arrange(module: Any) -> None:
    """Builds a module's inner loop, if it has one.

    Args:
        module: The MultiTaskModule, whose heads are built.

    Raises:
        UserError: If it does not go with the module's other options.
    """
    loop = module.inner_loop
    if loop is None:
        return
    excluded = {
        "gradient_of: features": module._gradient_of == "features",
        "compile_encoder": module._compile_encoder,
        "distil": not isinstance(module.supervision, Labels),
    }
    for option, is_set in excluded.items():
        if is_set:
            raise UserError(f"model.inner_loop does not go with model.{option}; leave one of them out")
    for each in module.encoder.modules() if loop.second_order else ():
        kind = str(getattr(getattr(each, "config", None), "_attn_implementation", ""))
        if kind.startswith(("flash", "flex")):
            raise UserError(
                f"model.inner_loop: `{kind}` has no second derivative, which {type(loop).__name__} needs; set "
                "model.encoder.attention to sdpa or eager, or choose FOMAML or Reptile"
            )
    loop.build(loop.chosen(adaptable(module)))


def check(module: Any) -> None:
    """Refuses an inner loop without episodes, and tasks that need one; says what batch normalisation does in them.

    Args:
        module: The MultiTaskModule, about to train.

    Raises:
        UserError: If there are no episodes, or there is no inner loop where a task needs it.
    """
    if module.inner_loop is None:
        for name, task in module.tasks.items():
            if task.by_episode and not task.reads_support:
                raise UserError(
                    f"model.tasks.{name}: {type(task).__name__} learns the classes of an episode by "
                    "`model.inner_loop`; set it, say to MAML, or choose PrototypicalClassification"
                )
        return
    data = module.trainer.datamodule
    if data is not None and not getattr(data, "episodes", None):
        raise UserError("model.inner_loop adapts to episodes, but `data.episodes` names no data set")
    if any(isinstance(each, _BatchNorm) for each in module.encoder.modules()):
        _warn(
            "model.inner_loop: the encoder has batch normalisation, so that in training the examples of a query set "
            "see each other, and an evaluation uses running statistics of other episodes; prefer other normalisation"
        )


def losses(module: Any, batch: Batch) -> Losses:
    """The loss of each task that trains: the mean of what the inner loop gives of the episodes.

    Args:
        module: The MultiTaskModule.
        batch: Of episodes.

    Raises:
        UserError: If the model is sharded, or the batch cannot be cut into episodes.
    """
    if module.executor.is_sharded:
        raise UserError(
            "model.inner_loop: parameters that are sharded cannot be adapted; choose `trainer.strategy: ddp`"
        )
    shares = {task: share for task, share in batch.shares.items() if task in module.trained_tasks}
    found: dict[str, Tensor] = {}
    terms: dict[str, Tensor] = {}
    parameters = module.inner_loop.chosen(adaptable(module))
    episodes = EpisodeSets(module, batch, parameters)
    for task, share in shares.items():
        if share > 0:
            each = _losses(module.inner_loop, parameters, episodes, task, terms)
            found[task] = torch.cat([losses.view(-1) for losses in each]).mean()
    scale = batch.form.size / (len(batch.examples) * max(len(found), 1)) if batch.form else 1.0
    terms = {name: term * scale for name, term in terms.items()}
    add_terms(terms, episodes.through.terms)
    return Losses(found, shares, [], terms)


def _losses(
    loop: InnerLoop, parameters: Parameters, episodes: EpisodeSets, task: str, terms: dict[str, Tensor]
) -> Iterator[Tensor]:
    through = episodes.through
    for sets in episodes(loop.vectorized):
        support, number = episodes.support_loss(sets, task), sets.query.shape[-1] // sets.num_shots
        batches = [support, *(loss_on(through, sets.query[..., first::number], task) for first in range(number))]
        episode = Episode(support, loss_on(through, sets.query, task, terms), batches)
        with _twice_differentiable(loop.second_order):
            yield loop.loss(of_each(parameters, sets), episode)


def answers(module: Any, batch: Batch) -> Iterator[Answers]:
    """What the model, adapted to each episode's support set, says of its query set; one task at a time.

    Args:
        module: The MultiTaskModule.
        batch: Of episodes.
    """
    loop = module.inner_loop
    with torch.inference_mode(False):
        parameters = loop.chosen(adaptable(module))
        with torch.no_grad():
            episodes = EpisodeSets(module, batch, parameters)
        through = episodes.through
        for sets in episodes(loop.vectorized):
            for task in batch.targets:
                with torch.enable_grad():
                    adapted = loop.adapted(of_each(parameters, sets), episodes.support_loss(sets, task))

                def one(values: Parameters, read: Any, task: str = task) -> Any:
                    return through.logits(values, read, task)

                with torch.no_grad():
                    logits = mapped(one, sets.query)(adapted, through.read(sets.query))
                for found, targets in apart(logits, batch.targets[task][sets.query], sets):
                    yield Answers({task: found}, {task: targets}, {task: num_labels(module.tasks[task], targets)})


def _twice_differentiable(wanted: bool) -> AbstractContextManager[Any]:
    """Attention as plain products, where it is differentiated twice: fused kernels have no second derivative."""
    return sdpa_kernel(SDPBackend.MATH) if wanted else nullcontext()


def learnt_with(module: Any) -> Mapping[int, list[nn.Parameter]]:
    """What the inner loop learns with each parameter of the model, by its id."""
    if module.inner_loop is None:
        return {}
    return {id(parameter): [*module.inner_loop.learnt_with(name)] for name, parameter in adaptable(module).items()}


def adapted_with(module: Any, task: str) -> list[str]:
    """Other tasks by whose labels the model adapts before a task's query sets, as the data module says: the outer
    gradient reaches their heads.

    Args:
        module: The MultiTaskModule, with or without a trainer.
        task: Name of the task.
    """
    data: Any = getattr(module._trainer, "datamodule", None)
    given = (getattr(data, "episodes", None) or {}).items()
    found = [each for name, of in given if task in data.datasets[name].labels for each in of.support_tasks or ()]
    return [each for each in dict.fromkeys(found) if each != task]
