"""What a weighting's class says of itself: its docstring, its signature, what it declares to need, its state."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from experiments.benchmark.instances import exported, maker
from mtl_lightning.weighting import GramianWeighting, JacobianWeighting, LossWeighting, Weighting

_LABELS = ("Reference", "Difference", "Helps", "Fails", "Needs")
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
class Option:
    """An argument of a weighting besides the tasks.

    Attributes:
        name: In the config.
        default: As in Python; empty where a value must be given.
        meaning: What its docstring says.
    """

    name: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Facts:
    """What a card says without having measured anything; texts are reStructuredText.

    Attributes:
        name: Of the class.
        family: The base class, which says what the method sees.
        summary: The first sentence.
        description: The rest of what the docstring says of the method, formulas above all.
        labelled: Paragraphs by label: Reference, Difference, Helps, Fails, Needs.
        options: Its options.
        example: The docstring's session.
        needs: What it must be told besides a step's evidence.
        domain: The losses that it is defined for.
        state: Name and shape of what it keeps from step to step.
    """

    name: str
    family: type[Weighting]
    summary: str
    description: str
    labelled: dict[str, str]
    options: tuple[Option, ...]
    example: str
    needs: tuple[str, ...]
    domain: str
    state: tuple[str, ...]

    @property
    def paper(self) -> str:
        """Authors and year."""
        reference = self.labelled.get("Reference", "")
        authors = re.search(r'([A-Z][^"()]*?), "', reference)
        year = re.search(r"\([^()]*?\b((?:19|20)\d\d)\b[^()]*\)", reference)
        return " ".join(found.group(1) for found in (authors, year) if found)


def facts(name: str) -> Facts:
    """Those of an exported weighting."""
    cls = exported()[name]
    made = maker(name)([f"task{i}" for i in range(_NUM_TASKS)])
    if isinstance(made, JacobianWeighting):
        made.prepare(_NUM_PARAMETERS)
    paragraphs = re.split(r"\n{2,}", inspect.getdoc(cls) or "")
    prose = [text for text in paragraphs if not re.match(rf"Args:|>>>|({'|'.join(_LABELS)}):", text)]
    return Facts(
        name=name,
        family=next(base for base in FAMILIES if issubclass(cls, base)),
        summary=prose[0],
        description="\n\n".join(prose[1:]),
        labelled=dict(_labelled(paragraphs)),
        options=tuple(_options(cls, dict(_arguments(paragraphs)))),
        example="\n".join(text for text in paragraphs if text.startswith(">>>")),
        needs=tuple(_needs(made)),
        domain=made.domain or "any losses",
        state=tuple(_state(made)),
    )


def _labelled(paragraphs: list[str]) -> Iterator[tuple[str, str]]:
    for text in paragraphs:
        if re.match(rf"({'|'.join(_LABELS)}):", text):
            parts = re.split(rf"\b({'|'.join(_LABELS)}):", text)[1:]
            yield from ((label, said.strip()) for label, said in zip(parts[::2], parts[1::2], strict=True))


def _arguments(paragraphs: list[str]) -> Iterator[tuple[str, str]]:
    for text in paragraphs:
        if text.startswith("Args:"):
            for entry in re.split(r"\n {4}(?=\S)", text)[1:]:
                name, _, meaning = entry.partition(":")
                yield name, " ".join(meaning.split())


def _options(cls: type[Weighting], meanings: dict[str, str]) -> Iterator[Option]:
    for name, parameter in inspect.signature(cls).parameters.items():
        if name != "tasks":
            default = "" if parameter.default is parameter.empty else repr(parameter.default)
            yield Option(name, default, meanings.get(name, ""))


def _needs(made: Weighting) -> Iterator[str]:
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
