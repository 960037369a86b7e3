"""The contract of sharings."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lightning.encoders import Encoder, PerceptronEncoder
from mtl_lightning.sharing import Sharing
from mtl_lightning.testing.common import pickled, seeded

_TASKS = ("a", "b", "c")
_WIDTH = 5


def check_sharing(
    make: Callable[[Sequence[str], Any], Sharing],
    encoder: Encoder | None = None,
    columns: Mapping[str, Sequence[Any]] | None = None,
) -> None:
    """Checks a sharing between an encoder and three tasks.

    Args:
        make: Makes it of task names and the encoder: its class, or a ``functools.partial`` with options.
        encoder: What it is to work with; null: a small perceptron of three stages.
        columns: Raw values of N examples, at least two, by input name of ``encoder``; needed with one.

    Raises:
        AssertionError: If a rule is broken.

    >>> from mtl_lightning.sharing import MMoE
    >>> check_sharing(MMoE)
    """
    with seeded():
        if encoder is None:
            encoder = PerceptronEncoder(_WIDTH, [8, 7, 6])
            columns = {"features": torch.randn(6, _WIDTH).tolist()}
        assert columns is not None, "`columns` is needed with an `encoder`"
        inputs = _collated(encoder, columns)
        untouched, encoder = encoder, copy.deepcopy(encoder)  # a sharing may change what it is given
        sharing = make(_TASKS, encoder)
        _check_readers(encoder, sharing, inputs)
        _check_terms(sharing, inputs)
        sharing.eval()
        encoder.eval()
        _check_representations(sharing, inputs)
        other_encoder = copy.deepcopy(untouched).eval()
        other = make(_TASKS, other_encoder).eval()
        _check_state((encoder, sharing), (other_encoder, other), inputs)
        alone = make(_TASKS[:1], copy.deepcopy(untouched))(inputs, _TASKS[:1])
        assert list(alone) == ["a"], "it must work with a single task"


def _collated(encoder: Encoder, columns: Mapping[str, Sequence[Any]]) -> dict[str, Tensor]:
    encoded = encoder.processor.encode(columns)
    rows = zip(*encoded.values(), strict=True)
    return encoder.processor.collate([dict(zip(encoded, row, strict=True)) for row in rows])


def _tensors(representation: Any) -> list[Tensor]:
    return [part for part in (representation.pooled, representation.tokens) if part is not None]


def _check_representations(sharing: Sharing, inputs: dict[str, Tensor]) -> None:
    number = len(next(iter(inputs.values())))
    together = sharing(inputs, _TASKS)
    assert list(together) == list(_TASKS), f"it must return a representation for {_TASKS}, found {list(together)}"
    for task, found in together.items():
        assert _tensors(found), f"what '{task}' reads must have pooled features or tokens"
        for tensor in _tensors(found):
            assert len(tensor) == number and tensor.shape[-1] == sharing.features, (
                f"what '{task}' reads must be [{number}, ..., {sharing.features}], found {list(tensor.shape)}"
            )
            assert tensor.isfinite().all(), f"what '{task}' reads must be finite"
        for one, other in zip(_tensors(sharing(inputs, [task])[task]), _tensors(found), strict=True):
            assert torch.allclose(one, other, atol=1e-5), f"'{task}' must read the same whoever else is asked for"


def _check_readers(encoder: Encoder, sharing: Sharing, inputs: dict[str, Tensor]) -> None:
    names = {p: n for module in (sharing, encoder) for n, p in module.named_parameters() if p.requires_grad}
    readers: dict[nn.Parameter, set[str]] = {parameter: set() for parameter in names}
    for task in _TASKS:
        loss = torch.stack([tensor.square().sum() for tensor in _tensors(sharing(inputs, _TASKS)[task])]).sum()
        found = torch.autograd.grad(loss, list(names), allow_unused=True) if loss.requires_grad else [None] * len(names)
        for parameter, gradient in zip(names, found, strict=True):
            if gradient is not None:
                readers[parameter].add(task)
    for task in _TASKS:
        for parameter in sharing.own_parameters(task):
            if parameter in readers:
                assert readers[parameter] <= {task}, (
                    f"own_parameters('{task}') names {names[parameter]}, which {sorted(readers[parameter])} train"
                )
    unused = [names[parameter] for parameter, tasks in readers.items() if not tasks]
    assert not unused, f"parameters that train must receive a gradient of some task; none came to {unused}"


def _check_terms(sharing: Sharing, inputs: dict[str, Tensor]) -> None:
    names = []
    for tasks in (_TASKS, _TASKS[:1], ()):
        sharing(inputs, tasks)
        terms = sharing.terms()
        names.append(sorted(terms))
        assert all(term.dim() == 0 for term in terms.values()), "terms() must be scalars"
    assert names[0] == names[1] == names[2], f"terms() must have the same names whatever tasks there are, found {names}"


def _check_state(trained: tuple[Encoder, Sharing], fresh: tuple[Encoder, Sharing], inputs: dict[str, Tensor]) -> None:
    for module, other in zip(trained, fresh, strict=True):
        other.load_state_dict(module.state_dict())
    wanted, both = trained[1](inputs, _TASKS), pickled(nn.ModuleList(trained))
    for how, sharing in {"a state that is loaded": fresh[1], "pickle": both[1]}.items():
        for task, found in sharing(inputs, _TASKS).items():
            for one, same in zip(_tensors(found), _tensors(wanted[task]), strict=True):
                assert torch.equal(one, same), f"{how} changes what '{task}' reads"
