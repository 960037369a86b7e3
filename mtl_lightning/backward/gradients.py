"""Gradients of several losses by several parameters: computed, added up, averaged over processes, written."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import _engine_run_backward

from mtl_lightning.backward.by_task import ByTask
from mtl_lightning.backward.processes import any_process, mean_over_processes, num_processes
from mtl_lightning.backward.shards import apart, local, placed
from mtl_lightning.backward.sparse import SparseGradients
from mtl_lightning.errors import UserError

Gradients = Sequence[Tensor | None]

_LONG = 1 << 18
"""Values of a gradient that is sent rather than copied."""


class Writer:
    """Writes ``.grad``, the same on every process.

    A parameter that no process has a gradient of receives none. Which those are is asked of all processes once for each
    set of tasks: the parameters that a task uses do not change.
    """

    def __init__(self) -> None:
        self._used: dict[tuple[str, ...], list[bool]] = {}
        self._hooked: list[nn.Parameter] = []
        self.sparse = SparseGradients()

    def used(
        self, key: tuple[str, ...], parameters: Sequence[nn.Parameter], here: Sequence[bool], like: Tensor
    ) -> list[bool]:
        """For each parameter, whether a process has a gradient of it.

        Args:
            key: Names what is asked about.
            parameters: What is asked about.
            here: The same for this process.
            like: A tensor on the device through which processes talk.
        """
        if num_processes() == 1:
            return list(here)
        if key not in self._used:
            self._used[key] = any_process(here, like)
            self.sparse.agree(parameters, like)
        return self._used[key]

    def write_mean(
        self, key: tuple[str, ...], parameters: Sequence[nn.Parameter], gradients: Gradients, factor: Tensor | None
    ) -> None:
        """Adds the mean over processes of ``gradients``, times ``factor``, to the parameters' gradients."""
        if num_processes() > 1 and parameters:
            used = self.used(key, parameters, [gradient is not None for gradient in gradients], local(parameters[0]))
            mean = _means(parameters, gradients)
            gradients = [gradient if is_used else None for gradient, is_used in zip(mean, used, strict=True)]
        self.accumulate(parameters, gradients, factor)

    def accumulate(
        self, parameters: Sequence[nn.Parameter], gradients: Gradients, factor: Tensor | None = None
    ) -> None:
        """Adds to the parameters' gradients.

        Args:
            parameters: Whose they are.
            gradients: What to add, one for each; none: nothing.
            factor: A scalar to multiply them by.
        """
        pairs = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
        found = [gradient for _, gradient in pairs]
        scaled = found if factor is None or not found else torch._foreach_mul(found, factor)
        written = self.sparse.restored([parameter for parameter, _ in pairs], scaled)
        for (parameter, _), gradient in zip(pairs, written, strict=True):
            if parameter.grad is None:
                of_its_type = gradient if gradient.dtype == parameter.dtype else gradient.to(parameter.dtype)
                parameter.grad = placed(of_its_type, parameter)
            else:
                parameter.grad += placed(gradient, parameter)
            if parameter._post_accumulate_grad_hooks:
                self._hooked.append(parameter)

    def call_hooks(self, wanted: bool = True) -> None:
        """Calls the post-accumulate hooks of what was written since, as ``Tensor.backward`` would.

        Args:
            wanted: False only forgets what was written.
        """
        hooked, self._hooked = self._hooked, []
        for parameter in hooked if wanted else ():
            for hook in list((parameter._post_accumulate_grad_hooks or {}).values()):
                hook(parameter)


def differentiate(term: Tensor, parameters: Sequence[Tensor], weights: Tensor, keep_graph: bool = False) -> Gradients:
    """Gradients by each of ``parameters``, none for those that there is no dependence on.

    It calls what ``torch.autograd.grad`` calls, which itself takes as long as the backward pass of a small head.

    Args:
        term: A scalar, or terms [T].
        parameters: What to differentiate by.
        weights: Of the terms in their sum, of the shape of ``term``.
        keep_graph: Whether another call follows.
    """
    sources = tuple([parameter for parameter in parameters if parameter.requires_grad])
    if not sources or not term.requires_grad:
        return [None] * len(parameters)
    create_graph = accumulate = False
    allow_unused = True
    found: tuple[Tensor | None, ...] = _engine_run_backward(
        (term,), (weights,), keep_graph, create_graph, sources, allow_unused, accumulate
    )
    if len(sources) == len(parameters):
        return found
    rest = iter(found)
    return [next(rest) if parameter.requires_grad else None for parameter in parameters]


def differentiate_sharded(
    term: Tensor, parameters: Sequence[Tensor], weights: Tensor, keep_graph: bool, leaves: Iterable[Tensor]
) -> Gradients:
    """The same where some of ``parameters`` are sharded: this process's part of the sum over processes.

    FSDP2 adds up gradients over processes in a backward pass to ``.grad``, and in no other.

    Args:
        term: As for ``differentiate``.
        parameters: The same.
        weights: The same.
        keep_graph: The same.
        leaves: All parameters that the pass may reach: what their ``.grad`` holds is there again afterwards.

    Raises:
        UserError: If one of ``parameters`` is none, but a result of computations.
    """
    if not all(parameter.is_leaf for parameter in parameters):
        raise UserError("`gradient_of: features` does not work where a task has parts of a sharded encoder for its own")
    if not term.requires_grad:
        return [None] * len(parameters)
    with _set_aside([*leaves]):
        accumulate(term, weights, keep_graph)
        return [None if parameter.grad is None else local(parameter.grad) for parameter in parameters]


@contextmanager
def _set_aside(leaves: Sequence[Tensor]) -> Iterator[None]:
    held = [leaf.grad for leaf in leaves]
    try:
        forget(leaves)
        yield
    finally:
        for leaf, gradient in zip(leaves, held, strict=True):
            leaf.grad = gradient


def accumulate(terms: Tensor, weights: Tensor, keep_graph: bool = False) -> None:
    """Adds the gradients of the weighted sum of terms [T], or of one, to ``.grad`` of all parameters.

    It calls what ``torch.autograd.backward`` calls, which itself takes as long as the backward pass of a small head.
    """
    create_graph = False
    allow_unreachable = to_grad = True
    _engine_run_backward((terms,), (weights,), keep_graph, create_graph, (), allow_unreachable, to_grad)


def weighted(terms: Mapping[str, Tensor], weights: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Terms and their weights in the same order, both [T]: what the gradient of their weighted sum follows from."""
    values = torch.stack(list(terms.values()))
    if isinstance(weights, ByTask):
        return values, weights.vector(terms)
    return values, vector([weights[task] for task in terms], values)


def add(first: Gradients, second: Gradients) -> Gradients:
    """Sums, one by one; what is missing counts as zero."""
    return [b if a is None else a if b is None else a + b for a, b in zip(first, second, strict=True)]


def add_terms(total: dict[str, Tensor], terms: Mapping[str, Tensor]) -> None:
    """Adds scalars to those of the same task."""
    for task, term in terms.items():
        total[task] = total[task] + term if task in total else term


def detached(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same without their graph."""
    return {task: term.detach() for task, term in terms.items()}


def flatten(gradients: Gradients, sources: Sequence[Tensor], out: Tensor | None = None) -> Tensor:
    """One vector of all gradients, zero where there is none.

    Args:
        gradients: One for each of ``sources``.
        sources: What they are gradients of.
        out: Where to write them; null: into new memory.
    """
    pieces = [
        source.new_zeros(1).expand(source.numel()) if gradient is None else gradient.flatten()
        for gradient, source in zip(gradients, sources, strict=True)
    ]
    if not pieces:
        return torch.zeros(0) if out is None else out
    return torch.cat(pieces) if out is None else torch.cat(pieces, out=out)


def joined(gradients: Gradients, sources: Sequence[Tensor]) -> list[Tensor]:
    """The same in pieces, whose lengths follow from the sources: long gradients are not copied, short neighbours join.

    Args:
        gradients: One for each of ``sources``; none: zeros.
        sources: What they are gradients of.
    """
    pieces: list[Tensor] = []
    pairs = zip(gradients, sources, strict=True)
    for is_long, group in groupby(pairs, key=lambda pair: pair[1].numel() >= _LONG):
        run = list(group)
        if is_long:
            pieces += [s.new_zeros(s.numel()) if g is None else g.flatten() for g, s in run]
        else:
            pieces.append(flatten([gradient for gradient, _ in run], [source for _, source in run]))
    return pieces


def _means(parameters: Sequence[Tensor], gradients: Gradients) -> Gradients:
    """Means over processes, of sharded parameters this process's part."""
    whole, sharded = apart(parameters)
    sources = [parameters[place] for place in whole]
    found = split(mean_over_processes(flatten([gradients[place] for place in whole], sources)), sources)
    if not sharded:
        return found
    means: list[Tensor | None] = [None if gradient is None else gradient / num_processes() for gradient in gradients]
    for place, mean in zip(whole, found, strict=True):
        means[place] = mean
    return means


def forget(parameters: Iterable[Tensor]) -> None:
    """Leaves no gradient."""
    for parameter in parameters:
        parameter.grad = None


def without_numbers(parameter: Tensor) -> nn.Parameter:
    """A twin of a parameter, with a gradient; neither takes memory."""
    twin = nn.Parameter(torch.empty_like(parameter, device="meta"))
    twin.grad = torch.empty_like(twin)
    return twin


def split(vector: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Views of ``vector``, one for each parameter and of its shape."""
    pieces = torch.split(vector, [parameter.numel() for parameter in parameters]) if parameters else []
    return [piece.view_as(parameter) for piece, parameter in zip(pieces, parameters, strict=True)]


def vector(values: Sequence[Any], like: Tensor) -> Tensor:
    """Floats or scalars as a vector on the device of ``like``, without waiting for it."""
    if values and isinstance(values[0], Tensor):
        return torch.stack(list(values)).to(like)
    return torch.tensor(values, dtype=like.dtype).to(like.device, non_blocking=True)
