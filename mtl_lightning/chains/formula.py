"""A formula of outputs."""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.chains.fusion import Fusion, unit_of
from mtl_lightning.chains.probabilities import log_odds, positive_index, two_logits
from mtl_lightning.errors import UserError, shown
from mtl_lightning.tasks import Regression, Task
from mtl_lightning.tasks.base import full_precision

_OPERATIONS: dict[type, Callable[..., Tensor]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}
_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt}


class Formula(Fusion):
    """A formula of several tasks' outputs, such as ``buy / click`` or ``0.7 * quality + 0.3 * price``.

    A name stands for the probability of a two-label task's positive label, or for a regression's value in its own unit.
    There are ``+ - * / **``, brackets, numbers, and ``exp``, ``log`` and ``sqrt``. The result is the probability of
    this task's positive label, cut off at 0 and 1, or the value of a regression.

    Args:
        formula: Names the tasks that it is made of.
        trained: Whether its loss trains these tasks. Otherwise it is no task for the weighting.

    Raises:
        UserError: If it is no such formula.
    """

    def __init__(self, formula: str, trained: bool = False) -> None:
        tree = _parsed(formula)
        names = list(dict.fromkeys(node.id for node in _parts(tree) if isinstance(node, ast.Name)))
        if not names:
            raise UserError(f"`formula` must name tasks, found {shown(formula)}")
        super().__init__(names, trained)
        self.formula, self._tree = formula, tree

    def build(self, name: str, tasks: Mapping[str, Task]) -> None:
        self._values = {other: _Value(other, tasks) for other in self.after}
        self._own = _Value(name, tasks)

    def fuse(self, outputs: Mapping[str, Tensor]) -> Tensor:
        values = {name: self._values[name].of(logits) for name, logits in outputs.items()}
        return self._own.logits(_evaluated(self._tree, values))


class _Value:
    """What a task's logits stand for: a probability, or a number in its own unit.

    Args:
        name: Of the task.
        tasks: All tasks, by name.
    """

    def __init__(self, name: str, tasks: Mapping[str, Task]) -> None:
        task = tasks[name]
        self._scale = unit_of(task) if isinstance(task, Regression) else None
        self._positive = -1 if self._scale else positive_index(name, tasks)

    def of(self, logits: Tensor) -> Tensor:
        """The values [B]."""
        if self._scale is None:
            return log_odds(logits, self._positive).sigmoid()
        mean, std = self._scale
        return full_precision(logits[:, 0]) * std + mean

    def logits(self, values: Tensor) -> Tensor:
        """Logits for values [B]."""
        if self._scale is None:
            limits = torch.finfo(values.dtype)
            values = values.clamp(limits.tiny, 1 - limits.eps)
            return two_logits(self._positive, values.log(), torch.log1p(-values))
        mean, std = self._scale
        return ((values - mean) / std)[:, None]


def _parsed(formula: str) -> ast.expr:
    try:
        tree = ast.parse(formula.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"`formula` cannot be read: {shown(formula)}") from error
    for node in _parts(tree):
        if not _is_allowed(node):
            raise UserError(
                f"`formula` may hold names of tasks, numbers, + - * / **, brackets, {', '.join(_FUNCTIONS)}; found "
                f"{shown(ast.unparse(node))}"
            )
    for node in _parts(tree):
        if not any(isinstance(part, ast.Name) for part in _parts(node)) and not _evaluated(node, {}).isfinite():
            raise UserError(f"`formula`: {shown(ast.unparse(node))} is no finite number")
    return tree


def _parts(node: ast.expr) -> Iterator[ast.expr]:
    yield node
    inside = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    for part in inside:
        if isinstance(part, ast.expr):
            yield from _parts(part)


def _is_allowed(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp | ast.UnaryOp):
        return type(node.op) in _OPERATIONS
    if isinstance(node, ast.Call):
        known = isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
        return known and len(node.args) == 1 and not node.keywords
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and not isinstance(node.value, bool)
    return isinstance(node, ast.Name) and node.id not in _FUNCTIONS


def _evaluated(node: ast.expr, values: Mapping[str, Tensor]) -> Tensor:
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.Constant):
        return _number(node.value)
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        return _FUNCTIONS[node.func.id](_evaluated(node.args[0], values))
    if isinstance(node, ast.UnaryOp):
        return _OPERATIONS[type(node.op)](_evaluated(node.operand, values))
    assert isinstance(node, ast.BinOp)
    return _OPERATIONS[type(node.op)](_evaluated(node.left, values), _evaluated(node.right, values))


def _number(value: Any) -> Tensor:
    """A constant as a scalar: tensors have infinity where Python raises, or computes all digits of a power."""
    try:
        return torch.tensor(float(value), dtype=torch.float64)
    except OverflowError:
        return torch.tensor(torch.inf, dtype=torch.float64)
