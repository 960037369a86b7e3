"""What a weighting's class says of itself: its docstring, its signature, what it declares to need, its state."""

from collections.abc import Iterator
from dataclasses import dataclass

from docstrings import Docstring, Option, docstring, options
from torch import Tensor

from experiments.benchmark.instances import exported, maker
from mtl_lightning.weighting import GramianWeighting, JacobianWeighting, LossWeighting, Weighting

_NUM_TASKS, _NUM_PARAMETERS = 11, 13
_LETTERS = {_NUM_TASKS: "K", _NUM_PARAMETERS: "P", 0: "…"}  # one that is empty at first grows
_HOST_NUMBERS = {"seed", "num_draws"}

FAMILIES: dict[type[Weighting], tuple[str, str]] = {
    LossWeighting: ("losses", "one backward pass"),
    GramianWeighting: (
        "the Gramian of the task gradients",
        "one backward pass where every task has a data set of its own; K where one data set labels K tasks",
    ),
    JacobianWeighting: (
        "the task gradients themselves",
        "as for the Gramian, and memory for K gradients",
    ),
}
"""What a family sees, and what a step costs in theory."""


@dataclass(frozen=True)
class Facts(Docstring):
    """What a card says without having measured anything; texts are reStructuredText.

    Attributes:
        name: Of the class.
        family: The base class, which says what the method sees.
        options: Its options.
        needs: What it must be told besides a step's evidence.
        domain: The losses that it is defined for.
        state: Name and shape of what it keeps from step to step.
    """

    name: str
    family: type[Weighting]
    options: tuple[Option, ...]
    needs: tuple[str, ...]
    domain: str
    state: tuple[str, ...]


def facts(name: str) -> Facts:
    """Those of an exported weighting."""
    cls = exported()[name]
    made = maker(name)([f"task{i}" for i in range(_NUM_TASKS)])
    if isinstance(made, JacobianWeighting):
        made.prepare(_NUM_PARAMETERS)
    return Facts(
        **vars(docstring(cls)),
        name=name,
        family=next(base for base in FAMILIES if issubclass(cls, base)),
        options=tuple(options(cls, {"tasks"})),
        needs=tuple(_needs(made)),
        domain=made.domain or "any losses",
        state=tuple(_state(made)),
    )


def _needs(made: Weighting) -> Iterator[str]:
    if (number := made.batches_per_step) > 1:
        yield f"{number} batches a step"
    if made.needs_validation_batch:
        yield "a batch of validation data a step: another forward and backward pass"
    if made.perturbs_parameters:
        yield "each task's gradient at perturbed parameters: a forward and a backward pass more for each"
    if made.needs_losses_after:
        yield "the losses of the batch after the step: a second forward pass"
    if made.needs_epochs:
        yield "the mean losses of each epoch"
    if made.needs_validation:
        yield "validation losses"
    if any(parameter.requires_grad for parameter in made.parameters()):
        yield "the model's optimizer, which trains its parameters"


def _state(made: Weighting) -> Iterator[str]:
    tensors = {name: value for name, value in made.state_dict().items() if isinstance(value, Tensor)}
    kept = {name: value for name, value in made.get_extra_state().items() if name not in {"tasks", *_HOST_NUMBERS}}
    for name, value in {**tensors, **kept}.items():
        if isinstance(value, Tensor) and value.ndim:
            yield f"``{name}`` [{', '.join(_LETTERS.get(size, str(size)) for size in value.shape)}]"
        elif not isinstance(value, dict) or value:
            yield f"``{name}``"
    if hasattr(made, "num_draws"):
        yield "a counter of random draws"
