"""The contract of weightings."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mtl_lightning.testing.common import checkpointed, pickled, seeded
from mtl_lightning.weighting import GramianWeighting, JacobianWeighting, LossWeighting, Weighting, gramian

_SCALES = (1e-10, 1e-5, 1.0, 1e5, 1e10)
_NUM_PARAMETERS = 8
_ODD_LOSSES = (-1.0, -1e-9, 0.0, 1e-30, 1e15, 1e30)


def check_weighting(factory: Callable[[Sequence[str]], Weighting], num_tasks: int = 3) -> None:
    """Checks a weighting on random evidence, on degenerate evidence, and through a checkpoint.

    Args:
        factory: Makes a weighting from task names: the class, or a function that adds its other arguments.
        num_tasks: K, at least 2.

    Raises:
        AssertionError: If a rule is broken.

    >>> from mtl_lightning.weighting import EqualWeighting
    >>> check_weighting(EqualWeighting)
    """
    assert num_tasks > 1, f"`num_tasks` must be at least 2, found {num_tasks}"
    names = [f"task{i}" for i in range(num_tasks)]

    def prepared(tasks: Sequence[str]) -> Weighting:
        weighting = factory(tasks)
        if isinstance(weighting, JacobianWeighting):
            weighting.prepare(_NUM_PARAMETERS)
            if weighting.needs_layers:
                weighting.prepare_layers(3, [(0, 2), (2, _NUM_PARAMETERS - 3), (0, 1)])
        return weighting

    with seeded():
        _check_evidence(prepared, names)
        _check_evidence(prepared, names[:1])
        _check_losses(prepared, names)
        _check_constant(prepared(names), names)
        _check_weighting_state(prepared, names)


def _check_evidence(factory: Callable[[Sequence[str]], Weighting], names: Sequence[str]) -> None:
    everyone = list(range(len(names)))
    for present in [everyone, *([task] for task in everyone), everyone[1:] or everyone, everyone]:
        _ask(factory(names), _random_jacobian(present), present)
    weighting = factory(names)
    for present in [everyone, everyone[-1:], everyone[:-1] or everyone, everyone]:
        _ask(weighting, _random_jacobian(present), present)
    if not isinstance(weighting, LossWeighting):
        for scale in _SCALES:
            _ask(factory(names), _random_jacobian(everyone) * scale, everyone, f"gradients of scale {scale}")
        scales = torch.logspace(-10, 10, len(names)).unsqueeze(1)
        _ask(factory(names), _random_jacobian(everyone) * scales, everyone, "gradients of scales 1e-10 to 1e10")
        for task in everyone:
            jacobian = _random_jacobian(everyone)
            jacobian[task] = 0
            _ask(factory(names), jacobian, everyone, "one task's gradient zero")
        _ask(factory(names), torch.zeros_like(_random_jacobian(everyone)), everyone, "all gradients zero")


def _check_losses(factory: Callable[[Sequence[str]], Weighting], names: Sequence[str]) -> None:
    """Losses that are odd now, or were in the epochs and validations before, have finite weights or none at all."""
    everyone = list(range(len(names)))
    for odd in _ODD_LOSSES:
        losses = _random_losses(everyone)
        losses[0] = odd
        _ask_or_skip(factory(names), everyone, losses, f"a loss of {odd}")
        for first, second in ((losses, losses), (losses, _random_losses(everyone)), (_random_losses(everyone), losses)):
            weighting = factory(names)
            for before in (first, second):
                _live(weighting, everyone, before)
            _ask_or_skip(weighting, everyone, _random_losses(everyone), f"a mean loss of {odd} before")
    weighting = factory(names)
    _ask(weighting, _random_jacobian(everyone), everyone)
    if weighting.needs_losses_after:
        weighting.on_step_end(torch.full((len(names),), torch.nan), torch.tensor(everyone))
    _ask(weighting, _random_jacobian(everyone), everyone, "a loss after the step before that is not a number")


def _check_constant(weighting: Weighting, names: Sequence[str]) -> None:
    """Weights that are said to be constant are what the objective multiplies each loss by, now and later."""
    if (said := weighting.constant_weights) is None:
        return
    assert isinstance(weighting, LossWeighting), "`constant_weights` are those of an objective, of a LossWeighting"
    assert list(said) == list(names), f"`constant_weights` must be of {list(names)}, found {said}"
    everyone = list(range(len(names)))
    for _ in range(2):
        losses = _random_losses(everyone).requires_grad_()
        (found,) = torch.autograd.grad(weighting(losses, torch.tensor(everyone)), losses)
        assert torch.allclose(found, torch.tensor(list(said.values()))), f"the weights are {found}, said to be {said}"
        _live(weighting, everyone, _random_losses(everyone))


def _ask_or_skip(weighting: Weighting, present: Sequence[int], losses: Tensor, case: str) -> None:
    """Asks, unless the weighting refuses; where it says that it is not defined, the answer must not pass for one."""
    given = losses.double() if isinstance(weighting, GramianWeighting) else losses
    undefined = weighting.undefined(given, torch.tensor(present))
    assert undefined.shape == losses.shape and undefined.dtype == torch.bool, (
        "undefined() must be a boolean for each task"
    )
    assert weighting.domain or not undefined.any(), f"`domain` must say what is needed, as {case} is not defined"
    try:
        if not undefined.any():
            _ask(weighting, _random_jacobian(present), present, case, losses)
            return
        answer, _ = _answer(weighting, _random_jacobian(present), losses, torch.tensor(present))
    except ValueError:
        return
    assert not answer.isfinite().all(), f"the answer must not be finite with {case}, which is undefined: {answer}"


def _check_weighting_state(factory: Callable[[Sequence[str]], Weighting], names: Sequence[str]) -> None:
    everyone = list(range(len(names)))
    weighting, fresh = factory(names), factory(names)
    listens = type(weighting).on_step_end is not Weighting.on_step_end
    assert weighting.needs_losses_after == listens, (
        "`needs_losses_after` must be set with an on_step_end(), and only then"
    )
    shapes = _shapes(weighting)
    for _ in range(3):
        _ask(weighting, _random_jacobian(everyone), everyone)
        _live(weighting, everyone)
        with torch.no_grad():
            for parameter in weighting.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
    assert _shapes(weighting) == shapes, f"state must be created in __init__: {shapes} became {_shapes(weighting)}"
    state = checkpointed(weighting.state_dict())
    fresh.load_state_dict(state)
    others = {"a checkpoint": fresh, "pickle": pickled(weighting)}
    for _ in range(2):
        jacobian, losses = _random_jacobian(everyone), _random_losses(everyone)
        expected = _ask(weighting, jacobian, everyone, losses=losses)
        for how, other in others.items():
            found = _ask(other, jacobian, everyone, losses=losses)
            assert torch.equal(found, expected), f"{how} changes the next answer from {expected} to {found}"
            _live(other, everyone, losses)
        _live(weighting, everyone, losses)
    try:
        factory(names[::-1]).load_state_dict(state)
    except (ValueError, RuntimeError):
        return
    raise AssertionError("load_state_dict() must raise for the state of the same tasks in another order")


def _live(weighting: Weighting, present: Sequence[int], losses: Tensor | None = None) -> None:
    """The rest of a training step, and the ends of an epoch and of a validation."""
    losses = _random_losses(present) if losses is None else losses
    tasks = torch.tensor(present)
    if weighting.needs_losses_after:
        weighting.on_step_end(losses.detach() * 0.9, tasks)
    weighting.on_epoch_end(losses.detach(), tasks)
    weighting.on_validation_end(losses.detach().double(), tasks)


def _ask(
    weighting: Weighting, jacobian: Tensor, present: Sequence[int], case: str = "", losses: Tensor | None = None
) -> Tensor:
    """The checked answer: weights [T], or the direction [P]."""
    losses = _random_losses(present) if losses is None else losses
    random, given = torch.get_rng_state(), (jacobian.clone(), losses.clone())
    answer, shape = _answer(weighting, jacobian, losses, torch.tensor(present))
    where = f"for tasks {list(present)}{' with ' if case else ''}{case}"
    assert answer.shape == shape, f"the answer must be {list(shape)}, found {list(answer.shape)} {where}"
    assert answer.is_floating_point(), f"the answer must be floating-point, found {answer.dtype} {where}"
    assert answer.isfinite().all(), f"the answer must be finite, found {answer} {where}"
    assert torch.equal(torch.get_rng_state(), random), "a weighting must not draw global random numbers"
    assert torch.equal(jacobian, given[0]) and torch.equal(losses, given[1]), "a weighting must not change its evidence"
    return answer.detach()


def _answer(weighting: Weighting, jacobian: Tensor, losses: Tensor, tasks: Tensor) -> tuple[Tensor, torch.Size]:
    if isinstance(weighting, LossWeighting):
        evidence = losses.requires_grad_()
        objective = weighting(evidence, tasks)
        assert objective.shape == (), f"the objective must be a scalar, found {list(objective.shape)}"
        return torch.autograd.grad(objective, evidence)[0], losses.shape
    if isinstance(weighting, GramianWeighting):
        number = weighting.gradients_per_task
        products = gramian(torch.cat([jacobian.roll(batch, dims=1) for batch in range(number)]))
        kept = products.clone()
        answer: Tensor = weighting(products, losses.double().repeat(number), tasks)
        assert torch.equal(products, kept), "a weighting must not change its evidence"
        return answer, losses.repeat(number - weighting.needs_validation_batch).shape
    assert isinstance(weighting, JacobianWeighting), f"{type(weighting).__name__} is of none of the three families"
    direction: Tensor = weighting(jacobian, losses, tasks)
    assert direction.dtype == jacobian.dtype, f"the direction must be {jacobian.dtype}, found {direction.dtype}"
    return direction, jacobian.shape[1:]


def _random_jacobian(present: Sequence[int]) -> Tensor:
    return torch.randn(len(present), _NUM_PARAMETERS)


def _random_losses(present: Sequence[int]) -> Tensor:
    return torch.rand(len(present)) + 0.5


def _shapes(module: nn.Module) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in module.state_dict().items() if isinstance(value, Tensor)}
