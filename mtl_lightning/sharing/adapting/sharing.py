"""A sharing that adds a product of thin matrices to an encoder's linear maps, another one for each task."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.adapting.low_rank import AdaptedLinear, Factors, LowRank
from mtl_lightning.sharing.adapting.route import Route
from mtl_lightning.sharing.adapting.targets import backbone_of, find_targets
from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.contracts import Compilable, Encoder, Inputs, Representation
from mtl_lightning.sharing.stages import through


class LowRankSharing(Sharing):
    """Runs the encoder once a task, from the first stage on in which something depends on the task.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
        adapter: Makes what is added to a linear map.
        targets: The linear maps, see :func:`.targets.find_targets`; looked for in the encoder's ``backbone`` where it
            has one, so that their names are those of the transformers library.
        freeze_encoder: Whether the encoder's own parameters stay as they are.
    """

    @abstractmethod  # a base, which no configuration names
    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        adapter: Callable[[nn.Linear], LowRank],
        targets: str | Sequence[str] | None = None,
        freeze_encoder: bool = True,
    ) -> None:
        super().__init__(tasks, encoder)
        self._route = Route()
        linear = find_targets(self.backbone, targets)
        self._names = list(linear)
        adapters = {name: adapter(each) for name, each in linear.items()}
        self.lora = _tree(adapters)
        for name, each in linear.items():
            adapters[name].route = self._route
            AdaptedLinear.make(each, adapters[name])
        encoder.recompute_in(self._route.again)
        self._trunk = self._common_stages()
        if freeze_encoder:
            for parameter in encoder.parameters():
                parameter.requires_grad_(False)

    @property
    def backbone(self) -> nn.Module:
        """What the names of the linear maps are in: the model of the transformers library, or the encoder itself."""
        return backbone_of(self.encoder)

    @property
    def adapters(self) -> dict[str, LowRank]:
        """What is added to each linear map, by its name."""
        return {name: self.lora.get_submodule(name) for name in self._names}  # type: ignore[misc]

    def factors(self, task: str) -> dict[str, Factors]:
        """What a task adds to each linear map, by its name.

        Raises:
            UserError: If there is no such task.
        """
        self._refuse_unknown(task)
        return {name: adapter.factors(task) for name, adapter in self.adapters.items()}

    def take(self, task: str, factors: Mapping[str, Factors]) -> None:
        """Has a task add something else from now on, say what it added in another run.

        Args:
            task: Its name.
            factors: By the name of the linear map.

        Raises:
            UserError: If they are for other linear maps or of another rank, or tasks share a part of them.
        """
        adapters = self.adapters
        if odd := sorted(factors.keys() ^ adapters.keys()):
            who = "this model" if odd[0] in adapters else "it"
            raise UserError(f"the adapter of '{task}' is for other maps: {who} alone has '{odd[0]}'; set `targets`")
        for name, adapter in adapters.items():
            adapter.take(task, factors[name])

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return [parameter for adapter in self.adapters.values() for parameter in adapter.own_parameters(task)]

    # -- running -----------------------------------------------------------------------------------------------------
    def encode(self, inputs: Inputs) -> Any:
        """The state behind the stages in which nothing depends on the task; the inputs if there is no such stage."""
        if self._trunk is None:
            return inputs
        with self._route.of(self.tasks[0]):  # any: nothing here depends on it
            return through(self.encoder.stages[: self._trunk], self.encoder.begin(inputs))

    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Representation]:
        found = {}
        for task in tasks:
            with self._route.of(task):
                if self._trunk is None:
                    found[task] = self.encoder(encoded)
                else:
                    state = through(self.encoder.stages[self._trunk :], encoded)
                    found[task] = self.encoder.end(state)
        return found

    def compiled_parts(self) -> Sequence[Compilable]:
        return [self.encoder] if self._trunk is None else self.encoder.stages

    def _common_stages(self) -> int | None:
        """How many stages nothing in depends on the task; null: the encoder runs whole for each."""
        adapters = self.adapters
        own = {module for name, module in self._linear(self.backbone) if adapters[name].by_task}
        try:
            stages = self.encoder.stages
        except UserError:  # it cannot be cut
            return None
        within = [own & set(stage.modules()) for stage in stages]
        if own - set().union(*within):
            return None
        return next((i for i, adapted in enumerate(within) if adapted), len(stages))

    def _linear(self, backbone: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
        yield from ((name, backbone.get_submodule(name)) for name in self._names)  # type: ignore[misc]

    # -- what comes of it --------------------------------------------------------------------------------------------
    @torch.no_grad()
    def merge(self, task: str) -> Encoder:
        """A plain encoder, a copy, that computes what a task's head reads: what it adds is part of the weights.

        Args:
            task: Its name.

        Raises:
            UserError: If there is no such task.
        """
        factors = self.factors(task)
        merged = deepcopy(self.encoder)
        merged.recompute_in(None)
        for name, linear in self._linear(backbone_of(merged)):
            AdaptedLinear.unmake(linear)
            linear.weight += factors[name].product.to(linear.weight.dtype)
        return merged


def _tree(modules: Mapping[str, nn.Module]) -> nn.Module:
    """Modules under their dotted names."""
    root = nn.Module()
    for path, module in modules.items():
        *parents, name = path.split(".")
        node = root
        for part in parents:
            if not hasattr(node, part):
                node.add_module(part, nn.Module())
            node = node.get_submodule(part)
        node.add_module(name, module)
    return root
