"""Which checkpoint of a run is its best: chosen by one monitored score, and remembered beside it."""

import json
import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from mtl_lightning.checkpoints.background import background
from mtl_lightning.errors import UserError
from mtl_lightning.small_files import read_small_text
from mtl_lightning.writing import write_whole

_RECORD = "best.json"
_warn = rank_zero_only(logging.getLogger(__name__).warning)


class BestCheckpoint(ModelCheckpoint):
    """Lightning's ``ModelCheckpoint``, whose choice a run's folder remembers; it takes the same arguments.

    It writes ``checkpoints/best.json`` into the trainer's ``default_root_dir``, which names the best file, whatever
    that is called and wherever it is. Differences from Lightning's: a score counts only for the parameters it was
    measured with, so a save that falls due between two validations waits for the next one; several files never share
    a name; after a resume the best of the whole run stays the best, in another folder too.
    """

    config_key = "checkpoint"
    """Where it is configured, for messages."""

    _measured = -1
    """Optimizer step of the last validation."""

    @property
    def state_key(self) -> str:
        """By what is monitored alone, and never that of another ``ModelCheckpoint`` in the same trainer."""
        return self._generate_state_key(monitor=self.monitor, mode=self.mode)

    @property
    def score(self) -> float | None:
        """Of the best checkpoint; null: nothing is monitored, or nothing was measured."""
        return None if self.best_model_score is None else float(self.best_model_score)

    @property
    def best_file(self) -> str:
        """Path of the best checkpoint; empty: there is none, or somebody has removed it."""
        path = self.best_model_path
        return path if "://" in path or os.path.isfile(path) else ""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Tells files of one name apart where several are kept."""
        super().setup(trainer, pl_module, stage)
        if self.save_last:
            _warn("checkpoint.save_last has no effect: last.ckpt is written anyway, ready to be resumed from.")
            self.save_last = None
        self._enable_version_counter |= self.save_top_k not in (0, 1)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes the folder, and refuses other callbacks that write the same files.

        Raises:
            UserError: If the folder cannot be made, or of such a callback.
        """
        if trainer.is_global_zero and self.save_top_k and "://" not in str(self.dirpath):
            _make(Path(str(self.dirpath)))
        folder = Path(trainer.default_root_dir, "checkpoints")
        ours = {_path(folder, "last"), _path(self.dirpath, self.filename)}
        for other in trainer.checkpoint_callbacks:
            if isinstance(other, ModelCheckpoint) and other is not self:
                names = [other.filename, other.CHECKPOINT_NAME_LAST if other.save_last else None]
                if taken := ours & {_path(other.dirpath, name) for name in names if name}:
                    raise UserError(
                        f"trainer.callbacks: {type(other).__name__} would overwrite {taken.pop()}.ckpt, which is "
                        f"written anyway; give it another `filename` or `dirpath`, and no `save_last`"
                    )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remembers what a run that is resumed has found so far, in a new folder too."""
        super().on_train_start(trainer, pl_module)
        if self.best_model_path:
            self._remember(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves with scores that are new, also what fell due since the validation before."""
        self._measured = trainer.global_step
        super().on_validation_end(trainer, pl_module)
        if self._defer_save_until_validation and not self._should_skip_saving_checkpoint(trainer):
            self._defer_save_until_validation = False
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))

    # -- saving ------------------------------------------------------------------------------------------------------
    def _monitor_candidates(self, trainer: Trainer) -> dict[str, Tensor]:
        fresh = self._measured == trainer.global_step
        candidates = super()._monitor_candidates(trainer)
        return {name: value for name, value in candidates.items() if fresh or not name.startswith("val/")}

    def _save_topk_checkpoint(self, trainer: Trainer, monitor_candidates: dict[str, Tensor]) -> None:
        if (io := background(trainer)) is not None:
            io.wait()  # names are told apart by the files that are there
        if self.monitor is None or self.monitor in monitor_candidates:
            super()._save_topk_checkpoint(trainer, monitor_candidates)

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        super()._save_checkpoint(trainer, filepath)
        if self.best_model_path == filepath:
            self._remember(trainer)

    def _remember(self, trainer: Trainer) -> None:
        if trainer.is_global_zero and "://" not in str(trainer.default_root_dir):
            folder = Path(trainer.default_root_dir, "checkpoints")
            found = {"path": _relative(self.best_model_path, folder), "monitor": self.monitor, "mode": self.mode}
            write = partial(_write, folder / _RECORD, found | {"score": self.score})
            write() if (io := background(trainer)) is None else io.after(write)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Saves, if asked to, beside the best checkpoint and not in its place."""
        if self._should_save_on_exception(trainer):
            self._save_checkpoint(trainer, self.format_checkpoint_name({}, filename="exception"))

    # -- resuming ----------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return super().state_dict() | {"deferred": self._defer_save_until_validation}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint; files are looked for in this run's folder, then where they were."""
        before = state_dict.get("dirpath") or self.dirpath or ""
        paths = [*state_dict["best_k_models"], state_dict["best_model_path"]]
        here = {path: found for path in paths if (found := self._find(path, str(before)))}
        scores = {here[path]: score for path, score in state_dict["best_k_models"].items() if path in here}
        self._defer_save_until_validation = state_dict.get("deferred", False)
        if state_dict["best_model_path"] and state_dict["best_model_path"] not in here:
            _warn(f"The best checkpoint so far, {state_dict['best_model_path']}, is gone: a new one will be chosen.")
        if state_dict["best_model_path"] in here:
            kth = here.get(state_dict["kth_best_model_path"], "")
            best = here[state_dict["best_model_path"]]
            moved = {"best_k_models": scores, "kth_best_model_path": kth, "best_model_path": best}
            super().load_state_dict({**state_dict, **moved, "dirpath": self.dirpath})

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Takes over what Lightning's own class saved in a run of version 0.1, and paths without ``..`` in them.

        Lightning removes a checkpoint that is not among the best any more, unless it is elsewhere: ``folder/../file``
        would count as inside of the folder.
        """
        states = checkpoint.get("callbacks", {})
        states.update({name: _with_plain_paths(state) for name, state in states.items()})
        if self.state_key not in states:
            old = super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)
            states |= {self.state_key: states[old]} if old in states else {}

    def _find(self, path: str, folder: str) -> str:
        moved = os.path.normpath(os.path.join(str(self.dirpath), os.path.relpath(path, folder))) if path else ""
        return next((found for found in (moved, path) if found and os.path.isfile(found)), "")


def best_of(folder: Path) -> Path | None:
    """The best checkpoint of a run.

    Args:
        folder: Of the run.

    Returns:
        Null if there is none.

    Raises:
        UserError: If the one that the run remembers is not there any more.
    """
    record, usual = folder / "checkpoints" / _RECORD, folder / "checkpoints" / "best.ckpt"
    if not record.is_file():
        return usual if usual.is_file() else None
    try:
        path = Path(record.parent, json.loads(read_small_text(record))["path"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{record} is broken; name the checkpoint itself") from error
    if not path.is_file():
        newest = folder / "checkpoints" / "last.ckpt"
        raise UserError(f"{record}: the best checkpoint of this run was {path}, which is gone; name another: {newest}")
    return path


def _with_plain_paths(state: Any) -> Any:
    """The state of a callback; of a ``ModelCheckpoint``, with paths that are where they say they are."""
    if not isinstance(state, dict) or not isinstance(kept := state.get("best_k_models"), dict):
        return state
    paths = {key: value for key, value in state.items() if key.endswith("_path") and isinstance(value, str) and value}
    plain = {key: os.path.normpath(path) for key, path in paths.items() if "://" not in path}
    scores = {path if "://" in path else os.path.normpath(path): score for path, score in kept.items()}
    return {**state, **plain, "best_k_models": scores}


def _make(folder: Path) -> None:
    """Makes a folder, or says at once that nothing can be saved there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"checkpoint.dirpath: cannot make the folder {folder}: {error.strerror}") from error


def _path(folder: Any, name: str | None) -> str:
    return os.path.realpath(os.path.join(str(folder), str(name)))


def _relative(path: str, folder: Path) -> str:
    """What stays right when the run's folder is moved: relative within it, absolute elsewhere."""
    absolute, run = Path(path).resolve(), folder.parent.resolve()
    return os.path.relpath(absolute, folder.resolve()) if absolute.is_relative_to(run) else str(absolute)


def _write(path: Path, found: dict[str, Any]) -> None:
    write_whole(path, json.dumps(found, indent=2) + "\n")
