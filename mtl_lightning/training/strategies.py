"""On which of Lightning's strategies the executor runs."""

from datetime import timedelta

from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from mtl_lightning.errors import UserError
from mtl_lightning.training.fsdp2 import FSDP2Strategy


def refuse_split_model(strategy: Strategy) -> None:
    """Refuses strategies that shard or split the model.

    Raises:
        UserError: Of such a strategy.
    """
    if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy | FSDP2Strategy):
        name = type(strategy).__name__
        raise UserError(
            f"trainer.strategy: {name} shards or splits the model; use `ddp`, one device, or `fsdp2`, which shards it "
            "and is this project's own"
        )


def refuse_strategy_name(strategy: object) -> None:
    """Refuses names of strategies that shard the model, where one of them does.

    Args:
        strategy: As configured.

    Raises:
        UserError: Of such a name.
    """
    if isinstance(strategy, str) and strategy.lower().startswith(_SHARDING) and strategy not in FSDP2Strategy.names:
        raise UserError(f"trainer.strategy: {strategy} is not supported; `fsdp2` shards the encoder over all processes")


def refuse_other_starts(strategy: Strategy) -> None:
    """Refuses strategies whose processes take over from this one, as in a notebook: what they find stays with them.

    Raises:
        UserError: Of such a strategy.
    """
    if isinstance(strategy.launcher, _MultiProcessingLauncher):
        raise UserError("trainer.strategy: processes that are spawned or forked keep what they measure; use `ddp`")


def limit_waiting(strategy: Strategy, seconds: float) -> None:
    """Limits how long a process waits for another one in a single exchange, unless the strategy was given a limit.

    The exchange is given half a minute more, in which the process that is waited for is named and the run ended.

    Args:
        strategy: Whose processes have not yet found each other.
        seconds: That a process may keep the others waiting.
    """
    if getattr(strategy, "_timeout", None) == _DEFAULT:
        strategy._timeout = timedelta(seconds=seconds + _NAMED)  # type: ignore[attr-defined]


_SHARDING = ("fsdp", "modelparallel", "deepspeed")
_DEFAULT = timedelta(minutes=30)  # of all of Lightning's strategies
_NAMED = 30.0
