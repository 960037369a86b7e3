"""Lightning's Trainer, which also reports what it found."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
from datasets import Dataset
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.callbacks.careful_loggers import left_out
from mtl_lightning.checkpoints import BestCheckpoint
from mtl_lightning.cli.by_preference import by_preference, check_preferences, shown_preference
from mtl_lightning.cli.closing_split import ClosingSplit
from mtl_lightning.cli.ending import noted
from mtl_lightning.cli.loggers import sync_command
from mtl_lightning.cli.outputs import check_output
from mtl_lightning.cli.prediction_writer import PredictionWriter
from mtl_lightning.cli.report import print_results, write_json
from mtl_lightning.cli.run_log import RunLog
from mtl_lightning.data import DataSource, MultiTaskDataModule
from mtl_lightning.data.sources.prediction import read_inputs, widest_first
from mtl_lightning.errors import UserError
from mtl_lightning.names import names_asked
from mtl_lightning.stopping import SIGNALS
from mtl_lightning.terminal import quoted_path, say
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.writing import Place

__all__ = ["Trainer"]


class Trainer(pl.Trainer):
    """A Trainer whose methods print tables and write files; see Lightning's for its arguments."""

    def fit(  # type: ignore[override]
        self,
        model: MultiTaskModule,
        datamodule: MultiTaskDataModule,
        ckpt_path: str | None = None,
        init_from: str | None = None,
        evaluate: Literal["val", "test", "none"] = "val",
        preferences: list[dict[str, float]] | None = None,
        json: str | None = None,
    ) -> None:
        """Trains, evaluates the best checkpoint, and says where the run's files are.

        Args:
            model: What to train.
            datamodule: Its data.
            ckpt_path: Checkpoint to resume from: a file, a run's folder, or ``last``; ``auto``: that of this run's own
                folder, if there is one yet.
            init_from: Checkpoint of a trained model, or the folder of its run, whose encoder and heads (those whose
                labels fit) a new run starts from; no effect on a run that is resumed.
            evaluate: Split on which to evaluate the best checkpoint at the end.
            preferences: Between the tasks, each in any unit, at which that checkpoint is evaluated once more; the
                sharing must take some, as ``PreferenceFiLM`` does.
            json: File for the metrics of that evaluation.
        """
        self._check_json(json)
        check_preferences(model, preferences or [], evaluate)
        if init_from is not None and ckpt_path is None:
            model.start_from(init_from)
        if ckpt_path is not None:
            model.goes_on_from = Path(ckpt_path)
        if evaluate == "test":
            self.callbacks.append(ClosingSplit())  # type: ignore[attr-defined]
        place = Place(self.default_root_dir)
        with _noted("", json):
            super().fit(model, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=True)
        path = "" if self.best_checkpoint is None else self.best_checkpoint.best_file
        if evaluate != "none":
            evaluation = super().validate if evaluate == "val" else super().test
            quiet = nullcontext() if evaluate == "test" else without_loggers(self)
            of = partial(evaluation, model, datamodule, ckpt_path=path or None, verbose=False, weights_only=True)
            with _noted("training is complete, the evaluation is not", json):
                with quiet:
                    of()
                found = model.results.get(evaluate)
                with without_loggers(self):
                    asked = by_preference(model, (preferences or []) if found else [], evaluate, of)
            if found is not None:
                model.results[evaluate] = replace(found, by_preference=asked)
            title = f"{evaluated(self.best_checkpoint)} on the {_SPLITS[evaluate]} split"
            self._report(model, evaluate, title, json, per_label=evaluate == "test")
        if self.is_global_zero and Path(self.default_root_dir, "config.yaml").is_file():
            _print_files(Path(self.default_root_dir), path)
        place.check("its checkpoints and its log are gone, or incomplete")
        for logger in self.loggers:
            if isinstance(logger, RunLog) and logger.problem is not None:
                raise logger.problem

    @property
    def loggers(self) -> list[Logger]:
        """Those that have not failed."""
        return [logger for logger in self._loggers if not left_out(logger)]

    @loggers.setter
    def loggers(self, loggers: list[Logger] | None) -> None:
        self._loggers = loggers or []

    @property
    def best_checkpoint(self) -> BestCheckpoint | None:
        """What ``--checkpoint`` configures, whatever other checkpoint callbacks there are."""
        return next((c for c in self.checkpoint_callbacks if isinstance(c, BestCheckpoint)), None)

    def validate(  # type: ignore[override]
        self,
        model: MultiTaskModule,
        datamodule: MultiTaskDataModule,
        ckpt_path: str | None = None,
        json: str | None = None,
    ) -> None:
        """Evaluates on the validation split.

        Args:
            model: What to evaluate.
            datamodule: Its data.
            ckpt_path: Checkpoint to evaluate: a file, a run's folder, or ``best``.
            json: File for the metrics.
        """
        self._check_json(json)
        with _noted("the evaluation is not complete", json):
            super().validate(model, datamodule=datamodule, ckpt_path=ckpt_path, verbose=False, weights_only=True)
        self._report(model, "val", "Validation split", json, per_label=True)

    def test(  # type: ignore[override]
        self,
        model: MultiTaskModule,
        datamodule: MultiTaskDataModule,
        ckpt_path: str | None = None,
        json: str | None = None,
    ) -> None:
        """Evaluates on the test split.

        Args:
            model: What to evaluate.
            datamodule: Its data.
            ckpt_path: Checkpoint to evaluate: a file, a run's folder, or ``best``.
            json: File for the metrics.
        """
        self._check_json(json)
        with _noted("the evaluation is not complete", json):
            super().test(model, datamodule=datamodule, ckpt_path=ckpt_path, verbose=False, weights_only=True)
        self._report(model, "test", "Test split", json, per_label=True)

    def predict(  # type: ignore[override]
        self,
        model: MultiTaskModule,
        datamodule: MultiTaskDataModule,
        ckpt_path: str | None = None,
        input: str = "-",
        output: str = "-",
        tasks: str | list[str] | None = None,
        images: str | None = None,
    ) -> None:
        """Writes one JSON line for each input, in their order, with the predictions of all heads or some.

        An input that cannot be predicted on (an empty line, a damaged row) has ``null`` there, and says why in
        ``reason``.

        Args:
            model: What predicts.
            datamodule: Knows which columns the inputs are in.
            ckpt_path: Checkpoint to predict with: a file, a run's folder, or ``best``.
            input: File of inputs: texts, one a line, or a table; ``-`` reads texts from standard input.
            output: File of predictions; ``-`` is standard output.
            tasks: Names of the tasks to predict, separated by commas; nothing is computed that the others alone need.
                Null: all that the inputs suffice for.
            images: Folder for predictions that are images (masks, depth, normals), as PNG files; the lines name them.
                Null: their numbers stand in the lines.
        """
        model.asked = None if tasks is None else names_asked("--tasks", tasks, model.tasks)
        if Path(output).is_file() and Path(input).is_file() and Path(input).samefile(output):
            raise UserError(f"--output: {output} is the input, which would be overwritten; name another file")
        first = getattr(rank_zero_only, "rank", 0) == 0
        if first and output != "-":
            check_output(output)
        if first or input != "-":
            datamodule.predict_source = read_inputs(input, _in_order_of(model.asked, datamodule.datasets), model.asked)
        self.callbacks.append(PredictionWriter(output, input == "-", images))  # type: ignore[attr-defined]
        super().predict(model, datamodule=datamodule, ckpt_path=ckpt_path, return_predictions=False, weights_only=True)
        if self.is_global_zero and datamodule.predict_source is not None:
            _check_any(datamodule.predict_source[1], datamodule.refused)

    def _report(
        self, model: MultiTaskModule, split: str, title: str, json: str | None, per_label: bool = False
    ) -> None:
        if split not in model.results:
            no_json = "" if json is None else f", and {json} is not written"
            _warn(f"trainer.limit_{split}_batches is 0: nothing is evaluated{no_json}")
            return
        with SIGNALS.deferred("Stopping once the results are written"):
            if self.is_global_zero:
                try:
                    if json is not None:
                        write_json(model.results[split], json)
                finally:
                    print_results(model.results[split], model.tasks, title, per_label)
                    for preference, results in model.results[split].by_preference:
                        print_results(results, model.tasks, f"{title}, preferring {shown_preference(preference)}")

    def _check_json(self, path: str | None) -> None:
        if path is not None and self.is_global_zero:
            check_output(path, "--json")


@contextmanager
def without_loggers(trainer: pl.Trainer) -> Iterator[None]:
    """Evaluates again without a further point on the curves of the validations during training."""
    loggers, trainer.loggers = trainer.loggers, []
    try:
        yield
    finally:
        trainer.loggers = loggers


def _noted(what: str, json: str | None) -> AbstractContextManager[None]:
    """Notes what is not done, if the command is asked to stop within."""
    return noted("; ".join(filter(None, [what, "" if json is None else f"{json} is not written"])))


def _in_order_of(asked: Sequence[str] | None, datasets: Mapping[str, DataSource]) -> dict[str, DataSource]:
    """The data sets, as the first of which inputs are read whose columns they have: those that label the tasks asked
    for, in the order of these, and of two the one with all inputs of the other and more.
    """
    tasks = asked or ()

    def place(item: tuple[str, DataSource]) -> int:
        return next((number for number, task in enumerate(tasks) if task in item[1].labels), len(tasks))

    return dict(sorted(widest_first(datasets).items(), key=place))


def _check_any(table: Dataset, refused: Mapping[int, str]) -> None:
    if len(refused) == len(table):
        raise UserError(
            f"--input: of {len(table):,} inputs none can be predicted on; the output says why; the first: {refused[0]}"
        )


_warn = rank_zero_only(logging.getLogger(__name__).warning)
_SPLITS = {"val": "validation", "test": "test"}


def evaluated(checkpoint: BestCheckpoint | None) -> str:
    """What is evaluated at the end of a run; where that is not the best checkpoint, a warning says why."""
    if checkpoint is None or checkpoint.save_top_k == 0:
        return "Model at the end of training"
    if not checkpoint.best_model_path:
        _warn(f"This run has no best checkpoint: {checkpoint.monitor} was never measured.")
        return "Model at the end of training"
    if not checkpoint.best_file:
        _warn(f"The best checkpoint, {checkpoint.best_model_path}, is gone: the last model is evaluated.")
        return "Model at the end of training"
    if checkpoint.monitor is None:
        return "Newest checkpoint"
    if not isfinite(checkpoint.score or 0.0):
        _warn(f"This run has no best checkpoint: {checkpoint.monitor} was never a finite number.")
        return "First checkpoint"
    return "Best checkpoint"


def _print_files(run_dir: Path, best: str) -> None:
    lines = [f"Files of this run: {run_dir}", f"  configuration  {run_dir / 'config.yaml'}"]
    lines.append(f"  log            {run_dir / 'metrics.csv'}")
    if best:
        lines += [f"  best           {best}", f"Test it: mtl-lightning test --ckpt_path {quoted_path(best)}"]
    if command := sync_command(run_dir):
        lines.append(f"Upload to Weights & Biases: {command}")
    say("\n".join(lines))
