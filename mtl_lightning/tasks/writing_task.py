"""What tasks that write texts have in common."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from torch import Tensor
from torchmetrics import Metric, MetricCollection

from mtl_lightning.raw_labels import Missing
from mtl_lightning.tasks.as_configured import AsConfigured
from mtl_lightning.tasks.scoring import choose
from mtl_lightning.tasks.text_scores import TEXT_METRICS, TextScore, feed, named


class Written(NamedTuple):
    """What a task writes for an example.

    Attributes:
        text: That.
        references: The texts that would be right.
        prompt: What it is written for.
    """

    text: str
    references: Sequence[str]
    prompt: str


class WritingTask(AsConfigured):
    """A task whose predictions are texts, and which is also evaluated by what it writes.

    Args:
        main_metric: See :class:`Task`.
        dropout: See there.
        missing: See there.
        metrics: Names of the metrics to report; null: those of tokens.
        own_metrics: Metrics of written texts besides, see :func:`.text_scores.named`.

    Attributes:
        of_tokens: What makes each metric of tokens, with the right ones before them given, by name.
    """

    level: Literal["pooled", "tokens", "maps"] = "tokens"
    needs_torch = "writes a text token by token, which needs torch"
    lower_is_better = frozenset({"perplexity"})
    of_tokens: Mapping[str, Callable[[], Metric]]

    def __init__(
        self,
        main_metric: str,
        dropout: float,
        missing: Missing,
        metrics: Sequence[str] | None,
        own_metrics: Sequence[TextScore | Metric] | None,
    ) -> None:
        super().__init__(main_metric, dropout, missing)
        names = list(self.of_tokens) if metrics is None else list(metrics)
        self._own = named(own_metrics or (), {**TEXT_METRICS, **self.of_tokens})
        self._metric_names = [*names, *self._own]

    @property
    def higher_is_better(self) -> bool:
        own = self._own.get(self.main_metric)
        return super().higher_is_better if own is None else own.higher_is_better is not False

    def metrics(self) -> MetricCollection:
        own = {name: metric.clone for name, metric in self._own.items()}
        catalogue = {**TEXT_METRICS, **self.of_tokens, **own}
        chosen = choose(catalogue, (), self._metric_names, self.main_metric)
        return MetricCollection(dict(chosen), compute_groups=False)

    @property
    def reports_texts(self) -> bool:
        """Whether a metric is of what the task writes."""
        return not {self.main_metric, *self._metric_names} <= {*self.of_tokens, "loss"}

    @abstractmethod
    def texts(self, logits: Any, targets: Tensor) -> list[Written]:
        """What is written for each example that has a label.

        Args:
            logits: What ``forward`` returned.
            targets: Labels [B, T].
        """

    def _feed_texts(self, metrics: MetricCollection, texts: Sequence[Written]) -> None:
        """Updates the metrics of texts with those of a batch."""
        if texts:
            written, references, prompts = map(list, zip(*texts, strict=True))
            for name, metric in metrics.items():
                if name not in self.of_tokens:
                    feed(metric, written, references, prompts)
