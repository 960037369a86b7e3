"""A strategy that shards the encoder by FSDP2: each process holds a part of its parameters, gradients and optimizer."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.optimizer import _optimizer_to_device, _optimizers_to_device
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import ModelParallelStrategy, Strategy, StrategyRegistry
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

from mtl_lightning.backward import synchronise_buffers, synchronise_parameters
from mtl_lightning.backward.shards import is_sharded, part
from mtl_lightning.checkpoints import BackgroundCheckpointIO
from mtl_lightning.checkpoints.joining_parts import check_complete
from mtl_lightning.checkpoints.parts import PARTS_KEY, new_name, new_parts, write_parts
from mtl_lightning.checkpoints.split import take_apart
from mtl_lightning.errors import UserError

_TIMEOUT = timedelta(minutes=30)  # that of Lightning's strategies
_METHODS = ("begin", "prepend")
"""Of an encoder, besides ``forward``, that compute with its parameters."""


class FSDP2Strategy(ModelParallelStrategy):
    """Shards the encoder over all processes; heads, sharing and weighting are whole on each.

    The units that are gathered and let go together are the members of the encoder's outermost lists of modules, such as
    a transformer's layers; the rest of it is one more. While a model is evaluated, each process holds the whole
    encoder, since processes may have different numbers of batches.

    Checkpoints are those of any other strategy: one file of whole tensors, which the first process writes; or, if asked
    for, in parts (:mod:`mtl_lightning.checkpoints.parts`). Any strategy and any number of processes resume from either.

    Args:
        save_distributed_checkpoint: Whether each process writes the parts of tensors that it holds. Nothing is gathered
            then. All nodes must write to the same file system.
        process_group_backend: Through what processes talk; null: NCCL on GPUs, gloo else.
        timeout: How long one waits for the others in an exchange.
        gather_once: Whether each process keeps what it has gathered until the optimizer steps, instead of gathering it
            anew in each pass. It sends less, and each process then has memory for the whole encoder's parameters.
    """

    names = ("fsdp2", "fsdp2_in_parts")
    """By which a Trainer knows it; the second one saves checkpoints in parts."""

    def __init__(
        self,
        save_distributed_checkpoint: bool = False,
        process_group_backend: str | None = None,
        timeout: timedelta | None = _TIMEOUT,
        gather_once: bool = False,
    ) -> None:
        super().__init__(1, 1, save_distributed_checkpoint, process_group_backend, timeout)
        self._gather_once = gather_once

    def setup_environment(self) -> None:
        """Spreads the parameters over all processes of all nodes."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def setup(self, trainer: Trainer) -> None:
        """Shards the encoder of a model that is complete, and makes the optimizer."""
        assert self.accelerator is not None and self.lightning_module is not None
        self.accelerator.setup(trainer)
        module: Any = self.lightning_module
        self.model = self.precision_plugin.convert_module(module)
        warnings.filterwarnings("ignore", ".*FSDP2-wrapped module .* returned a view tensor")  # no head changes it
        if not isinstance(module.encoder, FSDPModule):
            half = trainer.precision == "bf16-mixed"
            shard(module.encoder, self.device_mesh["data_parallel"], self.root_device, half)
        if self._gather_once:
            keep_gathered(module.encoder)
        self.model_to_device()
        synchronise_parameters(module.parameters())
        synchronise_buffers([module])
        self.barrier()
        if trainer.state.fn == TrainerFn.FITTING:
            self.setup_optimizers(trainer)
        self.setup_precision_plugin()
        if trainer.state.fn == TrainerFn.FITTING:
            _optimizers_to_device(self.optimizers, self.root_device)

    def optimizer_step(
        self, optimizer: Optimizer, closure: Callable[[], Any], model: Any | None = None, **kwargs: Any
    ) -> Any:
        """Lets go of the other processes' parts once gradients are there, before the optimizer changes any part."""

        def differentiate() -> Any:
            found = closure()
            let_go(self._encoder)
            return found

        return super().optimizer_step(optimizer, differentiate if self._gather_once else closure, model, **kwargs)

    # -- checkpoints --------------------------------------------------------------------------------------------------
    @property
    def restore_checkpoint_after_setup(self) -> bool:
        """No: a model that has not been sharded takes parameters as any other does."""
        return False

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Yes: see ``load_optimizer_state_dict``."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The model's state on the first process; empty on others, which take part. In parts: what each one holds."""
        assert self.lightning_module is not None
        return self._gathered(self.lightning_module.state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The optimizer's state, in the same way."""
        return self._gathered(Strategy.optimizer_state(self, optimizer))

    def _gathered(self, state: dict[str, Any]) -> dict[str, Any]:
        if self._save_distributed_checkpoint:
            return state

        def whole(tensor: DTensor) -> Tensor | None:
            found = tensor.full_tensor()
            return found.cpu() if self.is_global_zero else None

        found: dict[str, Any] = tree_map_only(DTensor, whole, state)
        return found if self.is_global_zero else {}

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: _PATH, storage_options: Any | None = None) -> None:
        """Writes on the first process, as other strategies do; in parts on each.

        Raises:
            UserError: If it cannot be written.
        """
        if self._save_distributed_checkpoint:
            self._save_parts(checkpoint, filepath)
        else:
            Strategy.save_checkpoint(self, checkpoint, filepath, storage_options)

    def _save_parts(self, checkpoint: dict[str, Any], filepath: _PATH) -> None:
        if "://" in str(filepath):
            raise UserError(f"`save_distributed_checkpoint` needs a local folder, found {filepath}")
        if self.is_global_zero and isinstance(self.checkpoint_io, BackgroundCheckpointIO):
            self.checkpoint_io.wait()  # it removes what the checkpoint before it had in parts
        name = self.broadcast(new_name(checkpoint["global_step"]))
        split = take_apart(checkpoint, is_sharded)
        with new_parts(Path(filepath), name, first=self.is_global_zero) as folder:
            write_parts(folder, split.tensors)
            if self.is_global_zero:
                check_complete(folder)
                found = {"folder": name, "places": split.places}
                self.checkpoint_io.save_checkpoint({**split.rest, PARTS_KEY: found}, filepath)

    def load_checkpoint(self, checkpoint_path: _PATH, weights_only: bool | None = None) -> dict[str, Any]:
        """Reads on each process, as other strategies do."""
        return Strategy.load_checkpoint(self, checkpoint_path, weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Gives the module a checkpoint's parameters; it keeps this process's parts."""
        Strategy.load_model_state_dict(self, checkpoint, strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Keeps this process's parts of what a checkpoint holds."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(_parts(optimizer, state))
            _optimizer_to_device(optimizer, self.root_device)

    # -- evaluation ----------------------------------------------------------------------------------------------------
    def on_validation_start(self) -> None:
        """Gathers the encoder."""
        self._gather()

    def on_validation_end(self) -> None:
        """Lets go of the other processes' parts."""
        self._let_go()

    def on_test_start(self) -> None:
        """Gathers the encoder."""
        self._gather()

    def on_test_end(self) -> None:
        """Lets go of the other processes' parts."""
        self._let_go()

    def on_predict_start(self) -> None:
        """Gathers the encoder."""
        self._gather()

    def on_predict_end(self) -> None:
        """Lets go of the other processes' parts."""
        self._let_go()

    def _gather(self) -> None:
        encoder = self._encoder
        encoder.set_reshard_after_forward(False)
        encoder._get_fsdp_state()._lazy_init()  # what the first forward pass does
        with torch.inference_mode(False), torch.no_grad():
            for unit in units(encoder):
                unit.unshard()

    def _let_go(self) -> None:
        self._encoder.set_reshard_after_forward(not self._gather_once)
        let_go(self._encoder)

    @property
    def _encoder(self) -> FSDPModule:
        module: Any = self.lightning_module
        encoder: FSDPModule = module.encoder
        return encoder


for _number, _name in enumerate(FSDP2Strategy.names):
    _says = "Shards the encoder by FSDP2" + ", and checkpoints too" * _number
    StrategyRegistry.register(_name, FSDP2Strategy, description=_says, save_distributed_checkpoint=bool(_number))


def shard(encoder: nn.Module, mesh: Any, device: torch.device, half: bool = False) -> None:
    """Shards an encoder, one unit after the other, so that no more than one is whole on the device.

    Processes start with the parameters of the first one. Gradients are added up over processes, not averaged.

    Args:
        encoder: It stays the same object, and its parameters are replaced.
        mesh: The processes.
        device: Where parts are to be.
        half: Whether parameters are gathered in bfloat16. Autocasting alone would keep a whole copy of them in it until
            the backward pass. Gradients are added up in the parameters' type.
    """
    policy = MixedPrecisionPolicy(torch.bfloat16 if half else None, torch.float32 if half else None)
    kind = type(encoder)
    for unit in (*members(encoder), encoder):
        unit.to(device)
        synchronise_parameters(unit.parameters())
        fully_shard(unit, mesh=mesh, reshard_after_forward=True, mp_policy=policy)
    for sharded in units(encoder):
        sharded.set_force_sum_reduction_for_comms(True)
        sharded.set_gradient_divide_factor(1.0)
    for name in ("__module__", "__name__", "__qualname__"):  # in messages, and by what encoded texts are kept
        setattr(type(encoder), name, getattr(kind, name))
    for method in _METHODS:
        register_fsdp_forward_method(encoder, method)


def keep_gathered(encoder: nn.Module | FSDPModule) -> None:
    """Makes a sharded encoder keep what it gathers in any pass, until ``let_go``."""
    for unit in units(encoder):
        unit.set_reshard_after_forward(False)
        unit.set_reshard_after_backward(False)


def let_go(encoder: nn.Module | FSDPModule) -> None:
    """Lets go of the other processes' parts."""
    for unit in units(encoder):
        unit.reshard()


def members(module: nn.Module) -> list[nn.Module]:
    """The members with parameters of the outermost lists of modules."""
    found: list[nn.Module] = []
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.Sequential):
            found += [member for member in child if next(member.parameters(), None) is not None]
        else:
            found += members(child)
    return found


def units(encoder: nn.Module | FSDPModule) -> list[FSDPModule]:
    """What is gathered and let go together."""
    assert isinstance(encoder, nn.Module)
    return [module for module in encoder.modules() if isinstance(module, FSDPModule)]


def _parts(optimizer: Optimizer, state: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's state, of which sharded parameters have this process's part of what has their shape."""
    numbers: Iterable[int] = (number for group in state["param_groups"] for number in group["params"])
    parameters: Sequence[Tensor] = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    own = dict(zip(numbers, parameters, strict=True))
    kept = {
        number: {name: part(value, own[number]) for name, value in of.items()} for number, of in state["state"].items()
    }
    return {**state, "state": kept}
