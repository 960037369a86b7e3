"""How examples of an episode pass through a model whose parameters are replaced: as a whole, or through heads alone."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_flatten, tree_unflatten

from mtl_lightning.data import Batch
from mtl_lightning.errors import UserError
from mtl_lightning.inner_loops import Parameters
from mtl_lightning.training.losses import Losses

_OF_HEADS = ("heads.", "chain.")


class Caller(nn.Module):
    """Calls a method of a module, so that its parameters can be replaced meanwhile."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, method: str, *arguments: Any) -> Any:
        return getattr(self.module, method)(*arguments)

    def at(self, parameters: Parameters, method: str, *arguments: Any) -> Any:
        """What the method returns with some parameters in the place of the module's own."""
        return functional_call(self, {f"module.{name}": p for name, p in parameters.items()}, (method, *arguments))


class WholePass:
    """Passes of examples through the whole model.

    Args:
        module: The MultiTaskModule.
        batch: Where the examples are.

    Attributes:
        terms: Loss terms that no loss has, of the whole batch.

    Raises:
        UserError: If the batch cannot be cut into episodes.
    """

    def __init__(self, module: Any, batch: Batch) -> None:
        self.module = module
        self.batch = batch
        self.terms: Mapping[str, Tensor] = {}
        self._caller = Caller(module)
        size = len(batch.examples)
        if "sequences" in batch.inputs or any(len(each) != size for each in batch.inputs.values()):
            raise UserError(
                "model.inner_loop: examples of several texts cannot be cut into episodes; encode one text each"
            )

    def read(self, rows: Tensor) -> Any:
        """What a pass of some rows [B], or [E, B], begins with: tensors in a tree, each [B, ...], or [E, B, ...].

        Those of inference mode are copied.
        """
        return {name: values[rows] for name, values in self.batch.inputs.items()}

    def losses(self, parameters: Parameters, read: Any, targets: Tensor, task: str) -> Losses:
        """Those of a task on some rows.

        Args:
            parameters: In the place of the model's own.
            read: As ``read`` returns it.
            targets: Of the rows.
            task: Name of the task.
        """
        found: Losses = self._caller.at(parameters, "losses", [self._part(read, targets, task)])
        return found

    def logits(self, parameters: Parameters, read: Any, task: str) -> Any:
        """Logits of a task; arguments as of ``losses``."""
        return self._caller.at(parameters, "__call__", read, [task])[task]

    def _part(self, inputs: dict[str, Tensor], targets: Tensor, task: str) -> Batch:
        number = len(targets)
        return Batch(inputs, {task: targets}, {task: number}, {task: 1.0}, [0] * number, 0)


class HeadPass(WholePass):
    """Passes through heads alone. The rest of the model is passed once, by all examples of the batch.

    Args:
        module: The MultiTaskModule.
        batch: Where the examples are.
    """

    def __init__(self, module: Any, batch: Batch) -> None:
        super().__init__(module, batch)
        made = module.read(batch.inputs, list(batch.targets))
        self.terms = dict(module.sharing.terms()) if module.training else {}
        self._leaves, self._form = tree_flatten(made)

    def read(self, rows: Tensor) -> Any:
        size = len(self.batch.examples)
        leaves = enumerate(self._leaves)
        return {str(i): leaf[rows] for i, leaf in leaves if isinstance(leaf, Tensor) and leaf.shape[:1] == (size,)}

    def losses(self, parameters: Parameters, read: Any, targets: Tensor, task: str) -> Losses:
        part = self._part({}, targets, task)
        found: Losses = self._caller.at(parameters, "head_losses", part, self._whole(read))
        return found

    def logits(self, parameters: Parameters, read: Any, task: str) -> Any:
        return self._caller.at(parameters, "head_logits", self._whole(read), task)

    def _whole(self, read: dict[str, Tensor]) -> Any:
        return tree_unflatten([read.get(str(i), leaf) for i, leaf in enumerate(self._leaves)], self._form)


def pass_of(module: Any, batch: Batch, parameters: Parameters) -> WholePass:
    """The shortest way that reaches all parameters that adapt.

    Args:
        module: The MultiTaskModule.
        batch: Where the examples are.
        parameters: Those that adapt, by name.
    """
    kind = HeadPass if all(name.startswith(_OF_HEADS) for name in parameters) else WholePass
    return kind(module, batch)
