"""A number for each example."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from torch import Tensor
from torch.nn.functional import mse_loss
from torchmetrics import MetricCollection

from mtl_lightning.decoding import Decoder, NumberDecoder
from mtl_lightning.errors import UserError, hint_of_comma, shown
from mtl_lightning.raw_labels import Missing, no_label
from mtl_lightning.tasks.base import Task, full_precision
from mtl_lightning.tasks.in_words import in_numbers
from mtl_lightning.tasks.inheriting import fitting, output_layer
from mtl_lightning.tasks.number_metrics import number_metrics
from mtl_lightning.tasks.scoring import choose
from mtl_lightning.tasks.targets import LARGEST, ROUNDING, Spread, to_number
from mtl_lightning.tasks.taught import Reading, refuse_another_kind


class Regression(Task):
    """Regression of one number, by the squared error of the standardised target.

    Targets are standardised, ``(target - mean) / std``, in double precision where they are encoded. So all that follows
    has numbers around 0 to do with: no digit of targets far from 0 is lost, in whatever precision the model trains, and
    losses of tasks on different scales are comparable. Metrics and predictions are in the target's own unit again.

    Metrics: ``pearson`` (NaN where all targets are equal), ``spearman``, ``ccc`` (concordance), ``r2``,
    ``explained_variance``, ``rmse``, ``mse``, ``mae``; all but ``rmse``, ``mse`` and ``mae`` are better when higher.

    Args:
        mean: Of the target; null: the training split's.
        std: Standard deviation of the target; null: the training split's.
        main_metric: The metric that stands for the task; ``loss`` is one.
        dropout: Before the head.
        missing: Words or numbers that mean "no label" in the data, one or a list, say ``[NA, -999]``.
        metrics: What to report; null: ``pearson``, ``rmse`` and ``mae``. The main metric is always reported.
    """

    missing = math.nan
    lower_is_better = frozenset({"rmse", "mse", "mae"})
    usual_metrics: ClassVar[tuple[str, ...]] = ("pearson", "rmse", "mae")

    def __init__(
        self,
        mean: float | None = None,
        std: float | None = None,
        main_metric: str = "pearson",
        dropout: float = 0.1,
        missing: Missing = None,
        metrics: list[str] | None = None,
    ) -> None:
        super().__init__(main_metric, dropout, missing)
        self._metric_names = metrics
        if std is not None and not (std > 0 and math.isfinite(std)):
            raise UserError(f"`std` must be positive, found {std}")
        if mean is not None and not math.isfinite(mean):
            raise UserError(f"`mean` must be a number, found {mean}")
        self._take(mean, std)

    def adapt(self, values: Iterable[Any]) -> None:
        spread = Spread.of(value for value in values if not self.is_missing(value))
        self._take(spread.mean if self.mean is None else self.mean, spread.std if self.std is None else self.std)
        self._remarks = [*spread.notes, *self.unmet()]

    def _take(self, mean: float | None, std: float | None) -> None:
        self.mean, self.std = mean, std
        self.rounding = ROUNDING * abs(mean) / std if mean is not None and std is not None else 0.0

    def adapted(self) -> dict[str, Any]:
        return {} if self.mean is None or self.std is None else {"mean": self.mean, "std": self.std}

    def inherited(self, state: Mapping[str, Tensor], adapted: Mapping[str, Any]) -> tuple[dict[str, Tensor], str]:
        """All, scaled so that the predictions in the target's own unit stay what they were."""
        assert self.mean is not None and self.std is not None, "adapt() comes first"
        taken = fitting(state, self.state_dict())
        scale, shift = adapted["std"] / self.std, (adapted["mean"] - self.mean) / self.std
        for name in output_layer(self.head):
            if name in taken and (scale, shift) != (1.0, 0.0):
                offset = shift if name.endswith("bias") else 0.0
                taken[name] = (taken[name].double() * scale + offset).to(taken[name])
        return taken, "taken" if (scale, shift) == (1.0, 0.0) else "taken, scaled to the mean and spread of this data"

    def encode(self, value: Any) -> float:
        """The standardised target."""
        assert self.mean is not None and self.std is not None, "adapt() comes first"
        return math.nan if self.is_missing(value) else (self._read(value) - self.mean) / self.std

    def in_words(self, target: Tensor) -> str | None:
        """The number in its own unit."""
        assert self.mean is not None and self.std is not None, "adapt() comes first"
        numbers = target.double() * self.std + self.mean
        numbers[numbers.abs() < 1e-6 * self.std] = 0.0  # which rounding left of it
        return in_numbers(numbers, math.nan)

    def is_missing(self, value: Any) -> bool:
        """As of other tasks; but NaN is the result of a calculation that went wrong, unless ``missing`` names it."""
        return super().is_missing(value) and (value == value or "nan" in self.missing_words)

    def check(self, value: Any) -> None:
        if not self.is_missing(value):
            self._read(value)

    @property
    def num_outputs(self) -> int:
        return 1

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        present = ~targets.isnan()
        errors = mse_loss(full_precision(logits[:, 0]), full_precision(targets.nan_to_num()), reduction="none")
        return (errors * present).sum() / present.sum().clamp(min=1)

    def read_teacher(self, teacher: Any) -> Reading:
        """Its numbers in this task's unit: each has standardised the target by its own mean and spread."""
        refuse_another_kind(self, teacher)
        if any(type(task)._predict is not Regression._predict for task in (self, teacher)):
            raise UserError("a number that is predicted in a way of its own has no soft loss; give it one")
        assert self.mean is not None and self.std is not None, "adapt() comes first"
        scale, shift = teacher.std / self.std, (teacher.mean - self.mean) / self.std
        return lambda logits: full_precision(logits) * scale + shift

    def soft_loss(self, logits: Tensor, taught: Tensor, mask: Tensor | None, temperature: float) -> Tensor:
        """The squared error; numbers have no temperature."""
        return mse_loss(full_precision(logits), taught)

    def metrics(self) -> MetricCollection:
        assert self.std is not None, "adapt() comes first"
        chosen = choose(number_metrics(self.std), self.usual_metrics, self._metric_names, self.main_metric)
        return MetricCollection(dict(chosen), compute_groups=False)

    def update(self, metrics: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        present = ~targets.isnan()
        if present.any():
            metrics.update(self._predict(logits)[present], full_precision(targets[present]))

    def undefined(self, constant: float) -> set[str]:
        return {"pearson", "spearman", "ccc", "r2", "explained_variance"}

    def outputs(self, logits: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        return {"values": self._predict(logits)}

    def decoder(self) -> Decoder:
        assert self.mean is not None and self.std is not None, "adapt() comes first"
        return NumberDecoder(self.mean, self.std)

    def _predict(self, logits: Tensor) -> Tensor:
        """The standardised predictions [B]."""
        return full_precision(logits[:, 0])

    def _read(self, value: Any) -> float:
        """The number that a raw label is."""
        number = to_number(value)
        if number is None or not math.isfinite(number):
            hint = no_label([str(value)]) or hint_of_comma(value)
            raise UserError(f"expected a finite number, found {shown(value)}{hint}")
        if abs(number) > LARGEST:
            raise UserError(
                f"expected a number of at most {LARGEST:g} in size, found {shown(value)}; take its logarithm, or "
                f"another unit"
            )
        return number
