"""What is shared by whom, printed where a run starts, and by ``--print_model``."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelSummary
from rich.table import Table

from mtl_lightning.data.first_examples import first_inputs
from mtl_lightning.stopping import Interrupted
from mtl_lightning.terminal.console import Console
from mtl_lightning.training.composition import Composition, ForwardCost, Inputs, Size, forward_cost
from mtl_lightning.training.fsdp2 import FSDP2Strategy
from mtl_lightning.training.network import Network

_SECONDS = 0.25  # that the start of a run may take longer by
_LARGE = 50_000_000  # parameters of a model whose forward pass may take that long by itself
_MOST_NAMED = 4
_MOST_ROWS = 12


class ModelTable(Callback):
    """Prints which parameters serve which tasks, and what a forward pass costs for each.

    Args:
        alone: Whether that is all that is asked for: the run then ends before it begins. Otherwise what takes long to
            find out is left out.
    """

    def __init__(self, alone: bool = False) -> None:
        self._alone = alone

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints."""
        if trainer.is_global_zero:
            cost = self._cost(trainer, pl_module)
            print_model(pl_module, cost, in_full=self._alone)  # type: ignore[arg-type]
        if self._alone:
            raise Interrupted(0, said=True)

    def _cost(self, trainer: Any, module: Any) -> ForwardCost:
        if isinstance(trainer.strategy, FSDP2Strategy):
            return ForwardCost(None, {})  # a forward pass takes all processes
        if not self._alone and Size.of(module.parameters()).all > _LARGE:
            return ForwardCost(None, {})
        return cost_of_example(trainer, module, None if self._alone else _SECONDS)


def cost_of_example(trainer: Any, module: Any, seconds: float | None = None) -> ForwardCost:
    """Counts what the model computes for the first examples of each data set; see :func:`.forward_cost`."""
    examples = [_moved(trainer, inputs) for inputs in first_inputs(trainer.datamodule)]
    with trainer.precision_plugin.forward_context():
        return forward_cost(module, examples, seconds)


def wants_table(trainer: Any) -> bool:
    """Whether the settings of a trainer leave it to us how a model is summed up."""
    callbacks = trainer["callbacks"] or []
    chosen = [c for c in (callbacks if isinstance(callbacks, list) else [callbacks]) if isinstance(c, ModelSummary)]
    return trainer["enable_model_summary"] is not False and not chosen


def leave_nothing(config: Any) -> None:
    """Changes a configuration into one of a run that has one process and leaves nothing behind."""
    config["trainer"]["logger"] = False
    config["trainer"]["devices"] = config["trainer"]["num_nodes"] = 1
    config["trainer"]["strategy"] = "auto"
    config["trainer"]["limit_val_batches"] = 0  # no split for it needs to be there
    config["checkpoint"]["dirpath"] = None
    for key in ("ckpt_path", "init_from", "json"):
        config[key] = None


def print_model(model: Network, cost: ForwardCost, in_full: bool = True) -> None:
    """Prints tables; where all tasks share all but their heads, two lines unless more is asked for.

    Args:
        model: Its heads are built.
        cost: Of a forward pass.
        in_full: Whether to print tables in any case.
    """
    found, console = Composition(model), Console()
    what = f"{type(model.encoder).__name__}, {type(model.sharing).__name__}, {type(model.weighting).__name__}"
    trained = "" if found.total.trained == found.total.all else f" ({found.total.trained:,} trained)"
    said = f"{what}: {found.total.all:,} parameters{trained}"
    if in_full or not found.is_one_trunk:
        console.print(said, soft_wrap=True)
        console.print(_parts(found))
        console.print(_tasks(found, cost, len(found.tasks) if in_full else _MOST_ROWS))
        return
    trunk, heads = Size.of(found.shared[0].parameters), sum(found.head(task).all for task in found.tasks)
    console.print(f"{said}, {trunk.all:,} in the encoder, {heads:,} in heads", soft_wrap=True)
    if cost.together:
        console.print(
            f"Forward pass of an example: {_flops(cost.together)} for all tasks{_alone(cost)}", soft_wrap=True
        )


def _alone(cost: ForwardCost) -> str:
    if not cost.alone:
        return "; --print_model counts each alone"
    said = dict.fromkeys(_flops(choose(cost.alone.values())) for choose in (min, max))
    return f"; {' to '.join(said)} for one alone"


def _parts(found: Composition) -> Table:
    table = _table("part", "read by", "parameters", "trained")
    for part in found.shared:
        size = Size.of(part.parameters)
        table.add_row(part.name, _names(part.tasks, found), f"{size.all:,}", f"{size.trained:,}")
    own, heads = ([size(task) for task in found.tasks] for size in (found.own, found.head))
    readers = "its task, and those that read it" if found.is_chained else "one task each"
    for name, sizes in (("each task's own", own), ("heads", heads)):
        if any(size.all for size in sizes):
            all_of_them, trained = (sum(numbers) for numbers in zip(*sizes, strict=True))
            table.add_row(name, readers, f"{all_of_them:,}", f"{trained:,}")
    return table


def _tasks(found: Composition, cost: ForwardCost, most: int) -> Table:
    owns = any(found.own(task).all for task in found.tasks)
    table = _table(
        "task", "parameters", *(["its own"] if owns else []), "head", *(["forward pass"] if cost.together else [])
    )
    for task in found.tasks[:most]:
        sizes = [found.serving(task), *([found.own(task)] if owns else []), found.head(task)]
        spent = [_flops(cost.alone[task]) if task in cost.alone else "not counted"] if cost.together else []
        table.add_row(task, *(f"{size.all:,}" for size in sizes), *spent)
    if len(found.tasks) > most:
        table.add_row(f"and {len(found.tasks) - most} more: --print_model")
    if cost.together and len(found.tasks) > 1:
        table.add_section()
        table.add_row("all at once", f"{found.total.all:,}", *([""] if owns else []), "", _flops(cost.together))
    return table


def _table(*columns: str) -> Table:
    table = Table()
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 or column == "read by" else "right")
    return table


def _names(tasks: Sequence[str], found: Composition) -> str:
    if len(tasks) == len(found.tasks) > 1:
        return f"all {len(tasks)} tasks"
    more = f" and {len(tasks) - _MOST_NAMED} more" if len(tasks) > _MOST_NAMED else ""
    return ", ".join(tasks[:_MOST_NAMED]) + more


def _flops(number: float) -> str:
    """Operations in the unit that suits them.

    >>> _flops(950), _flops(3_140_000), _flops(2.5e12)
    ('950 FLOPs', '3.14 MFLOPs', '2.5 TFLOPs')
    """
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}FLOPs"
    return f"{number:.0f} FLOPs"


def _moved(trainer: Any, inputs: Inputs) -> Inputs:
    moved = trainer.strategy.batch_to_device(dict(inputs))
    converted: Inputs = trainer.precision_plugin.convert_input(moved)
    return converted
