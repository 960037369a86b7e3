"""A text that is written while another one is looked at."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics import Metric, MetricCollection

from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels import Missing
from mtl_lightning.tasks.base import IGNORE, full_precision
from mtl_lightning.tasks.contracts import Features
from mtl_lightning.tasks.labelled import fill_missing
from mtl_lightning.tasks.losses import mean_cross_entropy
from mtl_lightning.tasks.references import apart, check_references, number_learnt, references_in
from mtl_lightning.tasks.text_scores import TextScore, exact_match
from mtl_lightning.tasks.text_writer import NewDecoder, Seen, TextWriter
from mtl_lightning.tasks.token_scores import ExactMatch, TokenMean
from mtl_lightning.tasks.writing_task import WritingTask, Written


class Told(NamedTuple):
    """What a decoder makes in an evaluation.

    Attributes:
        seen: What it looks at.
        given: Logits of the text to learn [B, T, V], each with the right tokens before it given.
        written: Tokens that it writes by itself [B, M]; null: nobody asks for them.
    """

    seen: Seen
    given: Tensor
    written: Tensor | None


class Seq2Seq(WritingTask):
    """Writes a text from another one: a decoder that looks at what the encoder has made of it.

    The label is the text to be written, or a list of all that would be right: the first one is learnt, and what is
    written is compared with each. The loss is the mean over its tokens and an end of the cross entropy, each with the
    right tokens before it given; what is longer than ``max_target_length`` is cut at its end. Predictions are
    ``{"text": …}``.

    Which decoder it is depends on the encoder's model. An encoder-decoder model, such as T5 or BART, writes with the
    decoder and the output layer that it has, from any ``text`` or ``tokens``. All such tasks share them, as T5's do
    (Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", JMLR 21, 2020):
    they are part of the encoder, and count as shared parameters. What tells such tasks apart is the text that the
    decoder starts with, ``prefix``, as the task tokens of Whisper do (Radford et al., "Robust Speech Recognition via
    Large-Scale Weak Supervision", ICML 2023, section 2.3), so that one pass of the encoder serves all of them. On any
    other encoder of words, the task's head is a small transformer decoder that is trained from scratch, looks at the
    vectors of ``tokens``, and writes the most probable token each time.

    Metrics: ``token_accuracy`` and ``perplexity``, with the right tokens before each one given. Of what is written:
    ``exact_match``, ``rouge_l`` and ``bleu`` (corpus BLEU-4, as ``sacrebleu`` counts it; ``bleu_zh`` and ``bleu_char``
    by its tokenizers ``zh`` and ``char``), in [0, 1]. They take much longer, since each text of the split is written;
    but whether a new decoder would write the only text that is right is known without.

    Args:
        layers: Of a new decoder; null: 2.
        heads: Attention heads of each of them, which divide the encoder's width; null: 4.
        max_target_length: Longest text that is written, in tokens.
        main_metric: The metric that stands for the task; ``loss`` is one.
        dropout: Of the vectors that a new decoder looks at, and in its layers; null: 0.1.
        missing: Words that mean "no label" in the data, one or a list.
        metrics: What to report; null: what is known without writing. The main metric is always reported.
        decoder: ``pretrained``, the model's own, or ``new``; null: the model's own where it has one.
        generation: How the model's own decoder writes: options of ``transformers.GenerationConfig``, such as
            ``{num_beams: 4}``; by default the most probable token each time.
        prefix: Text that the model's own decoder starts with, such as ``"title: "``; it is not learnt. Tasks that the
            same decoder writes from the same inputs need one each.
        own_metrics: Metrics of your own of what is written, as of :class:`.CausalLM`.
    """

    of_tokens: Mapping[str, Callable[[], Metric]] = MappingProxyType(
        {"token_accuracy": partial(TokenMean, "right"), "perplexity": partial(TokenMean, "losses")}
    )
    beside_labels = WritingTask.beside_labels | {"layers", "heads", "generation", "prefix", "begins_with"}

    def __init__(
        self,
        layers: int | None = None,
        heads: int | None = None,
        max_target_length: int = 64,
        main_metric: str = "token_accuracy",
        dropout: float | None = None,
        missing: Missing = None,
        metrics: list[str] | None = None,
        decoder: Literal["pretrained", "new"] | None = None,
        generation: dict[str, Any] | None = None,
        own_metrics: list[TextScore | Metric] | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(main_metric, 0.1 if dropout is None else dropout, missing, metrics, own_metrics)
        if any(number is not None and number < 1 for number in (layers, heads, max_target_length)):
            raise UserError("`layers`, `heads` and `max_target_length` must be at least 1")
        self.layers, self.heads, self.max_target_length = layers, heads, max_target_length
        self.generation = generation
        self.prefix = prefix
        self._chosen = decoder
        self._of_new = {"layers": layers, "heads": heads, "dropout": dropout}
        self._reports_all = metrics is None
        self._writer: TextWriter | None = None

    # -- labels ------------------------------------------------------------------------------------------------------
    def encode(self, value: Any) -> list[int]:
        """The tokens of the text and the end, and those of all that would be right; or ``IGNORE`` alone."""
        self.check(value)
        if self.is_missing(value):
            return [IGNORE]
        several = list(map(self.writer.encode, value)) if isinstance(value, list) else []
        first = (several[0] if several else self.writer.encode(value))[: self.max_target_length]
        return apart(first, several, self.max_target_length) if len(several) > 1 else first

    def check(self, value: Any) -> None:
        if isinstance(value, list):
            check_references(value)
        elif not self.is_missing(value) and not isinstance(value, str):
            raise UserError(f"expected a text to write, found {shown(value)}")

    def fit(self, target: list[int], example: Mapping[str, Any]) -> list[int]:
        return target

    def count(self, target: Any) -> int:
        return number_learnt(target)

    def in_words(self, target: Tensor) -> str | None:
        """The tokens of the text that is learnt."""
        present = target[: number_learnt(target.tolist())].tolist()
        return self.writer.shown(present) if present else None

    # -- model -------------------------------------------------------------------------------------------------------
    @property
    def writer(self) -> TextWriter:
        """What writes; there is one once ``meet`` was called."""
        assert self._writer is not None, "meet() comes first"
        return self._writer

    @property
    def num_outputs(self) -> int:
        return self.writer.num_tokens

    def meet(self, encoder: Any) -> None:
        has_decoder = getattr(encoder, "has_decoder", False)
        self.uses_encoder = has_decoder if self._chosen is None else self._chosen == "pretrained"
        self.level = "pooled" if self.uses_encoder else "tokens"
        self.required_inputs = ("text|tokens",) if self.uses_encoder else ()
        self.begins_with = self.prefix or "" if self.uses_encoder else None
        self._writer = self._pretrained(encoder) if self.uses_encoder else self._new(encoder)

    def _pretrained(self, encoder: Any) -> TextWriter:
        """The decoder of the model."""
        if not hasattr(encoder, "own_decoder"):
            raise UserError(f"{type(encoder).__name__} has no decoder; choose TransformerEncoder, or `decoder: new`")
        if given := [name for name, value in self._of_new.items() if value is not None]:
            raise UserError(f"`{given[0]}` is one of a new decoder; leave it out, or choose `decoder: new`")
        options = {"max_new_tokens": self.max_target_length, **(self.generation or {})}
        writer: TextWriter = encoder.own_decoder(options, self.prefix or "")
        if self.max_target_length > writer.num_positions:
            raise UserError(
                f"`max_target_length` is {self.max_target_length:,}, but the model's decoder has positions for "
                f"{writer.num_positions:,} tokens"
            )
        return writer

    def _new(self, encoder: Any) -> TextWriter:
        """A decoder of the task's own."""
        tokenizer = getattr(encoder.processor, "tokenizer", None)
        if tokenizer is None:
            raise UserError(f"{type(encoder).__name__} has no tokenizer to write with; choose TransformerEncoder")
        if self.generation is not None:
            raise UserError("`generation` says how the model's own decoder writes; leave it out of a new decoder")
        if self.prefix is not None:
            raise UserError(
                "`prefix` tells the model's own decoder its task; a new decoder has one alone, leave it out"
            )
        self.of_tokens = {"exact_match": ExactMatch, **self.of_tokens}
        if self._reports_all:
            self._metric_names = [*self.of_tokens, *self._own]
        return NewDecoder(tokenizer, self.layers or 2, self.heads or 4, self.max_target_length, self.dropout.p)

    def build(self, features: int) -> None:
        self.check_metrics()
        self.head = self.writer.build(features)

    @property
    def writes_as(self) -> str | None:
        options = [self.max_target_length, self.generation, self.prefix]
        return json.dumps(options, sort_keys=True, default=repr) if self.uses_encoder else None

    def can_read(self, features: Features) -> bool:
        if not self.uses_encoder:
            return super().can_read(features)
        return features.states is not None and "sequences" not in (features.given or {})

    def forward(self, features: Any) -> Any:
        """What the decoder looks at, :class:`Seen`; what it writes depends on the targets, too."""
        if not self.can_read(features):
            reads = "a single `text`, or `tokens`" if self.uses_encoder else "a vector a word"
            raise UserError(f"Seq2Seq reads {reads}, which this encoder or input lacks")
        if not self.uses_encoder:
            return Seen(self.dropout(features.tokens), features.mask, (features.given or {}).get("input_ids"))
        mask, source = features.given["attention_mask"], features.given["input_ids"]
        return Seen(features.states[:, : mask.shape[1]], mask, source)  # joined with longer ones, there are more

    def loss(self, logits: Any, targets: Tensor) -> Tensor:
        targets = self._learnt(targets)
        return mean_cross_entropy(self._given(logits, targets).flatten(0, 1), targets.flatten())

    def _learnt(self, targets: Tensor) -> Tensor:
        """The text to learn [B, T], without others that would be right."""
        if targets.shape[1] <= self.max_target_length:
            return targets
        targets = targets[:, : self.max_target_length]
        return targets[:, : max(int(torch.ne(targets, IGNORE).sum(1).max()), 1)]

    def _given(self, logits: Any, targets: Tensor) -> Tensor:
        """Logits of the text to learn [B, T, V]."""
        return logits.given if isinstance(logits, Told) else self.writer.logits(Seen(*logits), targets)

    # -- evaluation --------------------------------------------------------------------------------------------------
    def with_targets(self, logits: Any, targets: Tensor) -> Told:
        """The decoder's logits, and what it writes if a metric asks for that: it runs once for each."""
        seen = Seen(*logits)
        writes = self.reports_texts or self._matches_several(targets)
        written = self.writer.write(seen) if writes and torch.ne(targets, IGNORE).any() else None
        return Told(seen, self.writer.logits(seen, self._learnt(targets)), written)

    def _matches_several(self, targets: Tensor) -> bool:
        """Whether exact matches, which else are known of a new decoder without writing, are of one of several texts."""
        asked = {self.main_metric, *self._metric_names} & self.of_tokens.keys()
        return "exact_match" in asked and targets.shape[1] > self.max_target_length

    def _matching(self, logits: Any, targets: Tensor, present: Tensor) -> Tensor:
        """Whether what is written is one of the texts that would be right, for each place of the example [B, T]."""
        found = iter(self.texts(logits, targets))
        matches = [real and _is_one_of(next(found)) for real in present.any(1).tolist()]
        return present.new_tensor(matches).unsqueeze(1).expand_as(present).float()

    def update(self, metrics: MetricCollection, logits: Any, targets: Tensor) -> None:
        learnt = self._learnt(targets)
        present, given = torch.ne(learnt, IGNORE), full_precision(self._given(logits, learnt))
        losses = cross_entropy(given.transpose(1, 2), learnt, ignore_index=IGNORE, reduction="none")
        right = torch.eq(given.argmax(-1), learnt).to(losses.dtype)
        for name in self.of_tokens:
            if name in metrics:
                several = name == "exact_match" and self._matches_several(targets)
                metrics[name].update(losses, self._matching(logits, targets, present) if several else right, present)
        if self.reports_texts:
            self._feed_texts(metrics, self.texts(logits, targets))

    def texts(self, logits: Any, targets: Tensor) -> list[Written]:
        targets = targets.cpu()
        if not (present := torch.ne(targets[:, : self.max_target_length], IGNORE)).any():
            return []
        seen = logits.seen if isinstance(logits, Told) else Seen(*logits)
        texts = [row["text"] for row in self.decode(logits, None)]
        references = [[self.writer.decode(tokens) for tokens in self._references(row)] for row in targets.tolist()]
        prompts = [""] * len(texts) if seen.source is None else list(map(self.writer.decode, seen.source.tolist()))
        rows = zip(texts, references, prompts, present.any(1).tolist(), strict=True)
        return [Written(text, those, prompt) for text, those, prompt, real in rows if real]

    def _references(self, target: list[int]) -> list[list[int]]:
        """The tokens of each text that would be right."""
        return references_in(target) or [target[: number_learnt(target)]]

    def decode(self, logits: Any, mask: Tensor | None) -> list[dict[str, Any]]:
        seen, _, written = logits if isinstance(logits, Told) else (Seen(*logits), None, None)
        written = self.writer.write(seen) if written is None else written
        return [{"text": self.writer.decode(row)} for row in written.tolist()]

    def correct(self, logits: Any, targets: Tensor) -> Tensor:
        """Whether each token is the most probable one, the right ones before it given."""
        targets = self._learnt(targets)
        missing = torch.eq(targets, IGNORE)
        right = (torch.eq(self._given(logits, targets).argmax(-1), targets) | missing).all(1)
        return fill_missing(right, missing.all(1))


def _is_one_of(written: Written) -> bool:
    """Whether a text is one of its references."""
    return any(exact_match(written.text, each) for each in written.references)
