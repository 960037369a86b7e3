"""One of several texts for each example: the answer to a question, the end of a story."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from mtl_lightning.decoding import ChoiceDecoder
from mtl_lightning.errors import UserError, did_you_mean, shown
from mtl_lightning.raw_labels import Missing, no_label
from mtl_lightning.tasks.base import IGNORE, full_precision
from mtl_lightning.tasks.labelled import fill_missing
from mtl_lightning.tasks.losses import check_fraction
from mtl_lightning.tasks.ranking_metrics import RankingScore, reciprocal_rank, top_is_right
from mtl_lightning.tasks.scored_sequences import ScoredSequences
from mtl_lightning.tasks.scoring import choose
from mtl_lightning.tasks.targets import to_number


class MultipleChoice(ScoredSequences):
    """Chooses one of an example's ``choices``, by cross entropy over their scores.

    The encoder reads each choice, behind the question in ``text`` where there is one, and the head scores it; so there
    may be any number, at least two, and as many as an example has. A label is the number of the right choice, or its
    text beside the choices (``labels: {answer: [answer, choices]}``).

    Metrics: ``accuracy``; ``mrr``, the mean of 1 / the place of the right choice.

    A prediction has the ``label`` of the best choice, as the data calls it, its ``text`` and ``probability``, and the
    ``probabilities`` of all choices.

    Args:
        first: What the first choice is called in the data: 0, 1, or a letter, say ``A``; the others follow it.
        main_metric: The metric that stands for the task; ``loss`` is one.
        dropout: Before the head.
        label_smoothing: See torch's cross entropy; over the choices that there are.
        missing: Words or numbers that mean "no label" in the data, one or a list, say ``-1``.
        metrics: What to report; null: ``accuracy``. The main metric is always reported.
    """

    beside_labels = ScoredSequences.beside_labels | {"label_smoothing"}

    def __init__(
        self,
        first: int | str = 0,
        main_metric: str = "accuracy",
        dropout: float = 0.1,
        label_smoothing: float = 0.0,
        missing: Missing = None,
        metrics: list[str] | None = None,
    ) -> None:
        super().__init__(main_metric, dropout, missing)
        if not (isinstance(first, int) or (len(first) == 1 and first.isalpha())):
            raise UserError(f"`first` must be a number or a letter, found {shown(first)}")
        check_fraction("label_smoothing", label_smoothing)
        self.first = first
        self.label_smoothing = label_smoothing
        self._metric_names = metrics

    # -- labels ------------------------------------------------------------------------------------------------------
    def adapted(self) -> dict[str, Any]:
        return {"first": self.first}

    def encode(self, value: Any) -> int:
        """The place of the right choice, from 0 on."""
        if isinstance(value, tuple):
            return IGNORE if self.is_missing(value[0]) else _place_of(*value)
        return IGNORE if self.is_missing(value) else self._place(value)

    def _place(self, value: Any) -> int:
        if isinstance(self.first, str):
            name = str(value).strip()
            place = ord(name) - ord(self.first) if len(name) == 1 else -1
        else:
            number = None if isinstance(value, bool) else to_number(value)
            place = int(number) - self.first if number is not None and number % 1 == 0 else -1
        if place < 0:
            raise UserError(
                f"expected the number of a choice, where the first is {self.first} (`first`), found {shown(value)}; "
                f"if labels are the texts of choices, name the column of these too, `[answer, choices]`"
                f"{no_label([str(value)])}"
            )
        return place

    def fit(self, target: int, example: Mapping[str, Any]) -> int:
        number = example["num_sequences"]
        if target == IGNORE:
            return target
        if number < 2:
            raise UserError("there is a single choice; give at least two, or no label")
        if target >= number:
            raise UserError(
                f"the label is {self.name_at(target)}, but the {number} choices are {self.name_at(0)} to "
                f"{self.name_at(number - 1)}; if the first one is not {self.first}, set `first`"
            )
        return target

    def name_at(self, place: int) -> int | str:
        """What the data calls the choice at a place."""
        return self.decoder().name_at(place)

    def in_words(self, target: Tensor) -> str | None:
        """What the data calls the right choice, with its number among those shown, from 1, where that is another."""
        place = int(target)
        name = str(self.name_at(max(place, 0)))
        return None if place == IGNORE else name if name == str(place + 1) else f"{name} (choice {place + 1})"

    # -- model and evaluation ----------------------------------------------------------------------------------------
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        present = torch.ne(targets, IGNORE)
        logs = full_precision(logits).log_softmax(1)
        losses = -logs.gather(1, targets.clamp(min=0).unsqueeze(1)).squeeze(1)
        if self.label_smoothing:
            there = ~logits.isneginf()
            mean = -logs.masked_fill(~there, 0).sum(1) / there.sum(1)
            losses = (1 - self.label_smoothing) * losses + self.label_smoothing * mean
        return losses.masked_fill(~present, 0).sum() / present.sum().clamp(min=1)

    def metrics(self) -> MetricCollection:
        catalogue = {"accuracy": lambda: RankingScore(top_is_right), "mrr": lambda: RankingScore(reciprocal_rank)}
        chosen = choose(catalogue, ["accuracy"], self._metric_names, self.main_metric)
        return MetricCollection(dict(chosen), compute_groups=False)

    def update(self, metrics: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        present = torch.ne(targets, IGNORE)
        scores, places = full_precision(logits[present]), targets[present].unsqueeze(1)
        right = torch.zeros_like(scores).scatter(1, places, 1.0)
        metrics.update(scores, right.masked_fill(scores.isneginf(), torch.nan))

    def correct(self, logits: Tensor, targets: Tensor) -> Tensor:
        return fill_missing(logits.argmax(1) == targets, torch.eq(targets, IGNORE))

    def decoder(self) -> ChoiceDecoder:
        return ChoiceDecoder(self.first)


def _place_of(answer: Any, *choices: Any) -> int:
    """The place of the choice that is the answer.

    Args:
        answer: A text.
        choices: A list of texts, or texts.
    """
    texts = list(choices[0]) if len(choices) == 1 and isinstance(choices[0], list | tuple) else list(choices)
    named = {place: text.strip() for place, text in enumerate(texts) if isinstance(text, str) and text.strip()}
    places = [place for place, text in named.items() if text == str(answer).strip()]
    if len(places) == 1:
        return places[0]
    if places:
        raise UserError(f"{shown(answer)} is choice {places[0] + 1} and {places[1] + 1}; take one of them out")
    raise UserError(f"{shown(answer)} is none of the {len(named)} choices; {did_you_mean(str(answer), named.values())}")
