"""The Gramian: right to float32's own rounding at any size and scale, on the host in float64."""

import pytest
import torch
from torch import Tensor

from mtl_lightning.weighting import gramian


def random_jacobian(num_tasks: int, num_parameters: int) -> Tensor:
    return torch.randn(num_tasks, num_parameters, generator=torch.Generator().manual_seed(0)) + 0.1


def cosines(products: Tensor) -> Tensor:
    norms = products.diagonal().sqrt()
    return products / norms / norms[:, None]


def test_small_ones_are_exact() -> None:
    jacobian = torch.tensor([[1e4, 1.0, 1.0, 1.0], [1e4, 1.0, -1.0, 0.0]])
    assert gramian(jacobian).dtype == torch.float64
    assert gramian(jacobian).tolist() == [[1e8 + 3, 1e8], [1e8, 1e8 + 2]]
    assert (jacobian @ jacobian.T).tolist() != [[1e8 + 3, 1e8], [1e8, 1e8 + 2]]


@pytest.mark.parametrize("num_parameters", [0, 1, 4095, 4096, 4097, 1_000_000])
def test_any_size(num_parameters: int) -> None:
    jacobian = random_jacobian(4, num_parameters)
    found, precise = gramian(jacobian), jacobian.double()
    torch.testing.assert_close(found, precise @ precise.T, rtol=1e-6, atol=1e-6 * num_parameters**0.5)
    assert torch.equal(found, found.T)


@pytest.mark.parametrize("scale", [1e-35, 1e-25, 1e-10, 1e10, 1e25])
def test_squares_beyond_float32(scale: float) -> None:
    jacobian = random_jacobian(3, 10_000)
    found = gramian(jacobian * torch.tensor([[1.0], [scale], [1.0]]))
    torch.testing.assert_close(cosines(found), cosines(gramian(jacobian)), rtol=1e-5, atol=1e-6)


def test_precision_that_the_user_allows_for_the_model_is_left_alone() -> None:
    before = torch.get_float32_matmul_precision()
    jacobian = random_jacobian(3, 10_000)
    expected = gramian(jacobian)
    try:
        torch.set_float32_matmul_precision("medium")
        assert torch.equal(gramian(jacobian), expected)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types(dtype: torch.dtype) -> None:
    jacobian = random_jacobian(3, 5000).to(dtype)
    precise = jacobian.double()
    torch.testing.assert_close(gramian(jacobian), precise @ precise.T, rtol=1e-6, atol=1e-4)
