"""Lets an inner loop adapt the model to each episode of a batch."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_map

from mtl_lightning.backward.gradients import add_terms
from mtl_lightning.data import Batch
from mtl_lightning.errors import UserError
from mtl_lightning.inner_loops import Episode, InnerLoop, Parameters
from mtl_lightning.training.episode_passes import WholePass, pass_of
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
        UserError: If it does not go with the module's other options, or a task needs one.
    """
    loop = module.inner_loop
    if loop is None:
        for name, task in module.tasks.items():
            if task.by_episode and not task.reads_support:
                raise UserError(
                    f"model.tasks.{name}: {type(task).__name__} learns the classes of an episode by "
                    "`model.inner_loop`; set it, say to MAML, or choose PrototypicalClassification"
                )
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
    """Refuses an inner loop without episodes, and says of batch normalisation what it does in them.

    Args:
        module: The MultiTaskModule, about to train.

    Raises:
        UserError: If there are no episodes.
    """
    if module.inner_loop is None:
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
    through = pass_of(module, batch, parameters)
    for task, share in shares.items():
        if share > 0:
            each = _losses(module.inner_loop, parameters, through, task, terms)
            found[task] = torch.cat([losses.view(-1) for losses in each]).mean()
    scale = batch.form.size / (len(batch.examples) * max(len(found), 1)) if batch.form else 1.0
    terms = {name: term * scale for name, term in terms.items()}
    add_terms(terms, through.terms)
    return Losses(found, shares, [], terms)


def _losses(
    loop: InnerLoop, parameters: Parameters, through: WholePass, task: str, terms: dict[str, Tensor]
) -> Iterator[Tensor]:
    for support, query in _sets(through.batch, loop.vectorized):
        number = query.shape[-1] // support.shape[-1]
        parts = [support, *(query[..., first::number] for first in range(number))]
        batches = [loss_on(through, rows, task) for rows in parts]
        episode = Episode(batches[0], loss_on(through, query, task, terms), batches)
        with _twice_differentiable(loop.second_order):
            yield loop.loss(_of_each(parameters, support), episode)


def loss_on(
    through: WholePass, rows: Tensor, task: str, terms: dict[str, Tensor] | None = None
) -> Callable[[Parameters], Tensor]:
    """A task's loss on some rows, or on those of each of E episodes [E], as a function of parameters.

    Args:
        through: How they pass through the model.
        rows: Their numbers [B], or [E, B]; parameters are then those of each episode [E, ...].
        task: Name of the task.
        terms: What loss terms of sharing and chain are added to.
    """
    read, targets = through.read(rows), through.batch.targets[task][rows]

    def one(values: Parameters, read: Any, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        made = through.losses(values, read, targets, task)
        return made.losses[task], dict(made.terms)

    def at(parameters: Parameters) -> Tensor:
        loss: Tensor
        loss, found = _each(one, rows)(dict(parameters), read, targets)
        if terms is not None:
            add_terms(terms, {name: term.sum() for name, term in found.items()})
        return loss

    return at


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
            through = pass_of(module, batch, parameters)
        for support, query in _sets(batch, loop.vectorized):
            for task in batch.targets:
                with torch.enable_grad():
                    adapted = loop.adapted(_of_each(parameters, support), loss_on(through, support, task))

                def one(values: Parameters, read: Any, task: str = task) -> Any:
                    return through.logits(values, read, task)

                with torch.no_grad():
                    logits = _each(one, query)(adapted, through.read(query))
                for each, targets in _episodes(logits, batch.targets[task][query], query):
                    yield Answers({task: each}, {task: targets}, {task: num_labels(module.tasks[task], targets)})


def _sets(batch: Batch, at_once: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Row numbers of the support and the query set of each episode, each [B], or of all [E, B]."""
    assert batch.form is not None, "the batch has episodes"
    rows = torch.arange(len(batch.examples), device=next(iter(batch.inputs.values())).device)
    episodes = rows.view(-1, batch.form.size)
    for each in [episodes] if at_once else episodes:
        yield each[..., : batch.form.support], each[..., batch.form.support :]


def _of_each(parameters: Parameters, rows: Tensor) -> dict[str, Tensor]:
    """Parameters for each of the episodes that adapt at once."""
    return {name: p if rows.ndim == 1 else p.expand(len(rows), *p.shape) for name, p in parameters.items()}


def _each(function: Callable[..., Any], rows: Tensor) -> Callable[..., Any]:
    """A function of an episode, or the same of all that adapt at once."""
    if rows.ndim == 1:
        return function

    def at_once(*arguments: Any) -> Any:
        try:
            return torch.vmap(function, randomness="different")(*arguments)
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            raise UserError(
                "model.inner_loop.vectorized: the model cannot work on several episodes at once "
                f"({str(error).splitlines()[0]}); set it to false"
            ) from error

    return at_once


def _episodes(logits: Any, targets: Tensor, rows: Tensor) -> Iterator[tuple[Any, Tensor]]:
    """Logits and targets of each episode."""
    if rows.ndim == 1:
        yield logits, targets
        return
    for number in range(len(rows)):
        yield tree_map(lambda value: value[number], logits), targets[number]  # noqa: B023 - called at once


def _twice_differentiable(wanted: bool) -> AbstractContextManager[Any]:
    """Attention as plain products, where it is differentiated twice: fused kernels have no second derivative."""
    return sdpa_kernel(SDPBackend.MATH) if wanted else nullcontext()


def learnt_with(module: Any) -> Mapping[int, list[nn.Parameter]]:
    """What the inner loop learns with each parameter of the model, by its id."""
    if module.inner_loop is None:
        return {}
    return {id(parameter): [*module.inner_loop.learnt_with(name)] for name, parameter in adaptable(module).items()}
