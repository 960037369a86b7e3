"""The contract of tasks."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lightning.data.collation import stack
from mtl_lightning.data.examples import count_labels
from mtl_lightning.encoders import Representation
from mtl_lightning.tasks import LOSS, Task
from mtl_lightning.testing.common import checkpointed, pickled, seeded, survives_json

_REPORT = "label_counts"
_SCORES = {"precision", "recall", "f1", "support"}


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
    with seeded():
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
    assert survives_json(learnt), f"adapted() must be what JSON can hold, found {learnt}"
    twin = _rebuild(task, learnt)
    assert twin.adapted() == learnt, f"adapted() gives an object that says {twin.adapted()} instead of {learnt}"
    return adapted, twin


def _rebuild(task: Task, changes: Mapping[str, Any]) -> Task:
    parameters = inspect.signature(type(task)).parameters
    unknown = sorted(set(changes) - set(parameters))
    assert not unknown, f"adapted() names {unknown}, which are no arguments of {type(task).__name__}"
    arguments = dict(changes)
    if "missing" in parameters:  # the attribute of this name is what a missing label is encoded as
        arguments["missing"] = sorted(task.missing_words)
    for name, parameter in parameters.items():
        kept = getattr(task, name, nn.Identity())
        if name not in arguments and not isinstance(kept, nn.Module | MethodType):  # `metrics` is a method too
            arguments[name] = kept
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
    assert task.main_metric in [LOSS, *metrics], f"`main_metric` '{task.main_metric}' is not among {list(metrics)}"
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
            assert survives_json(row), f"decode() must give what JSON can hold, found {row!r}"
    right = task.correct(logits, targets)
    if right is not None:
        wanted = ((right == 0) | (right == 1) | right.isnan()) & (right.shape == targets.shape[:1])
        assert wanted.all(), f"correct() must be 1, 0 or NaN [{len(targets)}], found {right}"
        missing = _is_missing(task, targets).reshape(len(targets), -1).all(1)
        assert right[missing].isnan().all(), f"correct() must be NaN where the label is missing, found {right}"


def _check_copies(task: Task, twin: Task, representation: Representation, targets: Tensor) -> None:
    twin.load_state_dict(checkpointed(task.state_dict()))
    logits, mask = task(representation), representation.mask
    for how, other in {"deepcopy": copy.deepcopy(task), "pickle": pickled(task), "a checkpoint": twin.eval()}.items():
        assert torch.equal(other(representation), logits), f"{how} changes the logits"
        assert torch.equal(other.loss(logits, targets), task.loss(logits, targets)), f"{how} changes the loss"
        assert _decode(other, logits, mask) == _decode(task, logits, mask), f"{how} changes the predictions"


def _decode(task: Task, logits: Tensor, mask: Tensor | None) -> list[dict[str, Any]]:
    return task.decode(logits, mask if task.level == "tokens" else None)
