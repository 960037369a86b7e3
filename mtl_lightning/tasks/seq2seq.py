"""A text that is written while another one is looked at."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics import MetricCollection

from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels import Missing
from mtl_lightning.tasks.as_configured import AsConfigured
from mtl_lightning.tasks.base import IGNORE, full_precision
from mtl_lightning.tasks.labelled import fill_missing
from mtl_lightning.tasks.losses import mean_cross_entropy
from mtl_lightning.tasks.scoring import Catalogue, choose
from mtl_lightning.tasks.text_decoder import TextDecoder
from mtl_lightning.tasks.token_scores import ExactMatch, TokenMean


class Seen(NamedTuple):
    """What the decoder looks at.

    Attributes:
        states: One vector a word [B, L, D].
        mask: True at those that are real [B, L].
    """

    states: Tensor
    mask: Tensor


class Seq2Seq(AsConfigured):
    """Writes a text from the words of another: the head is a transformer decoder that looks at the encoder's vectors.

    It works on any encoder of texts that has a vector a word (input ``tokens``), one that reads texts as a whole too.
    The label is the text to be written, in the tokens of the encoder's tokenizer, with an end; what is longer than
    ``max_target_length`` is cut at its end. The loss is the mean over these tokens of the cross entropy, each with the
    right tokens before it given. Predictions are greedy, ``{"text": …}``.

    Metrics: ``exact_match``, whether greedy decoding writes the text; ``token_accuracy`` and ``perplexity``, with the
    right tokens before each one given.

    Args:
        layers: Of the decoder.
        heads: Attention heads of each layer; they divide the encoder's width.
        max_target_length: Longest text that is written, in tokens.
        main_metric: The metric that stands for the task; ``loss`` is one.
        dropout: Of the vectors that the decoder looks at, and in its layers.
        missing: Words that mean "no label" in the data, one or a list.
        metrics: What to report; null: all.
    """

    level = "tokens"
    lower_is_better = frozenset({"perplexity"})
    beside_labels = AsConfigured.beside_labels | {"layers", "heads"}

    def __init__(
        self,
        layers: int = 2,
        heads: int = 4,
        max_target_length: int = 64,
        main_metric: str = "token_accuracy",
        dropout: float = 0.1,
        missing: Missing = None,
        metrics: list[str] | None = None,
    ) -> None:
        super().__init__(main_metric, dropout, missing)
        if min(layers, heads, max_target_length) < 1:
            raise UserError("`layers`, `heads` and `max_target_length` must be at least 1")
        self.layers, self.heads, self.max_target_length = layers, heads, max_target_length
        self._metric_names = metrics
        self._tokenizer: Any = None
        self._start = self._end = 0

    # -- labels ------------------------------------------------------------------------------------------------------
    def encode(self, value: Any) -> list[int]:
        """The tokens of the text and the end, or ``IGNORE`` alone."""
        self.check(value)
        if self.is_missing(value):
            return [IGNORE]
        found: list[int] = self._tokenizer(value, add_special_tokens=False, verbose=False)["input_ids"]
        return [*found, self._end][: self.max_target_length]

    def check(self, value: Any) -> None:
        if not self.is_missing(value) and not isinstance(value, str):
            raise UserError(f"expected a text to write, found {shown(value)}")

    def fit(self, target: list[int], example: Mapping[str, Any]) -> list[int]:
        return target

    def in_words(self, target: Tensor) -> str | None:
        """The text."""
        present = [token for token in target.tolist() if token != IGNORE]
        return str(self._tokenizer.decode(present)) if present else None

    # -- model -------------------------------------------------------------------------------------------------------
    @property
    def num_outputs(self) -> int:
        return len(self._tokenizer)

    def meet(self, encoder: Any) -> None:
        tokenizer = getattr(encoder.processor, "tokenizer", None)
        if tokenizer is None:
            raise UserError(f"{type(encoder).__name__} has no tokenizer to write with; choose TransformerEncoder")
        first = (tokenizer.bos_token_id, tokenizer.cls_token_id, tokenizer.eos_token_id)
        last = (tokenizer.eos_token_id, tokenizer.sep_token_id)
        starts, ends = ([each for each in ids if each is not None] for ids in (first, last))
        if not starts or not ends:
            raise UserError("the tokenizer has no token to start or end a text with; choose another")
        self._tokenizer, self._start, self._end = tokenizer, starts[0], ends[0]

    def build(self, features: int) -> None:
        self.check_metrics()
        if features % self.heads:
            raise UserError(f"`heads` is {self.heads}, which does not divide the {features} features of the encoder")
        longest, dropout = self.max_target_length, self.dropout.p
        self.head = TextDecoder(self.num_outputs, features, self.layers, self.heads, longest, dropout)

    def forward(self, features: Any) -> Any:
        """What the decoder looks at, :class:`Seen`; what it writes depends on the targets, too."""
        if features.tokens is None:
            raise UserError("Seq2Seq reads a vector a word, which this encoder or input lacks")
        return Seen(self.dropout(features.tokens), features.mask)

    def loss(self, logits: Any, targets: Tensor) -> Tensor:
        return mean_cross_entropy(self._given(logits, targets).flatten(0, 1), targets.flatten())

    def _given(self, seen: Any, targets: Tensor) -> Tensor:
        """Logits of the targets [B, T, V], each with those before it given."""
        written = torch.cat([targets.new_full((len(targets), 1), self._start), targets[:, :-1].clamp(min=0)], 1)
        return self._next(seen, written)

    def _next(self, seen: Any, written: Tensor) -> Tensor:
        assert self.head is not None, "build() comes first"
        states = seen[0].to(next(self.head.parameters()).dtype)
        logits: Tensor = self.head(written, states, seen[1])
        return logits

    # -- evaluation --------------------------------------------------------------------------------------------------
    def metrics(self) -> MetricCollection:
        catalogue: Catalogue = {
            "exact_match": ExactMatch,
            "token_accuracy": lambda: TokenMean("right"),
            "perplexity": lambda: TokenMean("losses"),
        }
        chosen = choose(catalogue, list(catalogue), self._metric_names, self.main_metric)
        return MetricCollection(dict(chosen), compute_groups=False)

    def update(self, metrics: MetricCollection, logits: Any, targets: Tensor) -> None:
        given = full_precision(self._given(logits, targets))
        losses = cross_entropy(given.transpose(1, 2), targets, ignore_index=IGNORE, reduction="none")
        metrics.update(losses, torch.eq(given.argmax(-1), targets).to(losses.dtype), torch.ne(targets, IGNORE))

    @torch.no_grad()
    def decode(self, logits: Any, mask: Tensor | None) -> list[dict[str, Any]]:
        written = torch.full_like(logits[1][:, :1], self._start, dtype=torch.int64)
        ended = torch.zeros_like(written, dtype=torch.bool)
        for _ in range(self.max_target_length):
            best = self._next(logits, written)[:, -1:].argmax(-1)
            written = torch.cat([written, torch.where(ended, self._end, best)], 1)
            ended |= torch.eq(best, self._end)
            if ended.all():
                break
        return [{"text": self._tokenizer.decode(_until(row, self._end))} for row in written[:, 1:].tolist()]

    def correct(self, logits: Any, targets: Tensor) -> Tensor:
        missing = torch.eq(targets, IGNORE)
        right = (torch.eq(self._given(logits, targets).argmax(-1), targets) | missing).all(1)
        return fill_missing(right, missing.all(1))


def _until(tokens: list[int], end: int) -> list[int]:
    return tokens[: tokens.index(end)] if end in tokens else tokens
