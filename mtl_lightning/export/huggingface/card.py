"""The model card of an export: what is known of the model, and how it is used."""

from collections.abc import Iterator, Mapping, Sequence

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from mtl_lightning.duration import duration
from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.export.huggingface.comparison import Comparison
from mtl_lightning.export.huggingface.facts import Facts, Metric
from mtl_lightning.export.huggingface.heads import Head
from mtl_lightning.export.huggingface.usage import usage

_MOST = 20  # label names that a table shows
_UNKNOWN = "unknown"


class Card:
    """A model card.

    Args:
        name: Of the model.
        where: What it is loaded by: a name on the hub, or a folder.
        encoder: Of the model.
        heads: By task.
        facts: What is known.
        needs_code: Whether it comes with code of its own.
        license: Its name; null: not known.
        comparison: What a comparison found; null: there is none.
    """

    def __init__(
        self,
        name: str,
        where: str,
        encoder: TransformerEncoder,
        heads: Mapping[str, Head],
        facts: Facts,
        needs_code: bool,
        license: str | None = None,
        comparison: Comparison | None = None,
    ) -> None:
        self.name, self.where, self.encoder, self.heads = name, where, encoder, heads
        self.facts, self.needs_code, self.license, self.comparison = facts, needs_code, license, comparison

    def made(self) -> ModelCard:
        """The card: metadata in YAML, and Markdown."""
        parts = [self._introduction(), self._use(), self._tasks(), self._results(), self._training(), self._limits()]
        text = "\n\n".join([*parts, self._versions()])
        return ModelCard(f"---\n{self._data().to_yaml()}\n---\n\n{text}\n")

    def _data(self) -> ModelCardData:
        (pipeline,) = {head.pipeline for head in self.heads.values()} if len(self.heads) == 1 else (None,)
        hub = {name: text.split(", ", 1)[1] for name, text in self.facts.datasets.items() if _is_hub(text)}
        return ModelCardData(
            model_name=self.name,
            library_name="transformers",
            license=self.license,
            pipeline_tag=pipeline,
            base_model=self.facts.base_model,
            datasets=[path.split(" (")[0] for path in hub.values()] or None,
            tags=["multi-task-learning", "mtl_lightning", *({"custom_code"} if self.needs_code else ())],
            eval_results=[self._result(metric) for metric in self.facts.metrics] or None,
        )

    def _result(self, metric: Metric) -> EvalResult:
        sources = self.facts.sources[metric.task]
        return EvalResult(
            task_type=self.heads[metric.task].pipeline or "token-classification",
            dataset_type=" ".join(sources) or _UNKNOWN,
            dataset_name=", ".join(sources) or _UNKNOWN,
            dataset_split=metric.split,
            metric_type=metric.name,
            metric_name=f"{metric.task}: {metric.shown}",
            metric_value=round(metric.value, 6),
        )

    def _introduction(self) -> str:
        kind, count = self.encoder.backbone.config.model_type, len(self.heads)
        head = "a head for one task" if count == 1 else f"a head for each of {count} tasks"
        base = self.facts.base_model
        began = f", which began from `{base}`" if base else ""
        return (
            f"# {self.name}\n\nA transformer (`{kind}`{began}) with {head}: {', '.join(self.heads)}. Trained with "
            f"mtl_lightning.\n\nLicence: {self.license or _UNKNOWN}."
        )

    def _use(self) -> str:
        return "## Use\n\n" + usage(self.where, self.heads, self.needs_code)

    def _tasks(self) -> str:
        def rows() -> Iterator[Sequence[str]]:
            for name, head in self.heads.items():
                shown = ", ".join(head.labels[:_MOST]) + (
                    f", … ({len(head.labels)})" if len(head.labels) > _MOST else ""
                )
                of = "a text" if head.level == "pooled" else f"the {self.encoder.processor.sub_word} sub-word of a word"
                number = head.problem == "regression"
                reads = ", ".join(self.facts.inputs[name]) or _UNKNOWN
                yield name, head.problem.replace("_", " "), of, reads, "a number, in its own unit" if number else shown

        return "## Tasks\n\n" + _table(("task", "problem", "output of", "trained on", "labels"), rows())

    def _results(self) -> str:
        metrics = [(m.task, m.shown + (" *" if m.main else ""), m.split, f"{m.value:.4f}") for m in self.facts.metrics]
        text = "## Results\n\nAs last measured when the checkpoint was written; * stands for the task.\n\n"
        text += _table(("task", "metric", "split", "value"), metrics) if metrics else f"Metrics: {_UNKNOWN}."
        return text if self.comparison is None else f"{text}\n\n{self._compared(self.comparison)}"

    def _compared(self, found: Comparison) -> str:
        def rows() -> Iterator[Sequence[str]]:
            for (task, metric), score in found.scores.items():
                if task in self.heads:
                    width = "" if score.half is None else f" ± {score.half:.4f}"
                    yield task, metric, f"{score.mean:.4f}{width}", str(score.runs)

        return (
            f"A comparison trained `{found.contestant}` several times. These are means over its runs on the "
            f"{found.split} split, with 95 % confidence intervals (Student's t):\n\n"
            + _table(("task", "metric", "mean", "runs"), rows())
        )

    def _training(self) -> str:
        known = dict(self.facts.training)
        if known["Training time"] is None and self.comparison is not None and self.comparison.seconds is not None:
            known["Training time"] = f"{duration(self.comparison.seconds)}, mean of the comparison's runs"
        data = [f"- Data set `{name}`: {text}" for name, text in self.facts.datasets.items()]
        rows = [f"- {what}: {value or _UNKNOWN}" for what, value in known.items()]
        return "## Training\n\n" + "\n".join([*(data or [f"- Data sets: {_UNKNOWN}"]), *rows])

    def _limits(self) -> str:
        processor = self.encoder.processor
        lines = [
            f"It reads up to {processor.max_length:,} tokens; what is longer is cut off.",
            "It was measured on data like that which it was trained on; on other data: unknown.",
            "Who is in the data, and what biases follow from it: unknown.",
        ]
        if any("tokens" in inputs for inputs in self.facts.inputs.values()):
            lines.append(f"Words of a text are those between {_BETWEEN[processor.plain.split]}, as in training.")
        if any(head.level == "tokens" for head in self.heads.values()):
            lines.append(f"Outputs at other sub-words than the {processor.sub_word} of a word were not trained.")
        if self.facts.training["Sharing"] != "HardSharing":
            lines.append("The features of this task were trained with other tasks, whose heads are not here.")
        return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)

    def _versions(self) -> str:
        return "## Versions\n\nWritten by " + ", ".join(f"{name} {v}" for name, v in self.facts.versions.items()) + "."


_BETWEEN = {"whitespace": "white space", "characters": "characters"}


def _is_hub(text: str) -> bool:
    return text.startswith("HubSource, ")


def _table(header: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """A text in a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
