"""What inner loops give as gradients, against closed forms and finite differences."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.inner_loops import ANIL, FOMAML, MAML, MLDG, Episode, InnerLoop, MetaSGD, Parameters, Reptile

LOOPS: dict[str, Callable[..., InnerLoop]] = {
    "MAML": lambda **options: MAML(0.1, 3, **options),
    "FOMAML": lambda **options: FOMAML(0.1, 3, **options),
    "ANIL": lambda **options: ANIL(0.1, 2, **options),
    "MLDG": lambda **options: MLDG(0.1, 0.7, 2, **options),
    "MetaSGD": lambda **options: MetaSGD(0.1, 2, **options),
    "MetaSGD-tensor": lambda **options: MetaSGD(0.1, 2, of="tensor", **options),
    "Reptile": lambda **options: Reptile(0.1, 5, **options),
}


def parameters() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    shapes = {"encoder.w": (2, 3), "heads.a.w": (3, 1)}
    return {n: torch.randn(s, generator=draw, dtype=torch.float64).requires_grad_() for n, s in shapes.items()}


def loss_on(seed: int, theta: Parameters, size: int = 4) -> Callable[[Parameters], Tensor]:
    draw = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(size, width, generator=draw, dtype=torch.float64) for width in (2, 1))

    def loss(given: Parameters) -> Tensor:
        p = {**theta, **given}  # what does not adapt is the model's own
        return (torch.tanh(x @ p["encoder.w"]) @ p["heads.a.w"] - y).square().mean()

    return loss


def episode(theta: Parameters, seed: int = 0) -> Episode:
    support, query = loss_on(3 * seed + 1, theta), loss_on(3 * seed + 2, theta)
    return Episode(support, query, [support, query])


def gradients(loop: InnerLoop, theta: dict[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    loss = loop.loss(loop.chosen(theta), episode(theta, seed))
    found = torch.autograd.grad(loss, list(theta.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(theta.items(), found, strict=True)}


def finite_differences(value: Callable[[], Tensor], of: Tensor, step: float = 1e-5) -> Tensor:
    found, flat = torch.zeros_like(of), of.data.view(-1)
    for i in range(flat.numel()):
        before = flat[i].item()
        flat[i] = before + step
        above = value().item()
        flat[i] = before - step
        found.view(-1)[i] = (above - value().item()) / (2 * step)
        flat[i] = before
    return found


@pytest.mark.parametrize("name", ["MAML", "ANIL", "MLDG", "MetaSGD", "MetaSGD-tensor"])
def test_second_order_gradients_are_finite_differences(name: str) -> None:
    theta, loop = parameters(), LOOPS[name]()
    loop.build(theta)
    found = gradients(loop, theta)
    for each, gradient in found.items():
        expected = finite_differences(lambda: loop.loss(loop.chosen(theta), episode(theta)), theta[each])
        torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=0)
    for rate in loop.parameters():
        (gradient,) = torch.autograd.grad(loop.loss(loop.chosen(theta), episode(theta)), [rate])
        expected = finite_differences(lambda: loop.loss(loop.chosen(theta), episode(theta)), rate)
        torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=0)


def test_to_first_order_the_gradient_is_that_at_the_adapted_parameters() -> None:
    theta, loop = parameters(), FOMAML(0.1, 3)
    adapted = {n: p.requires_grad_() for n, p in loop.adapted(theta, episode(theta).support).items()}
    expected = torch.autograd.grad(episode(theta).query(adapted), list(adapted.values()))
    for found, each in zip(gradients(loop, theta).values(), expected, strict=True):
        torch.testing.assert_close(found, each)
    second = gradients(MAML(0.1, 3), theta)
    assert not torch.allclose(second["encoder.w"], expected[0], rtol=1e-3)


def test_mldg_adds_the_loss_of_the_support_set_to_that_after_it() -> None:
    theta = parameters()
    before = torch.autograd.grad(episode(theta).support(theta), list(theta.values()))
    after = gradients(MAML(0.1, 2), theta).values()
    for found, first, second in zip(gradients(MLDG(0.1, 0.7, 2), theta).values(), before, after, strict=True):
        torch.testing.assert_close(found, first + 0.7 * second)


def test_reptile_moves_towards_where_its_steps_lead() -> None:
    theta, loop = parameters(), Reptile(0.1, 5)
    current = {n: p.detach().requires_grad_() for n, p in theta.items()}
    for number in range(5):
        gradient = torch.autograd.grad(episode(theta).batches[number % 2](current), list(current.values()))
        pairs = zip(current.items(), gradient, strict=True)
        current = {n: (p - 0.1 * g).detach().requires_grad_() for (n, p), g in pairs}
    for name, found in gradients(loop, theta).items():
        torch.testing.assert_close(found, (theta[name] - current[name]).detach() / 0.1)


def test_heads_may_have_a_rate_of_their_own() -> None:
    theta = {name: torch.ones(2).requires_grad_() for name in ("encoder.weight", "heads.kind.weight")}

    def loss(given: Parameters) -> Tensor:
        return torch.stack([value.square().sum() for value in given.values()]).sum()

    after = MAML(0.1, head_lr=0.25).adapted(theta, loss)
    torch.testing.assert_close(after["encoder.weight"], torch.full((2,), 0.8))
    torch.testing.assert_close(after["heads.kind.weight"], torch.full((2,), 0.5))
    rates = MetaSGD(0.1, head_lr=0.25, of="tensor")
    rates.build(theta)
    assert [value.item() for value in rates.rates.values()] == pytest.approx([0.1, 0.25])
    toward = Reptile(0.1, 1, head_lr=0.25).loss(theta, Episode(loss, loss, [loss]))
    for gradient in torch.autograd.grad(toward, list(theta.values())):
        torch.testing.assert_close(gradient, torch.full((2,), 2.0))


@pytest.mark.parametrize("name", LOOPS)
def test_episodes_at_once_are_the_same_as_one_by_one(name: str) -> None:
    theta, loop = parameters(), LOOPS[name](vectorized=True)
    loop.build(theta)
    one_by_one = [gradients(loop, theta, seed) for seed in range(3)]

    def at_once(place: int) -> Callable[[Parameters], Tensor]:
        each = [episode(theta, seed).batches[place] for seed in range(3)]
        return lambda p: torch.stack([loss({n: v[i] for n, v in p.items()}) for i, loss in enumerate(each)])

    stacked = {n: p.expand(3, *p.shape) for n, p in loop.chosen(theta).items()}
    support, query = at_once(0), at_once(1)
    loss = loop.loss(stacked, Episode(support, query, [support, query])).mean()
    found = torch.autograd.grad(loss, list(theta.values()), allow_unused=True)
    for gradient, (each, _) in zip(found, theta.items(), strict=True):
        expected = torch.stack([one[each] for one in one_by_one]).mean(0)
        torch.testing.assert_close(expected if gradient is None else gradient, expected)


def test_an_evaluation_takes_its_own_number_of_steps_and_leaves_no_graph() -> None:
    theta = parameters()
    few, many = MAML(0.1, 1), MAML(0.1, 1, eval_steps=20)
    losses = [episode(theta).support(loop.adapted(theta, episode(theta).support)) for loop in (few, many)]
    assert losses[1] < losses[0] < episode(theta).support(theta)
    assert not any(p.requires_grad for p in many.adapted(theta, episode(theta).support).values())


def test_frozen_parameters_and_those_of_other_names_do_not_adapt() -> None:
    theta = parameters()
    assert list(ANIL().chosen(theta)) == ["heads.a.w"]
    theta["heads.a.w"].requires_grad_(False)
    assert list(MAML().chosen(theta)) == ["encoder.w"]
    with pytest.raises(UserError, match=r"'heads.\*' matches no parameter that trains; their names are like 'enc"):
        ANIL().chosen(theta)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MAML(lr=0.0), "model.inner_loop.lr must be above 0, found 0.0"),
        (lambda: MAML(steps=0), "model.inner_loop.steps must be at least 1, found 0"),
        (lambda: MLDG(beta=0.0), "model.inner_loop.beta must be above 0, found 0.0"),
        (lambda: Reptile(eval_steps=0), "model.inner_loop.eval_steps must be at least 1, found 0"),
    ],
)
def test_numbers_out_of_range_are_refused(make: Callable[[], InnerLoop], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_an_operation_without_a_second_derivative_is_one_line() -> None:
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def]
            return x.square()

        @staticmethod
        def backward(ctx, gradient):  # type: ignore[no-untyped-def]
            raise RuntimeError("derivative for aten::fused_backward is not implemented")

    theta = parameters()
    support = lambda p: Once.apply(p["encoder.w"]).sum()  # noqa: E731
    with pytest.raises(UserError, match="fused_backward is not implemented; set `first_order: true`"):
        MAML().loss(theta, Episode(support, support, [support]))
