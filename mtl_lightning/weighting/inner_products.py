"""The Gramian of the tasks' gradients."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scipy.linalg import lapack
from torch import Tensor

_CHUNK = 1 << 12
_SMALLEST, _LARGEST = 1e-30, 1e30
_SMALLEST_SINE = 0.03


def gramian(jacobian: Tensor) -> Tensor:
    """Inner products of the gradients, rows of a Jacobian [T, P], in float64 on the host [T, T].

    >>> gramian(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[25.,  4.],
            [ 4.,  1.]], dtype=torch.float64)
    """
    products = gramian_on_device(jacobian).cpu()
    return products if is_accurate(products, jacobian.shape[1], jacobian.dtype) else exact_gramian(jacobian).cpu()


def gramian_on_device(jacobian: Tensor) -> Tensor:
    """The same [T, T] on the Jacobian's device; ``is_accurate`` tells whether it suffices.

    Chunks are multiplied in the Jacobian's precision (float32 at least) and added up in float64, which puts cosines off
    by up to 4e-7: a float32 sum over ten million parameters loses three digits, and products of float64 cost four times
    as much on a CPU, and more on many devices.
    """
    chunks = jacobian.shape[1] // _CHUNK
    body, rest = jacobian[:, : chunks * _CHUNK], jacobian[:, chunks * _CHUNK :]
    rows = body.view(len(jacobian), chunks, _CHUNK).transpose(0, 1)
    if rows.dtype in (torch.float16, torch.bfloat16):
        rows = rows.float()
    if chunks:
        rest = rest.to(rows.dtype)
        with _full_precision():
            total = torch.bmm(rows, rows.transpose(1, 2)).sum(0, dtype=torch.float64) + rest @ rest.T
    else:
        total = exact_gramian(rest)
    return (total + total.T) / 2


def is_accurate(products: Tensor, num_parameters: int, dtype: torch.dtype) -> bool:
    """Whether products in float32 suffice for ``gramian_on_device``: squares within its range, gradients independent.

    Where a gradient is within two degrees of what others span, what a method makes of it hangs on digits of the cosines
    that only products in float64 have.

    Args:
        products: The Gramian, on the host [T, T].
        num_parameters: P: how many products each of its numbers is a sum of.
        dtype: Of the Jacobian.
    """
    if dtype == torch.float64 or num_parameters < _CHUNK:
        return True
    squares = products.diagonal().numpy()
    mean = squares / num_parameters
    if not ((mean > _SMALLEST) & (mean < _LARGEST)).all():
        return False
    norms = np.sqrt(squares)
    sines, dependent = lapack.dpotrf(products.numpy() / norms / norms[:, None])
    return not dependent and bool((sines.diagonal() > _SMALLEST_SINE).all())


def exact_gramian(jacobian: Tensor) -> Tensor:
    """The Gramian [T, T] with every product in float64, on the Jacobian's device."""
    total = torch.zeros(len(jacobian), len(jacobian), dtype=torch.float64, device=jacobian.device)
    for chunk in torch.split(jacobian, 16 * _CHUNK, dim=1):
        precise = chunk.double()
        total += precise @ precise.T
    return total


@contextmanager
def _full_precision() -> Iterator[None]:
    """No TF32 or bfloat16 in float32 products, whatever the user allows for the model."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
