"""Loading parameters into a module that callbacks may have changed, or that is another one."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from mtl_lightning.backward.shards import parts
from mtl_lightning.checkpoints import find_checkpoint
from mtl_lightning.checkpoints.shapes import kind_of
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import Sharing
from mtl_lightning.training.clipping import ClippedModule
from mtl_lightning.training.pruned import prune_as
from mtl_lightning.training.starting import take_over


class RestorableModule(ClippedModule):
    """Takes parameters of other models, and refuses what does not fit in one line.

    Attributes:
        is_built: Whether all parameters are there.
        goes_on_from: The checkpoint of the run that goes on; it is known before the trainer reads it.
        config: The configuration that checkpoints carry, if there is one.
        config_is_own: Whether this user wrote it; see :mod:`mtl_lightning.trust.origin`.
        config_places: Where the packages were that it names, when it came from a checkpoint; see there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_built = False
        self._init_from: Path | None = None
        self.goes_on_from: Path | None = None
        self.config: dict[str, Any] | None = None
        self.config_is_own = True
        self.config_places: Mapping[str, str] | None = None

    def build(self) -> None:
        """Creates what configuration and training data leave open.

        Raises:
            UserError: If something is missing that only training data says.
        """
        raise NotImplementedError

    def keep_config(self, config: dict[str, Any], own: bool = True, places: Mapping[str, str] | None = None) -> None:
        """Takes the configuration that this model was made of, which its checkpoints then carry.

        Args:
            config: All that ``fit`` was given, as plain data.
            own: Whether this user wrote it, and not perhaps somebody else.
            places: Where the packages were that it names, if that is known of a checkpoint.
        """
        self.config, self.config_is_own, self.config_places = config, own, places

    def start_from(self, trained: str | Path) -> None:
        """Takes over a trained model's encoder and the heads whose labels fit, once this model is built.

        The weighting and the optimizer start afresh. What is taken is logged.

        Args:
            trained: A checkpoint, or the folder of a run, which means its best one.

        Raises:
            UserError: If there is no such checkpoint; later, if its encoder or tokenizer is another one.
        """
        self._init_from = find_checkpoint(str(trained), "run", last=False, key="init_from")
        if self.is_built:
            take_over(self, self._init_from)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Loads parameters and buffers.

        Args:
            state_dict: By name. Parameters are pruned as they are there.
            strict: Whether all names must be there, and no others.
            assign: See :meth:`torch.nn.Module.load_state_dict`.

        Raises:
            UserError: If they are those of another model.
        """
        prune_as(self, state_dict)
        take_forms(self, state_dict)
        own = self.state_dict()
        state_dict = {name: value for name, value in state_dict.items() if name in own or not is_beside(name)}
        if strict and (difference := next(_differences(own, state_dict), None)):
            raise UserError(
                f"the checkpoint does not fit the model: {difference}; set `model` (and callbacks that change its "
                "parameters) as it was trained, or start anew with what fits: `--init_from` instead of `--ckpt_path`"
            )
        return super().load_state_dict(parts(state_dict, own), strict, assign)


def is_beside(name: str) -> bool:
    """Whether a parameter has trained beside a model and is no part of what it computes."""
    return name.startswith("supervision.")


def take_forms(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Lets a sharing become what it was when a state was saved.

    Args:
        model: What it is in.
        state: Parameters, buffers and extra states by name.
    """
    for path, module in list(model.named_modules()):
        if isinstance(module, Sharing) and (name := f"{path}._extra_state") in state:
            module.take_form(state[name])


def choose_weights(checkpoint: dict[str, Any], callbacks: Sequence[Callback]) -> None:
    """Resumes from the weights that trained, where a checkpoint has averages in their place that nobody goes on with.

    Args:
        checkpoint: Of the run to resume; it is changed.
        callbacks: Of the run that resumes it.
    """
    trained = checkpoint.pop("current_model_state", None)
    if trained is None:
        return
    if any(isinstance(callback, WeightAveraging) for callback in callbacks):
        checkpoint["current_model_state"] = trained
        return
    checkpoint["state_dict"] = trained
    rank_zero_info("Resumed without the callback that averaged the weights: from those that trained, not from averages")


def _differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for name, value in other.items():
        if not isinstance(value, Tensor) or not isinstance(own.get(name), Tensor):
            continue
        if value.shape != own[name].shape:
            yield f"`{name}` is {list(value.shape)} there, {list(own[name].shape)} here"
        if kind_of(value) != kind_of(own[name]):
            yield f"`{name}` holds {kind_of(value)} there, {kind_of(own[name])} here"
    missing, more = [n for n in own if n not in other], [n for n in other if n not in own]
    for names, what in ((missing, "it lacks"), (more, "it has")):
        if names:
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            yield f"{what} `{names[0]}`{others}" + (", which the model has not" if what == "it has" else "")
