"""On which of Lightning's strategies the executor runs."""

from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from mtl_lightning.errors import UserError


def refuse_split_model(strategy: Strategy) -> None:
    """Refuses strategies that shard or split the model.

    Raises:
        UserError: Of such a strategy.
    """
    if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy):
        name = type(strategy).__name__
        raise UserError(f"trainer.strategy: {name} shards or splits the model; use `ddp` or one device")


def refuse_other_starts(strategy: Strategy) -> None:
    """Refuses strategies whose processes take over from this one, as in a notebook: what they find stays with them.

    Raises:
        UserError: Of such a strategy.
    """
    if isinstance(strategy.launcher, _MultiProcessingLauncher):
        raise UserError("trainer.strategy: processes that are spawned or forked keep what they measure; use `ddp`")
