"""The contract of tasks."""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from mtl_lightning.data.collation import stack
from mtl_lightning.decoding import decoder_of
from mtl_lightning.encoders import Encoder, Representation
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import LOSS, Task
from mtl_lightning.tasks.decoded import as_array
from mtl_lightning.testing.common import checkpointed, pickled, seeded, survives_json

_REPORT = "label_counts"
_SCORES = {"precision", "recall", "f1", "support"}


def check_task(
    task: Task,
    labels: Sequence[Any],
    features: int = 16,
    examples: Sequence[Mapping[str, Any]] | None = None,
    given: Mapping[str, Tensor] | None = None,
    encoder: Encoder | None = None,
) -> None:
    """Checks a task from raw labels to predictions, and back through a checkpoint.

    Args:
        task: The task, not built. It must keep the arguments of its constructor that have no default as attributes of
            the same name, for a second object is made of them.
        labels: Raw labels of a few examples: at least one None (missing) and, for most metrics, each value once.
        features: D, the width of the features that the head reads.
        examples: The encoded input of each of them, as ``InputProcessor.encode`` gives it; null: where words are
            labelled, one word a label.
        given: What the head reads beside features, collated, such as ``sequences`` [B, N], or the ``attention_mask``
            [B, L] of as many tokens as there are words.
        encoder: What the task meets, and whose parameters its loss may train; null: it needs none.

    Raises:
        AssertionError: If a rule is broken.

    >>> from mtl_lightning.tasks import SequenceClassification
    >>> check_task(SequenceClassification(), ["yes", "no", None, "yes"])
    """
    with seeded():
        adapted, twin = _check_adaptation(task, labels)
        for each in (adapted, twin) if encoder is not None else ():
            each.meet(encoder)
        targets, counts, mask = _encode_labels(adapted, labels, examples)
        _check_words(adapted, targets, counts)
        again, _, _ = _encode_labels(twin, labels, examples)
        assert torch.equal(targets.nan_to_num(), again.nan_to_num()), "adapted() gives an object that encodes otherwise"
        adapted.build(features)
        adapted.eval()
        representation = _random_representation(mask, features, given, adapted.by_sequence)
        if encoder is not None and adapted.level == "maps":
            representation = representation._replace(maps=_random_maps(encoder, targets))
        assert adapted.can_read(representation), "can_read() must be true of the features that the head reads"
        logits = adapted(representation)
        _check_shapes(adapted, logits, mask)
        if adapted.by_episode:
            targets = _numbered(targets, adapted.missing)
            logits = adapted.on_support(logits, logits, targets)
        _check_loss(adapted, logits, targets, counts, encoder)
        logits = _each(logits, Tensor.detach)
        _check_metrics(adapted, logits, targets)
        _check_decoding(adapted, logits, targets, mask)
        twin.build(features)
        _check_copies(adapted, twin, representation, targets)


def _numbered(targets: Tensor, missing: float) -> Tensor:
    """Labels as an episode has them, of a task whose labels are numbered within it: from 0."""
    numbers = torch.unique(targets[targets != missing], return_inverse=True)[1]
    return targets.masked_scatter(targets != missing, numbers)


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


def _encode_labels(
    task: Task, labels: Sequence[Any], examples: Sequence[Mapping[str, Any]] | None
) -> tuple[Tensor, list[int], Tensor]:
    """Targets [B, ...], the number of labels in each of the B, and the mask of the positions [B, L]."""
    encoded = [task.encode(label) for label in labels]
    if examples is None:
        lengths = [len(values) or 2 if task.level == "tokens" else 2 for values in encoded]
        examples = [{"num_words": length, "word_starts": [*range(length)]} for length in lengths]
    encoded = [task.fit(values, example) for values, example in zip(encoded, examples, strict=True)]
    counts = [task.count(value) for value in encoded]
    unlabelled = [count for label, count in zip(labels, counts, strict=True) if label is None]
    assert unlabelled, "`labels` must hold at least one None, a missing label"
    assert not any(unlabelled), f"encode(None) must be missing ({task.missing}), found {task.encode(None)}"
    assert any(counts), "`labels` must hold at least one that is present"
    sizes = torch.tensor([len(example.get("word_starts", [0, 0])) for example in examples])
    return stack(encoded, task.missing), counts, torch.arange(int(sizes.max())) < sizes.unsqueeze(1)


def _check_words(task: Task, targets: Tensor, counts: Sequence[int]) -> None:
    for target, count in zip(targets, counts, strict=True):
        words = task.in_words(target)
        known = [words] if isinstance(words, str) else [word for word in words or () if word is not None]
        assert all(isinstance(word, str) for word in known), f"in_words() must give texts, found {words!r}"
        assert bool(known) == (count > 0), f"in_words() must be null where the label is missing, found {words!r}"
        assert not isinstance(words, list) or len(words) == len(target), (
            f"in_words() must give a text for each of {len(target)} positions, found {words!r}"
        )


def _random_representation(
    mask: Tensor, features: int, given: Mapping[str, Tensor] | None, by_sequence: bool
) -> Representation:
    if by_sequence:
        present = (given or {})["sequences"] >= 0
        mask = mask.unsqueeze(1) & present.unsqueeze(-1)
    pooled, tokens = torch.randn(*mask.shape[:-1], features), torch.randn(*mask.shape, features)
    return Representation(pooled, tokens, mask, given, states=torch.randn_like(tokens))


def _random_maps(encoder: Encoder, targets: Tensor) -> dict[int, Tensor]:
    """Feature maps as the encoder's are, of images as large as the targets."""
    sizes = {stride: [-(-side // stride) for side in targets.shape[-2:]] for stride in encoder.map_widths}
    return {stride: torch.randn(len(targets), width, *sizes[stride]) for stride, width in encoder.map_widths.items()}


def _each(logits: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Logits of which each tensor is changed."""
    return tree_map_only(Tensor, change, logits)


def _low(tensor: Tensor) -> Tensor:
    return tensor.bfloat16() if tensor.is_floating_point() else tensor


def _check_shapes(task: Task, logits: Any, mask: Tensor) -> None:
    alone = isinstance(logits, Tensor) and task.level == "tokens" and not task.by_sequence
    positions = mask.shape if alone else mask.shape[:1]
    for tensor in (leaf for leaf in tree_leaves(logits) if isinstance(leaf, Tensor)):
        found = tensor.shape[: len(positions)]
        assert found == positions, f"logits must begin with {list(positions)}, found {list(tensor.shape)}"


def _check_loss(task: Task, logits: Any, targets: Tensor, counts: Sequence[int], encoder: Encoder | None) -> None:
    loss = task.loss(logits, targets)
    _check_is_loss(loss, "float32 logits")
    _check_is_loss(task.loss(_each(logits, _low), targets), "bfloat16 logits")
    trained = list(task.parameters()) or list(encoder.parameters() if encoder is not None else ())
    gradients = torch.autograd.grad(loss, trained, retain_graph=True, allow_unused=True)
    reached = [gradient for gradient in gradients if gradient is not None]
    assert all(g.isfinite().all() for g in reached), "the loss must have a finite gradient"
    assert any(g.any() for g in reached), "the loss must have a gradient that is not zero"
    moved = task.loss(_moved(task, logits, targets, counts), targets)
    assert torch.allclose(moved, loss), f"logits of missing labels change the loss from {loss} to {moved}"
    alone = [(_each(logits, lambda t, i=i: t[i : i + 1]), targets[i : i + 1]) for i in range(len(targets))]  # type: ignore[misc]
    parts = [task.loss(*each) * count for each, count in zip(alone, counts, strict=True) if count]
    mean = torch.stack(parts).sum() / sum(counts)
    assert torch.allclose(mean, loss, rtol=1e-4), f"the loss is {loss}, but its mean over labels, one by one, is {mean}"


def _moved(task: Task, logits: Any, targets: Tensor, counts: Sequence[int]) -> Any:
    """Logits with others where labels are missing: of one tensor at each label, else of whole examples."""
    missing = _is_missing(task, targets)
    if not isinstance(logits, Tensor) or missing.shape != logits.shape[: missing.ndim]:
        missing = torch.tensor(counts) == 0

    def move(tensor: Tensor) -> Tensor:
        here = missing.reshape(missing.shape + (1,) * (tensor.ndim - missing.ndim)).expand_as(tensor)
        return torch.where(here, tensor + 10 * torch.randn_like(tensor), tensor)

    return _each(logits, lambda tensor: move(tensor) if tensor.is_floating_point() else tensor)


def _check_is_loss(loss: Tensor, of: str) -> None:
    assert loss.shape == (), f"the loss of {of} must be a scalar, found {list(loss.shape)}"
    assert loss.dtype == torch.float32, f"the loss of {of} must be float32, found {loss.dtype}"
    assert loss.isfinite(), f"the loss of {of} must be finite, found {loss}"


def _is_missing(task: Task, targets: Tensor) -> Tensor:
    return targets.isnan() if task.missing != task.missing else torch.eq(targets, task.missing)


def _check_metrics(task: Task, logits: Any, targets: Tensor) -> None:
    metrics, joined = task.metrics(), task.metrics()
    assert task.main_metric in [LOSS, *metrics], f"`main_metric` '{task.main_metric}' is not among {list(metrics)}"
    task.update(metrics, logits, targets)
    task.update(metrics, logits, targets)
    task.update(joined, _each(logits, lambda t: torch.cat([t, t])), torch.cat([targets, targets]))
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


def _check_decoding(task: Task, logits: Any, targets: Tensor, mask: Tensor) -> None:
    for given in () if task.by_episode else (logits, _each(logits, _low)):  # without a support set, it knows no names
        rows = _decode(task, given, mask)
        assert len(rows) == len(targets), f"decode() must give {len(targets)} predictions, found {len(rows)}"
        for row in rows:
            assert isinstance(row, dict), f"decode() must give dicts, found {row!r}"
            assert survives_json(row), f"decode() must give what JSON can hold, found {row!r}"
        _check_decoder(task, given, mask, rows)
    right = task.correct(logits, targets)
    if right is not None:
        wanted = ((right == 0) | (right == 1) | right.isnan()) & (right.shape == targets.shape[:1])
        assert wanted.all(), f"correct() must be 1, 0 or NaN [{len(targets)}], found {right}"
        missing = _is_missing(task, targets).reshape(len(targets), -1).all(1)
        assert right[missing].isnan().all(), f"correct() must be NaN where the label is missing, found {right}"


def _check_decoder(task: Task, logits: Any, mask: Tensor, rows: Sequence[Mapping[str, Any]]) -> None:
    """What is exported of a task predicts as it does; a task that says how by itself is not exported."""
    try:
        state = task.portable_decoder().state()
    except UserError:
        return
    assert survives_json(state), f"the state of decoder() must be what JSON can hold, found {state}"
    outputs = task.outputs(logits, mask if task.level == "tokens" else None)
    for name, tensor in outputs.items():
        assert tensor.shape[:1] == (len(rows),), (
            f"outputs() must begin with {len(rows)}, found {name} {list(tensor.shape)}"
        )
    found = decoder_of(state).decode({name: as_array(tensor) for name, tensor in outputs.items()})
    assert found == rows, f"decode() gives {rows}, but its decoder, as JSON keeps it, {found}"


def _check_copies(task: Task, twin: Task, representation: Representation, targets: Tensor) -> None:
    twin.load_state_dict(checkpointed(task.state_dict()))
    logits, mask = task(representation), representation.mask
    for how, other in {"deepcopy": copy.deepcopy(task), "pickle": pickled(task), "a checkpoint": twin.eval()}.items():
        assert _same(other(representation), logits), f"{how} changes the logits"
        assert torch.equal(other.loss(logits, targets), task.loss(logits, targets)), f"{how} changes the loss"
        if not task.by_episode:
            assert _decode(other, logits, mask) == _decode(task, logits, mask), f"{how} changes the predictions"


def _same(found: Any, expected: Any) -> bool:
    pairs = zip(tree_leaves(found), tree_leaves(expected), strict=True)
    return all(torch.equal(*pair) if isinstance(pair[1], Tensor) else pair[0] == pair[1] for pair in pairs)


def _decode(task: Task, logits: Any, mask: Tensor | None) -> list[dict[str, Any]]:
    return task.decode(logits, mask if task.level == "tokens" else None)
