"""Answers to questions that stand in a context."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from mtl_lightning.decoding import AnswerDecoder, Decoder
from mtl_lightning.errors import UserError
from mtl_lightning.raw_labels import Missing
from mtl_lightning.tasks.answer_scorer import AnswerLogits, AnswerScorer
from mtl_lightning.tasks.answer_scores import exact_match, token_f1
from mtl_lightning.tasks.as_configured import AsConfigured
from mtl_lightning.tasks.base import IGNORE
from mtl_lightning.tasks.contracts import Features
from mtl_lightning.tasks.labelled import fill_missing
from mtl_lightning.tasks.raw_answers import Answer, answers_of, found_in
from mtl_lightning.tasks.scoring import choose
from mtl_lightning.tasks.soft_losses import mean_divergence
from mtl_lightning.tasks.taught import Reading, read_as_it_is
from mtl_lightning.tasks.text_scores import MeanOfTexts

NO_ANSWER = -1
"""Start and end of an answer that a question has not."""

_METRICS = {"exact_match": partial(MeanOfTexts, exact_match), "f1": partial(MeanOfTexts, token_f1)}


class SpanQuestionAnswering(AsConfigured):
    """Finds the answer to a question in a context, or that there is none.

    A data set maps columns to ``text``, the question, and ``context``. A context that is longer than the encoder reads
    at once comes in windows, over all of which probabilities are normalised (Clark and Gardner, "Simple and Effective
    Multi-Paragraph Reading Comprehension", ACL 2018, section 3). The loss is the negative log-likelihood of where an
    answer starts and of where it ends, half of each, in which all right answers count.

    A raw label is a list of answers ``{text, start}``, ``start`` being a character of the context, from 0; what SQuAD
    has, ``{text: […], answer_start: […]}``; or texts, which are looked for. An empty list says that there is no answer;
    None is a missing label.

    Metrics: ``exact_match`` and ``f1`` of words, as SQuAD's scripts count them, in [0, 1]; of several right answers the
    one counts that agrees most.

    A prediction has ``answer``, its ``probability``, and ``start`` and ``end`` in the context, in characters, the end
    exclusive; an empty answer and null say that there is none, whose probability ``no_answer`` is.

    Args:
        main_metric: The metric that stands for the task; ``loss`` is one.
        max_answer: Longest answer, in tokens.
        dropout: Before the head.
        missing: Words that mean "no label" in the data, one or a list.
        metrics: What to report; null: both. The main metric is always reported.
    """

    level = "tokens"
    by_sequence = True
    required_inputs = ("text", "context")
    beside_labels = AsConfigured.beside_labels | {"max_answer"}

    def __init__(
        self,
        main_metric: str = "f1",
        max_answer: int = 64,
        dropout: float = 0.1,
        missing: Missing = None,
        metrics: list[str] | None = None,
    ) -> None:
        super().__init__(main_metric, dropout, missing)
        if max_answer < 1:
            raise UserError(f"`max_answer` must be at least 1, found {max_answer}")
        self.max_answer = max_answer
        self._metric_names = metrics

    # -- labels ------------------------------------------------------------------------------------------------------
    def meet(self, encoder: Any) -> None:
        if "context" not in encoder.processor.inputs:
            raise UserError(f"SpanQuestionAnswering reads a context, of which {type(encoder).__name__} has none")

    def check(self, value: Any) -> None:
        self.encode(value)

    def encode(self, value: Any) -> list[Answer] | None:
        return None if self.is_missing(value) else answers_of(value)

    def fit(self, target: list[Answer] | None, example: Mapping[str, Any]) -> list[list[int]]:
        """Start and end of each answer [A, 2]; a single row of -1 where there is none, of ``IGNORE`` where missing."""
        if target is None:
            return [[int(self.missing)] * 2]
        context = "".join(map(chr, example["context"]))
        places = [list(found_in(answer, context)) for answer in target]
        for answer, place in zip(target, places, strict=True):
            _check_tokens(answer, place, example)
        return places or [[NO_ANSWER] * 2]

    def count(self, target: Sequence[Sequence[int]]) -> int:
        return int(target[0][0] != IGNORE)

    def in_words(self, target: Tensor) -> str | None:
        places = [place for place in target.tolist() if place[0] != IGNORE]
        words = [f"characters {start} to {end}" for start, end in places if start != NO_ANSWER]
        return ", ".join(words) or ("no answer" if places else None)

    def in_words_of(self, target: Tensor, given: Mapping[str, Tensor]) -> str | None:
        """The answers themselves, and where they stand."""
        places = [place for place in target.tolist() if place[0] >= 0]
        texts = ["".join(map(chr, given["context"][start:end].tolist())) for start, end in places]
        words = [f"{text!r} (characters {place[0]} to {place[1]})" for text, place in zip(texts, places, strict=True)]
        return ", ".join(words) or self.in_words(target)

    # -- model -------------------------------------------------------------------------------------------------------
    @property
    def num_outputs(self) -> int:
        return 2

    def build(self, features: int) -> None:
        super().build(features)
        self.head = AnswerScorer(features)

    def can_read(self, features: Features) -> bool:
        return super().can_read(features) and "context" in (features.given or {})

    def forward(self, features: Features) -> AnswerLogits:  # type: ignore[override]
        """Scores of all tokens of the context [B, N, L] in N windows, and of no answer [B]."""
        assert self.head is not None, "build() comes first"
        tokens, pooled, mask, given = features.tokens, features.pooled, features.mask, features.given
        if tokens is None or pooled is None or mask is None or given is None:
            raise UserError("SpanQuestionAnswering reads the tokens of a context, which this encoder or input lacks")
        index, present = given["sequences"].clamp(min=0), given["sequences"] >= 0
        starts, ends, none = self.head(self.dropout(tokens), self.dropout(pooled), mask, present)
        return AnswerLogits(
            starts, ends, none, given["char_starts"][index], given["char_ends"][index], given["context"]
        )

    def loss(self, logits: AnswerLogits, targets: Tensor) -> Tensor:  # type: ignore[override]
        present = torch.ne(targets[:, 0, 0], IGNORE)
        losses = torch.stack([self._side(logits, targets, side) for side in (0, 1)]).mean(0)
        return losses.masked_fill(~present, 0).sum() / present.sum().clamp(min=1)

    def _side(self, logits: AnswerLogits, targets: Tensor, side: int) -> Tensor:
        """Negative log-likelihood of where right answers start, or end [B]."""
        places = targets[:, None, None, :, side] + (0 if side == 0 else -1)  # the last character, not the one behind
        inside = (logits.char_starts.unsqueeze(-1) <= places) & (places < logits.char_ends.unsqueeze(-1))
        right = (inside & (targets[:, None, None, :, 0] >= 0)).any(-1).flatten(1)
        none = torch.eq(targets[:, 0, :1], NO_ANSWER)
        logs = logits.logs(logits[side])
        return -logs.masked_fill(~torch.cat([right, none], 1), torch.finfo(logs.dtype).min).logsumexp(1)

    def read_teacher(self, teacher: Any) -> Reading:
        return read_as_it_is(self, teacher)

    def soft_loss(self, logits: AnswerLogits, taught: AnswerLogits, mask: Tensor | None, temperature: float) -> Tensor:
        """Of where an answer starts, over all windows, and of where it ends, half of each."""
        pairs = ((logits.logs(logits[side]), taught.logs(taught[side])) for side in (0, 1))
        return torch.stack([mean_divergence(*pair, temperature) for pair in pairs]).mean()

    def num_places(self, target: Any) -> int:
        """1: an example has one question."""
        return 1

    # -- evaluation --------------------------------------------------------------------------------------------------
    def metrics(self) -> MetricCollection:
        chosen = choose(_METRICS, list(_METRICS), self._metric_names, self.main_metric)
        return MetricCollection(dict(chosen), compute_groups=False)

    def update(self, metrics: MetricCollection, logits: AnswerLogits, targets: Tensor) -> None:  # type: ignore[override]
        answers, right = self._answers(logits, targets)
        metrics.update([a for a, each in zip(answers, right, strict=True) if each], [each for each in right if each])

    def correct(self, logits: AnswerLogits, targets: Tensor) -> Tensor:  # type: ignore[override]
        pairs = zip(*self._answers(logits, targets), strict=True)
        found = [max((exact_match(answer, each) for each in right), default=0.0) for answer, right in pairs]
        return fill_missing(logits.none.new_tensor(found) > 0, torch.eq(targets[:, 0, 0], IGNORE))

    def _answers(self, logits: AnswerLogits, targets: Tensor) -> tuple[list[str], list[list[str]]]:
        """The answer to each question, and the right ones; none where the label is missing."""
        answers = [row["answer"] for row in self.decode(logits, None)]
        contexts = ["".join(map(chr, codes)) for codes in logits.context.tolist()]
        right = [
            [context[max(start, 0) : max(end, 0)] for start, end in rows if start != IGNORE]
            for context, rows in zip(contexts, targets.tolist(), strict=True)
        ]
        return answers, right

    def decoder(self) -> Decoder:
        return AnswerDecoder(self.max_answer)


def _check_tokens(answer: Answer, place: Sequence[int], example: Mapping[str, Any]) -> None:
    """Raises :class:`UserError` if the tokenizer makes no token of where an answer begins or ends."""
    tokens = [
        *zip(
            [start for window in example["char_starts"] for start in window],
            [end for window in example["char_ends"] for end in window],
            strict=True,
        )
    ]
    for character in (place[0], place[1] - 1):
        if not any(start <= character < end for start, end in tokens):
            raise UserError(
                f"the answer {answer.text!r} begins or ends at character {character} of the context, of which the "
                "tokenizer makes no token"
            )
