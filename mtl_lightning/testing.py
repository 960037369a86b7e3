"""Contract checks: what every task, encoder and weighting must hold, to be run on a class of your own.

A check takes a few plain examples and raises ``AssertionError`` with the rule that is broken. It leaves the object that
it was given, and torch's global random state, as they were.
"""

import copy
import inspect
import io
import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mtl_lightning.backward import gramian
from mtl_lightning.data.collation import stack
from mtl_lightning.data.encoding import count_labels
from mtl_lightning.encoders import Encoder, InputProcessor, Representation
from mtl_lightning.tasks import Task
from mtl_lightning.weighting import GramianWeighting, JacobianWeighting, LossWeighting, Weighting

T = TypeVar("T")

_REPORT = "label_counts"
_SCORES = {"precision", "recall", "f1", "support"}
_SCALES = (1e-10, 1e-5, 1.0, 1e5, 1e10)


# -- tasks -------------------------------------------------------------------------------------------------------------
def check_task(task: Task, labels: Sequence[Any], features: int = 16) -> None:
    """Checks a task from raw labels to predictions, and back through a checkpoint.

    Args:
        task: The task, not built. It must keep the arguments of its constructor that have no default as attributes of
            the same name, for a second object is made of them.
        labels: Raw labels of a few examples: at least one None (missing) and, for most metrics, each value once.
        features: D, the width of the features that the head reads.

    Raises:
        AssertionError: If a rule is broken.

    >>> from mtl_lightning.tasks import SequenceClassification
    >>> check_task(SequenceClassification(), ["yes", "no", None, "yes"])
    """
    with _seeded():
        adapted, twin = _check_adaptation(task, labels)
        targets, counts, mask = _encode_labels(adapted, labels)
        again, _, _ = _encode_labels(twin, labels)
        assert torch.equal(targets.nan_to_num(), again.nan_to_num()), "adapted() gives an object that encodes otherwise"
        adapted.build(features)
        adapted.eval()
        representation = _random_representation(mask, features)
        logits = adapted(representation)
        positions = mask.shape if adapted.level == "tokens" else mask.shape[:1]
        assert logits.shape[: len(positions)] == positions, f"logits must begin with {positions}, found {logits.shape}"
        _check_loss(adapted, logits, targets, counts)
        logits = logits.detach()
        _check_metrics(adapted, logits, targets)
        _check_decoding(adapted, logits, targets, mask)
        twin.build(features)
        _check_copies(adapted, twin, representation, targets)


def _check_adaptation(task: Task, labels: Sequence[Any]) -> tuple[Task, Task]:
    """A copy that has learnt from the labels, and a new object made of what ``adapted`` returned."""
    adapted = copy.deepcopy(task)
    if not adapted.adapted():
        adapted.adapt(iter(labels))
    learnt = adapted.adapted()
    assert learnt, "adapted() must not be empty after adapt()"
    assert _survives_json(learnt), f"adapted() must be what JSON can hold, found {learnt}"
    twin = _rebuild(task, learnt)
    assert twin.adapted() == learnt, f"adapted() gives an object that says {twin.adapted()} instead of {learnt}"
    return adapted, twin


def _rebuild(task: Task, changes: Mapping[str, Any]) -> Task:
    parameters = inspect.signature(type(task)).parameters
    unknown = sorted(set(changes) - set(parameters))
    assert not unknown, f"adapted() names {unknown}, which are no arguments of {type(task).__name__}"
    arguments = dict(changes)
    for name, parameter in parameters.items():
        if name not in arguments and not isinstance(getattr(task, name, nn.Identity()), nn.Module):
            arguments[name] = getattr(task, name)
        assert name in arguments or parameter.default is not parameter.empty, (
            f"the argument '{name}' has no default and is not kept as an attribute, so no second object can be made"
        )
    return type(task)(**arguments)


def _encode_labels(task: Task, labels: Sequence[Any]) -> tuple[Tensor, list[int], Tensor]:
    """Targets [B, ...], the number of labels in each of the B, and the mask of the positions [B, L]."""
    encoded = [task.encode(label) for label in labels]
    if task.level == "tokens":
        encoded = [values or [task.missing] * 2 for values in encoded]
    counts = [count_labels(value, task.missing) for value in encoded]
    unlabelled = [count for label, count in zip(labels, counts, strict=True) if label is None]
    assert unlabelled, "`labels` must hold at least one None, a missing label"
    assert not any(unlabelled), f"encode(None) must be missing ({task.missing}), found {task.encode(None)}"
    assert any(counts), "`labels` must hold at least one that is present"
    lengths = torch.tensor([len(values) if task.level == "tokens" else 2 for values in encoded])
    return stack(encoded, task.missing), counts, torch.arange(int(lengths.max())) < lengths.unsqueeze(1)


def _random_representation(mask: Tensor, features: int) -> Representation:
    return Representation(torch.randn(len(mask), features), torch.randn(*mask.shape, features), mask)


def _check_loss(task: Task, logits: Tensor, targets: Tensor, counts: Sequence[int]) -> None:
    loss = task.loss(logits, targets)
    _check_is_loss(loss, "float32 logits")
    _check_is_loss(task.loss(logits.bfloat16(), targets), "bfloat16 logits")
    gradients = torch.autograd.grad(loss, list(task.parameters()), retain_graph=True, allow_unused=True)
    reached = [gradient for gradient in gradients if gradient is not None]
    assert all(g.isfinite().all() for g in reached), "the loss must have a finite gradient"
    assert any(g.any() for g in reached), "the loss must have a gradient that is not zero"
    missing = _is_missing(task, targets)
    missing = missing.reshape(missing.shape + (1,) * (logits.ndim - missing.ndim)).expand_as(logits)
    moved = task.loss(torch.where(missing, logits + 10 * torch.randn_like(logits), logits), targets)
    assert torch.allclose(moved, loss), f"logits of missing labels change the loss from {loss} to {moved}"
    parts = [task.loss(logits[i : i + 1], targets[i : i + 1]) * count for i, count in enumerate(counts) if count]
    mean = torch.stack(parts).sum() / sum(counts)
    assert torch.allclose(mean, loss, rtol=1e-4), f"the loss is {loss}, but its mean over labels, one by one, is {mean}"


def _check_is_loss(loss: Tensor, of: str) -> None:
    assert loss.shape == (), f"the loss of {of} must be a scalar, found {list(loss.shape)}"
    assert loss.dtype == torch.float32, f"the loss of {of} must be float32, found {loss.dtype}"
    assert loss.isfinite(), f"the loss of {of} must be finite, found {loss}"


def _is_missing(task: Task, targets: Tensor) -> Tensor:
    return targets.isnan() if task.missing != task.missing else torch.eq(targets, task.missing)


def _check_metrics(task: Task, logits: Tensor, targets: Tensor) -> None:
    metrics, joined = task.metrics(), task.metrics()
    assert task.main_metric in metrics, f"`main_metric` '{task.main_metric}' is not among {list(metrics)}"
    task.update(metrics, logits, targets)
    task.update(metrics, logits, targets)
    task.update(joined, torch.cat([logits, logits]), torch.cat([targets, targets]))
    values, expected = dict(metrics.compute()), dict(joined.compute())
    counts = values.pop(_REPORT, None)
    for name, value in values.items():
        assert torch.isfinite(value).all() and value.numel() == 1, f"metric '{name}' must be one finite number: {value}"
        assert torch.allclose(value, expected[name], atol=1e-5), (
            f"metric '{name}' is {value} over two batches, {expected[name]} over the same examples in one"
        )
    for label, row in task.report(counts).items() if counts is not None else ():
        assert set(row) == _SCORES, f"report() of label '{label}' must have {sorted(_SCORES)}, found {sorted(row)}"
        assert all(torch.isfinite(s) for s in row.values()), f"report() of label '{label}' must be finite, found {row}"


def _check_decoding(task: Task, logits: Tensor, targets: Tensor, mask: Tensor) -> None:
    for given in (logits, logits.bfloat16()):
        rows = _decode(task, given, mask)
        assert len(rows) == len(targets), f"decode() must give {len(targets)} predictions, found {len(rows)}"
        for row in rows:
            assert isinstance(row, dict), f"decode() must give dicts, found {row!r}"
            assert _survives_json(row), f"decode() must give what JSON can hold, found {row!r}"
    right = task.correct(logits, targets)
    if right is not None:
        wanted = ((right == 0) | (right == 1) | right.isnan()) & (right.shape == targets.shape[:1])
        assert wanted.all(), f"correct() must be 1, 0 or NaN [{len(targets)}], found {right}"
        missing = _is_missing(task, targets).reshape(len(targets), -1).all(1)
        assert right[missing].isnan().all(), f"correct() must be NaN where the label is missing, found {right}"


def _check_copies(task: Task, twin: Task, representation: Representation, targets: Tensor) -> None:
    twin.load_state_dict(_checkpointed(task.state_dict()))
    logits, mask = task(representation), representation.mask
    for how, other in {"deepcopy": copy.deepcopy(task), "pickle": _pickled(task), "a checkpoint": twin.eval()}.items():
        assert torch.equal(other(representation), logits), f"{how} changes the logits"
        assert torch.equal(other.loss(logits, targets), task.loss(logits, targets)), f"{how} changes the loss"
        assert _decode(other, logits, mask) == _decode(task, logits, mask), f"{how} changes the predictions"


def _decode(task: Task, logits: Tensor, mask: Tensor | None) -> list[dict[str, Any]]:
    return task.decode(logits, mask if task.level == "tokens" else None)


# -- encoders ----------------------------------------------------------------------------------------------------------
def check_encoder(encoder: Encoder, columns: Mapping[str, Sequence[Any]]) -> None:
    """Checks an encoder and its processor, from raw columns to the representation.

    Args:
        encoder: The encoder.
        columns: Raw values of N examples, at least two, by input name; texts should differ in length.

    Raises:
        AssertionError: If a rule is broken.

    >>> from mtl_lightning.encoders import PerceptronEncoder
    >>> check_encoder(PerceptronEncoder(in_features=2, hidden=[64]), {"features": [[0.0, 1.0], [2.0, 3.0]]})
    """
    with _seeded():
        encoder = copy.deepcopy(encoder).eval()
        examples = _check_processor(encoder.processor, columns)
        together = encoder(encoder.processor.collate(examples))
        _check_representation(together, len(examples), encoder.features)
        _check_word_positions(together, examples)
        _check_padding(encoder, examples, together)
        _check_encoder_gradients(encoder, together)
        assets = encoder.assets()
        unknown = sorted(set(assets.init_args) - set(inspect.signature(type(encoder)).parameters))
        assert not unknown, f"assets() names {unknown}, which are no arguments of {type(encoder).__name__}"


def _check_processor(processor: InputProcessor, columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The encoded examples."""
    unknown = sorted(set(columns) - set(processor.inputs))
    assert not unknown, f"`columns` names {unknown}, which are not among the inputs {processor.inputs}"
    (count,) = {len(values) for values in columns.values()}
    assert count > 1, "`columns` must hold at least two examples"
    signature = processor.signature()
    encoded = processor.encode(columns)
    assert processor.signature() == signature, "signature() must not change when encode() has run"
    for name, values in encoded.items():
        assert len(values) == count, f"encode() must give {count} values of '{name}', found {len(values)}"
    examples = _rows(encoded)
    other = _pickled(processor)
    assert other.signature() == signature, "pickle changes the processor's signature()"
    for position, example in enumerate(examples):
        (alone,) = _rows(other.encode({name: values[position : position + 1] for name, values in columns.items()}))
        assert _same(processor.collate([alone]), processor.collate([example])), (
            f"example {position} must be encoded alike alone (by a pickled processor) and with others"
        )
        assert processor.length(example) > 0, f"length() must be positive, found {processor.length(example)}"
    for name, tensor in processor.collate(examples).items():
        assert len(tensor) == count, f"collate() must give '{name}' as [{count}, ...], found {list(tensor.shape)}"
    return examples


def _check_representation(representation: Representation, count: int, features: int) -> None:
    pooled, tokens, mask = representation
    assert pooled is not None or tokens is not None, "the representation must have pooled features or tokens"
    if pooled is not None:
        assert pooled.shape == (count, features), f"pooled must be [{count}, {features}], found {list(pooled.shape)}"
        assert pooled.isfinite().all(), "pooled must be finite"
    assert (tokens is None) == (mask is None), "tokens and their mask must come together"
    if tokens is not None and mask is not None:
        assert mask.dtype == torch.bool, f"the mask must be bool, found {mask.dtype}"
        assert tokens.shape == (*mask.shape, features) and len(mask) == count, (
            f"tokens must be [{count}, L, {features}] with a mask [{count}, L], "
            f"found {list(tokens.shape)} and {list(mask.shape)}"
        )
        assert tokens[mask].isfinite().all(), "tokens must be finite"
        assert (mask[:, :-1] | ~mask[:, 1:]).all(), "real positions must come before padding"


def _check_word_positions(representation: Representation, examples: Sequence[Mapping[str, Any]]) -> None:
    if representation.mask is not None and "word_starts" in examples[0]:
        found, expected = representation.mask.sum(1).tolist(), [len(example["word_starts"]) for example in examples]
        assert found == expected, f"the mask must have a position for each word kept, {expected}, found {found}"


def _check_padding(encoder: Encoder, examples: Sequence[Mapping[str, Any]], together: Any) -> None:
    for i, example in enumerate(examples):
        alone: Any = encoder(encoder.processor.collate([example]))
        if together.pooled is not None:
            difference = (alone.pooled[0] - together.pooled[i]).abs().max()
            assert difference < 1e-5, f"pooled features of example {i} change by {difference} in a padded batch"
        if together.tokens is not None:
            words, others = alone.tokens[0, alone.mask[0]], together.tokens[i, together.mask[i]]
            assert words.shape == others.shape, f"example {i} has {len(words)} tokens alone, {len(others)} in a batch"
            assert torch.allclose(words, others, atol=1e-5), f"tokens of example {i} change in a padded batch"


def _check_encoder_gradients(encoder: Encoder, representation: Representation) -> None:
    parameters = {name: p for name, p in encoder.named_parameters() if p.requires_grad}
    if parameters:
        outputs = [part.square().sum() for part in representation[:2] if part is not None]
        gradients = torch.autograd.grad(torch.stack(outputs).sum(), list(parameters.values()), allow_unused=True)
        reached = [gradient for gradient in gradients if gradient is not None]
        unused = [name for name, gradient in zip(parameters, gradients, strict=True) if gradient is None]
        assert not unused, f"parameters that train must receive a gradient; none came to {unused}"
        assert all(g.isfinite().all() for g in reached), "gradients must be finite"
        assert any(g.any() for g in reached), "gradients must not all be zero"


def _rows(encoded: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]


def _same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# -- weightings --------------------------------------------------------------------------------------------------------
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
    with _seeded():
        _check_evidence(factory, names)
        _check_evidence(factory, names[:1])
        _check_weighting_state(factory, names)


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


def _check_weighting_state(factory: Callable[[Sequence[str]], Weighting], names: Sequence[str]) -> None:
    everyone = list(range(len(names)))
    weighting, fresh = factory(names), factory(names)
    shapes = _shapes(weighting)
    for _ in range(3):
        _ask(weighting, _random_jacobian(everyone), everyone)
        with torch.no_grad():
            for parameter in weighting.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
    assert _shapes(weighting) == shapes, f"state must be created in __init__: {shapes} became {_shapes(weighting)}"
    state = _checkpointed(weighting.state_dict())
    fresh.load_state_dict(state)
    others = {"a checkpoint": fresh, "pickle": _pickled(weighting)}
    for _ in range(2):
        jacobian, losses = _random_jacobian(everyone), _random_losses(everyone)
        expected = _ask(weighting, jacobian, everyone, losses=losses)
        for how, other in others.items():
            found = _ask(other, jacobian, everyone, losses=losses)
            assert torch.equal(found, expected), f"{how} changes the next answer from {expected} to {found}"
    try:
        factory(names[::-1]).load_state_dict(state)
    except (ValueError, RuntimeError):
        return
    raise AssertionError("load_state_dict() must raise for the state of the same tasks in another order")


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
        products = gramian(jacobian)
        kept = products.clone()
        answer: Tensor = weighting(products, losses, tasks)
        assert torch.equal(products, kept), "a weighting must not change its evidence"
        return answer, losses.shape
    assert isinstance(weighting, JacobianWeighting), f"{type(weighting).__name__} is of none of the three families"
    direction: Tensor = weighting(jacobian, losses, tasks)
    assert direction.dtype == jacobian.dtype, f"the direction must be {jacobian.dtype}, found {direction.dtype}"
    return direction, jacobian.shape[1:]


def _random_jacobian(present: Sequence[int]) -> Tensor:
    return torch.randn(len(present), 8)


def _random_losses(present: Sequence[int]) -> Tensor:
    return torch.rand(len(present)) + 0.5


def _shapes(module: nn.Module) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in module.state_dict().items() if isinstance(value, Tensor)}


# -- all ---------------------------------------------------------------------------------------------------------------
@contextmanager
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _survives_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False


def _pickled(value: T) -> T:
    try:
        copied: T = pickle.loads(pickle.dumps(value))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise AssertionError(f"{type(value).__name__} must be picklable: {error}") from error
    return copied


def _checkpointed(state: Mapping[str, Any]) -> dict[str, Any]:
    """State as it comes back from a file, read as checkpoints are: without running code."""
    file = io.BytesIO()
    torch.save(dict(state), file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded
