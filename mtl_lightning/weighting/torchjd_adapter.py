"""Adapters for the aggregators, weightings and scalarizers of TorchJD."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.weighting.base import GramianWeighting, JacobianWeighting, LossWeighting, Weighting

_BASES = {"Aggregator", "WeightedAggregator", "GramianWeightedAggregator", "Weighting", "Scalarizer"}
_REFUSED = {
    "CRMOGMWeighting": "it wraps another weighting, which a config cannot name",
    "ExcessMTLWeighting": "it needs gradients, not inner products; use TorchJDAggregator with ExcessMTL",
    "FAMO": "its optimizer would be in no checkpoint; use FAMO of mtl_lightning.weighting",
    "MoDoWeighting": "it needs several batches in each step",
    "NashMTL": "its state, a cvxpy problem, would be in no checkpoint; use NashMTL of mtl_lightning.weighting",
    "SDMGradWeighting": "it needs several batches in each step",
}
_PLAIN = (Tensor, int, float, str, torch.dtype, torch.device, type(None))
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


class _TorchJD(Weighting):
    """What the adapters have in common: the object, what it remembers, its random numbers.

    The object is no submodule, since its buffers come and go; ``trained`` shares its parameters.
    """

    package: ClassVar[str] = "aggregation"
    kind: ClassVar[str]
    dtype: ClassVar[torch.dtype | None] = None

    def __init__(
        self, tasks: Sequence[str], name: str, arguments: Mapping[str, Any] | None = None, seed: int | None = None
    ) -> None:
        super().__init__(tasks)
        made = _make(_find(self.package, self.kind, name), arguments or {}, len(self.tasks), self.dtype)
        self.name = name
        self._object = (made,)
        self._device: torch.device | None = None
        self._stateful = isinstance(made, import_module("torchjd").Stateful)
        self._fixed = self._stateful or any(isinstance(value, Tensor) for _, _, value in _values(made))
        self.trained = nn.ParameterList(made.parameters())
        self._states.append("memory")
        self.memory = self.memory  # refuses now what a checkpoint could not hold
        self.add_random_state(seed)

    @property
    def memory(self) -> dict[str, Any]:
        """What a stateful object remembers between steps, by attribute; a copy."""
        if not self._stateful:
            return {}
        return {
            f"{path}.{name}": self._copy(value)
            for path, part in self._object[0].named_modules()
            for _, name, value in _values(part, recurse=False)
            if name.lstrip("_") not in inspect.signature(type(part)).parameters
        }

    @memory.setter
    def memory(self, memory: Mapping[str, Any]) -> None:
        for key, value in memory.items():
            path, _, name = key.rpartition(".")
            setattr(self._object[0].get_submodule(path), name, self._copy(value))
        self._device = None

    def _copy(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(map(self._copy, value))
        if not isinstance(value, _PLAIN):
            raise UserError(f"`name`: TorchJD's {self.name} keeps a {type(value).__name__}, which no checkpoint holds")
        return value.clone() if isinstance(value, Tensor) else value

    def _ask(self, evidence: Tensor, tasks: Tensor) -> Tensor:
        if self._fixed and len(tasks) < len(self.tasks):
            raise UserError(
                f"TorchJD's {self.name} keeps something for each task and needs all {len(self.tasks)} in every step, "
                f"found {len(tasks)}"
            )
        if self._device != evidence.device:
            self._device = evidence.device
            for part, name, value in list(_values(self._object[0])):
                setattr(part, name, _moved(value, evidence.device))
        with self._random_numbers(evidence.device):
            try:
                answer: Tensor = self._object[0](evidence)
            except ValueError as error:
                raise UserError(f"TorchJD's {self.name}: {error}") from error
        return answer

    @contextmanager
    def _random_numbers(self, device: torch.device) -> Iterator[None]:
        """Seeds torch's global generators, from which TorchJD draws, and restores them afterwards."""
        seed = self.generator().initial_seed()
        accelerators = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=accelerators):
            torch.default_generator.manual_seed(seed)
            for accelerator in accelerators:
                with torch.cuda.device(accelerator):
                    torch.cuda.manual_seed(seed)
            yield


class TorchJDAggregator(_TorchJD, JacobianWeighting):
    r"""Any aggregator of TorchJD, by the name of its class.

    The direction is :math:`\mathcal A(J)`, for an aggregator :math:`\mathcal A` and the gradients J.
    It computes on the gradients' device, and may make the host wait for it. Where TorchJD has a weighting of the method
    too, ``TorchJDWeighting`` is cheaper and more exact.

    What it remembers is checkpointed. An aggregator that keeps something for each task (a state, a preference vector)
    needs all tasks in every step. ``NashMTL`` is refused: its state would be in no checkpoint.

    Reference: Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization" (arXiv 2406.16232), and torchjd.org.
    Difference: random numbers come from ``seed``, not from torch's global generator.

    Helps: to try a method that this package lacks, or to compare one with its authors' implementation. Fails: where
    this package has the method too, use that: it computes exactly, and its state is kept by task, so that tasks may be
    missing from a step.

    Needs: ``pip install mtl-lightning[torchjd]``; some aggregators ask for more packages.

    Args:
        tasks: Names of the K tasks.
        name: Of the class in ``torchjd.aggregation``.
        arguments: Of the class, by name; lists of numbers become tensors.
        seed: Of the random numbers; null: the seed of the run.

    >>> weighting = TorchJDAggregator(["a", "b"], "TrimmedMean", {"trim_number": 0})
    >>> weighting(torch.tensor([[1.0, 0.0], [0.0, 4.0]]), torch.ones(2), torch.arange(2))
    tensor([0.5000, 2.0000])
    """

    kind = "Aggregator"

    def forward(self, jacobian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        return self._ask(jacobian, tasks)


class TorchJDWeighting(_TorchJD, GramianWeighting):
    r"""Any weighting of TorchJD that inner products are enough for, by the name of its class.

    The weights are :math:`w(J J^\top)`, for a weighting w and the gradients J.
    It computes on the host, in float64. State and absent tasks are as for ``TorchJDAggregator``.
    Refused are ``MoDoWeighting`` and ``SDMGradWeighting``, which need several batches in each step,
    ``CRMOGMWeighting``, which wraps another weighting, and ``ExcessMTLWeighting``, which needs gradients.

    Reference: Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization" (arXiv 2406.16232), and torchjd.org.
    Difference: random numbers come from ``seed``, not from torch's global generator.

    Helps: to try a method that this package lacks, or to compare one with its authors' implementation. Fails: where
    this package has the method too, use that: it computes exactly, and its state is kept by task, so that tasks may be
    missing from a step.

    Needs: ``pip install mtl-lightning[torchjd]``; some classes ask for more packages.

    Args:
        tasks: Names of the K tasks.
        name: Of the class in ``torchjd.aggregation``.
        arguments: Of the class, by name; lists of numbers become tensors.
        seed: Of the random numbers; null: the seed of the run.

    >>> gramian = torch.tensor([[1.0, -1.0], [-1.0, 4.0]], dtype=torch.float64)
    >>> TorchJDWeighting(["a", "b"], "PCGradWeighting")(gramian, torch.ones(2), torch.arange(2))
    tensor([2.0000, 1.2500], dtype=torch.float64)
    """

    kind = "Weighting"
    dtype = torch.float64

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        return self._ask(gramian, tasks)


class TorchJDScalarizer(_TorchJD, LossWeighting):
    r"""Any scalarizer of TorchJD, by the name of its class.

    The objective is :math:`s(\ell)`, for a scalarizer s of the losses :math:`\ell`.
    The parameters of ``UW`` and ``IMTLL`` are trained by the model's optimizer; ``DWA`` is told when an epoch ends.
    State and absent tasks are as for ``TorchJDAggregator``. ``FAMO`` is refused: its optimizer would be in no
    checkpoint.

    Reference: Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization" (arXiv 2406.16232), and torchjd.org.
    Difference: random numbers come from ``seed``, not from torch's global generator.

    Helps: to try a method that this package lacks, or to compare one with its authors' implementation. Fails: where
    this package has the method too, use that: it computes exactly, and its state is kept by task, so that tasks may be
    missing from a step.

    Needs: ``pip install mtl-lightning[torchjd]``; some classes ask for more packages.

    Args:
        tasks: Names of the K tasks.
        name: Of the class in ``torchjd.scalarization``.
        arguments: Of the class, by name; lists of numbers become tensors, and ``shape`` is K.
        seed: Of the random numbers; null: the seed of the run.

    >>> TorchJDScalarizer(["a", "b"], "Mean")(torch.tensor([1.0, 2.0]), torch.arange(2))
    tensor(1.5000)
    """

    domain = "losses at which TorchJD's scalarizer has derivatives"
    package = "scalarization"
    kind = "Scalarizer"

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return self._ask(losses, tasks)

    @torch.enable_grad()
    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        evidence, kept = losses.detach().requires_grad_(), (self.memory, self.num_draws)
        try:
            return ~torch.autograd.grad(self._ask(evidence, tasks), evidence)[0].isfinite()
        except UserError:
            return torch.ones_like(losses, dtype=torch.bool)
        finally:
            self.memory, self.num_draws = kept

    @property
    def needs_epochs(self) -> bool:
        return hasattr(self._object[0], "step")

    def on_epoch_end(self, losses: Tensor, tasks: Tensor) -> None:
        if self.needs_epochs:
            end_epoch: Any = self._object[0].step
            end_epoch()


def _find(package: str, kind: str, name: str) -> type[nn.Module]:
    """The class of TorchJD with a name, if it is of that kind and can be used here."""
    try:
        module = import_module(f"torchjd.{package}")
    except ImportError as error:
        raise UserError(f"`name`: {name} needs TorchJD: pip install mtl-lightning[torchjd] ({error})") from error
    exported: dict[str, Any] = {key: getattr(module, key) for key in module.__all__}
    found: dict[str, type[nn.Module]]
    found = {key: cls for key, cls in exported.items() if issubclass(cls, exported[kind])}
    if name in found and name in _REFUSED:
        raise UserError(f"`name`: TorchJD's {name} cannot be used: {_REFUSED[name]}")
    choices = found.keys() - _BASES - _REFUSED.keys()
    if name not in choices:
        raise UserError(f"`name`: TorchJD has no {kind.lower()} '{name}'; {did_you_mean(name, choices)}")
    return found[name]


def _make(cls: type[nn.Module], arguments: Mapping[str, Any], num_tasks: int, dtype: torch.dtype | None) -> nn.Module:
    name, parameters = cls.__name__, inspect.signature(cls).parameters
    for argument in arguments:
        if argument not in parameters:
            raise UserError(f"`arguments`: TorchJD's {name} has no '{argument}'; {did_you_mean(argument, parameters)}")
    values: dict[str, Any] = {"shape": num_tasks} if "shape" in parameters else {}
    for key, value in arguments.items():
        values[key] = torch.tensor(value, dtype=dtype) if isinstance(value, list | tuple) else value
    try:
        return cls(**values)
    except (ImportError, TypeError, ValueError) as error:
        raise UserError(f"`arguments`: TorchJD's {name}: {error}") from error


def _values(module: nn.Module, recurse: bool = True) -> Iterator[tuple[nn.Module, str, Any]]:
    """Attributes and buffers, but no modules and parameters."""
    for part in module.modules() if recurse else [module]:
        own = {name: value for name, value in vars(part).items() if name not in _OF_EVERY_MODULE}
        yield from ((part, name, value) for name, value in (own | part._buffers).items())


def _moved(value: Any, device: torch.device) -> Any:
    """The value on another device, and if it is or holds a device, that one."""
    if isinstance(value, list | tuple):
        return type(value)(_moved(entry, device) for entry in value)
    if isinstance(value, torch.device):
        return device
    return value.to(device) if isinstance(value, Tensor) else value
