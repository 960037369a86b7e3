"""The tensors among what an encoder returns."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from mtl_lightning.errors import UserError


def tensors(features: Any) -> list[Tensor]:
    """The floating-point tensors in a tensor, or in mappings, sequences and dataclasses of such, however nested.

    >>> import torch
    >>> [tensor.shape for tensor in tensors({"pooled": torch.ones(2), "others": [torch.ones(3), None]})]
    [torch.Size([2]), torch.Size([3])]

    Raises:
        UserError: If there is something else among them.
    """
    return list(_walk(features))


def _walk(part: Any) -> Iterator[Tensor]:
    if isinstance(part, Tensor):
        if part.is_floating_point():
            yield part
    elif isinstance(part, Mapping):
        yield from (tensor for value in part.values() for tensor in _walk(value))
    elif isinstance(part, list | tuple):
        yield from (tensor for value in part for tensor in _walk(value))
    elif is_dataclass(part):
        yield from (tensor for field in fields(part) for tensor in _walk(getattr(part, field.name)))
    elif part is not None:
        raise UserError(f"`features` must be tensors, or lists or mappings of tensors, found {type(part).__name__}")
