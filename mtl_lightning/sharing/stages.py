"""The stages of an encoder: what some of them compute and hold, and which ones an option names."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

from torch import nn

from mtl_lightning.errors import UserError, shown
from mtl_lightning.sharing.contracts import Encoder


def through(stages: Iterable[nn.Module], state: Any) -> Any:
    """What a state becomes in some stages, one after the other.

    Args:
        stages: In order; there may be none.
        state: What the first one reads.
    """
    for stage in stages:
        state = stage(state)
    return state


def behind(stages: Iterable[nn.Module], part: nn.Module) -> list[nn.Parameter]:
    """The parameters of what follows some stages that are not theirs too: layers may be the same at several depths.

    Args:
        stages: What comes before.
        part: What follows.
    """
    before = {id(parameter) for stage in stages for parameter in stage.parameters()}
    return [parameter for parameter in part.parameters() if id(parameter) not in before]


def with_stages(encoder: Encoder, start: int, stages: Iterable[nn.Module]) -> Encoder:
    """A copy of an encoder that has the parameters of other stages from one on.

    Args:
        encoder: It stays as it is.
        start: Its first stage that is replaced, from 0.
        stages: What replaces it and those behind it, of the same shapes.
    """
    made = deepcopy(encoder)
    for own, other in zip(made.stages[start:], stages, strict=True):
        own.load_state_dict(other.state_dict())
    return made


def stage_numbers(option: str, numbers: Sequence[int] | None, encoder: Encoder) -> tuple[int, ...]:
    """The stages that an option names, from 1 and in order.

    Args:
        option: Its name, for messages.
        numbers: From 1 to n, of an encoder of n stages, or counted from the end, from -1 to -n; null: all.
        encoder: The model's.

    Raises:
        UserError: If there is no such stage, or none is named, or one twice, or the encoder cannot be cut.
    """
    number = len(encoder.stages)
    if numbers is None:
        return tuple(range(1, number + 1))
    found = sorted({each + number + 1 if each < 0 else each for each in numbers})
    if not found or len(found) < len(numbers) or found[0] < 1 or found[-1] > number:
        raise UserError(
            f"model.sharing: `{option}` must name some of the stages 1 to {number} of {type(encoder).__name__}, each "
            f"once, found {shown(list(numbers))}"
        )
    return tuple(found)


def start_of_last(option: str, value: int, encoder: Encoder) -> int:
    """The first one of the last stages, from 0.

    Args:
        option: Its name, for messages.
        value: How many are meant, 1 at least.
        encoder: The model's.

    Raises:
        UserError: If the encoder has fewer stages, or cannot be cut.
    """
    number = len(encoder.stages)
    if not 1 <= value <= number:
        raise UserError(
            f"model.sharing: `{option}` must be from 1 to {number}, found {value}: {type(encoder).__name__} has "
            f"{number} stages"
        )
    return number - value


def stages_before(option: str, value: int, encoder: Encoder) -> int:
    """How many stages come before the branches.

    Args:
        option: Its name, for messages.
        value: The number itself, or a negative one: all but so many.
        encoder: The model's; it need not be cut into stages where the value is 0.

    Raises:
        UserError: If the encoder has fewer stages.
    """
    if value == 0:
        return 0
    number = len(encoder.stages)
    if not -number <= value <= number:
        raise UserError(
            f"model.sharing: `{option}` is {value}, but {type(encoder).__name__} has {number} stages; choose from "
            f"{-number} to {number}"
        )
    return value % number if value < 0 else value
