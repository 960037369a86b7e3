"""What becomes of a trained model: a plain one of some tasks, files of its adapters, a checkpoint."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

import lightning
from torch.nn.utils import prune

from mtl_lightning.backward.shards import is_sharded
from mtl_lightning.checkpoints import CHECKPOINT_KEY, AtomicCheckpointIO
from mtl_lightning.checkpoints.adapters import load_adapters, save_adapters
from mtl_lightning.errors import UserError
from mtl_lightning.names import names_asked
from mtl_lightning.paths import expanded
from mtl_lightning.sharing.adapting import LowRankSharing
from mtl_lightning.training.contents import model_contents
from mtl_lightning.training.evaluating import EvaluatedModule


class AdaptedModule(EvaluatedModule):
    """A module that can be merged, and that exchanges adapters with peft.

    Attributes:
        merged_from: Name of the sharing that this model was merged from; null: of none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.merged_from: str | None = None

    def setup(self, stage: str) -> None:
        """Refuses to train what has been merged.

        Raises:
            UserError: If it is asked to.
        """
        if stage == "fit" and self.merged_from is not None:
            raise UserError(
                f"this model was merged from {self.merged_from} and is a plain one; train the model "
                "that it comes from, or a new one that starts from the checkpoint of this: save() it, then --init_from"
            )

    def merge(self, *tasks: str) -> Self:
        """A plain model of one task, a copy, that predicts the same: adapters have become part of its weights, and of
        several encoders or branches it has the task's.

        Args:
            tasks: Its name; several, or none for all, where they read the same features.

        Raises:
            UserError: If there is no such task, no plain model computes the same, or masks prune this one.
        """
        self._refuse_incomplete()
        names = names_asked("`tasks`", tasks, list(self.heads)) if tasks else list(self.heads)
        if prune.is_pruned(self):
            raise UserError(
                "this model has masks that prune it, which cannot be merged; make pruning permanent with "
                "`torch.nn.utils.prune.remove`, as ModelPruning does by default"
            )
        for name in names:
            if len(needed := self.chain.needed([name])) > 1:
                raise UserError(f"model.chain: '{name}' reads {needed[0]}, so that no plain model computes it")
        if len(names) > 1 and not self.sharing.is_plain:
            raise UserError(
                f"model.sharing: under {type(self.sharing).__name__} each task reads features of its own, so that no "
                "plain model computes several; take one task"
            )
        made: Any = type(self)
        encoder: Any = self.sharing.merge(names[0])
        encoder.merge_adapters()
        merged = made(encoder, {name: deepcopy(self.heads[name]) for name in names})
        merged.build()
        merged.to(next(self.heads.parameters()).dtype)
        for name in names:
            merged.heads[name].load_state_dict(self.heads[name].state_dict())
        if self.config is not None:
            merged.keep_config(_plain_config(self.config, names), self.config_is_own, self.config_places)
        merged.merged_from = type(self.sharing).__name__
        found: Self = merged.to(self.device).train(self.training)
        return found

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint of the parameters, for ``mtl_lightning.load``, ``predict`` and ``--init_from``.

        Args:
            path: Where to.

        Raises:
            UserError: If it cannot be written.
        """
        AtomicCheckpointIO().save_checkpoint(self.contents(), Path(expanded(str(path))))

    def contents(self) -> dict[str, Any]:
        """What a checkpoint of the parameters holds.

        Raises:
            UserError: If the model is not whole.
        """
        self._refuse_incomplete()
        ours = {"state_dict": self.state_dict(), CHECKPOINT_KEY: model_contents(self)}
        return {**ours, "pytorch-lightning_version": lightning.__version__}

    def save_pretrained(self, folder: str | Path, task: str) -> None:
        """Writes what a task's head reads as a model of the transformers library, with its tokenizer: adapters have
        become part of the weights.

        It is the whole language model if a task generates; the heads of other tasks are not part of it.

        Args:
            folder: Where to.
            task: Name of the task; where all read the same, any.

        Raises:
            UserError: If there is no such task, no plain model computes the same, or the files cannot be written.
        """
        self._refuse_incomplete()
        names_asked("`task`", [task], list(self.heads))
        encoder: Any = self.sharing.merge(task)
        encoder.merge_adapters()
        encoder.save_pretrained(Path(expanded(str(folder))))

    def save_adapters(self, folder: str | Path) -> None:
        """Writes what is added to the backbone as peft does: the encoder's adapter into ``folder``, or what a sharing
        adds for each task into ``<folder>/<task>``.

        ``PeftModel.from_pretrained(backbone, folder)`` then computes what the heads read, also where tasks share a part
        of it. If a task generates, the backbone is the whole language model.

        Args:
            folder: Where to.

        Raises:
            UserError: If there are no such adapters, peft is missing, or the files cannot be written.
        """
        place = Path(expanded(str(folder)))
        if isinstance(self.sharing, LowRankSharing):
            save_adapters(place, self.sharing)
        else:
            self.encoder.save_adapters(place)

    def load_adapters(self, folder: str | Path) -> None:
        """Takes the encoder's adapter from ``folder``, or that of each task from ``<folder>/<task>``: files of
        ``save_adapters`` or of peft.

        Args:
            folder: Where they are.

        Raises:
            UserError: If one is missing, or was made for another backbone or with other options; the model then keeps
                the adapters that it has.
        """
        place = Path(expanded(str(folder)))
        if not isinstance(self.sharing, LowRankSharing):
            return self.encoder.load_adapters(place)
        sharing = self.sharing
        before = deepcopy(sharing.lora.state_dict())
        try:
            for task, factors in load_adapters(place, sharing).items():
                sharing.take(task, factors)
        except UserError:
            sharing.lora.load_state_dict(before)
            raise

    def _refuse_incomplete(self) -> None:
        if not self.is_built:
            raise UserError("the model has no heads yet: train it, or load a trained one with `mtl_lightning.load`")
        if any(map(is_sharded, self.parameters())):
            raise UserError("the model is sharded: load a checkpoint of it with `mtl_lightning.load`, which is whole")


def _plain_config(config: dict[str, Any], tasks: Sequence[str]) -> dict[str, Any]:
    """The configuration of a merged model: its encoder, its tasks, and the data sets that label them.

    A schedule may name other data sets, and this model is not trained.
    """
    model, data = config["model"], {key: value for key, value in config["data"].items() if key != "schedule"}
    kept = {"encoder": model["encoder"], "tasks": {task: model["tasks"][task] for task in tasks}}
    return deepcopy({**config, "model": kept, "data": {**data, "tasks": list(tasks)}})
