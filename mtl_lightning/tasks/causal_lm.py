"""Text that a language model writes, token by token."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint
from torchmetrics import Metric, MetricCollection

from mtl_lightning.errors import UserError, shown
from mtl_lightning.tasks.base import IGNORE, full_precision
from mtl_lightning.tasks.contracts import Features, LanguageModel, Writer
from mtl_lightning.tasks.labelled import fill_missing
from mtl_lightning.tasks.references import (
    check_references,
    is_list_of_texts,
    learnt,
    number_learnt,
    references_in,
    with_references,
)
from mtl_lightning.tasks.text_scores import TextScore
from mtl_lightning.tasks.token_scores import TokenMean
from mtl_lightning.tasks.writing_task import WritingTask, Written

_POSITIONS = 1024
"""How many positions have logits at once."""


class Scored(NamedTuple):
    """What the model says of the answers.

    Attributes:
        losses: Negative logarithm of the probability of each of their tokens, given those before it [B, T].
        best: The most probable token in its place [B, T].
        right: Whether that is the token itself [B, T].
        written: Tokens that the model writes behind the prompt [B, M]; null: it was not asked to.
        last: Which of the tokens are those of the last answer, which follows the prompt [B, T]; null: as ``written``.
        prompts: Tokens of the prompts, ``IGNORE`` behind them [B, P]; null: as ``written``.
    """

    losses: Tensor
    best: Tensor
    right: Tensor
    written: Tensor | None = None
    last: Tensor | None = None
    prompts: Tensor | None = None


class CausalLM(WritingTask):
    """Writes what follows a prompt: next-token prediction on the answers of the inputs ``completion`` or ``messages``.

    The output layer is the encoder's own language-model head, tied to its embeddings where they are; the task has no
    parameters. Its labels are the tokens of the answers, so that the loss is a mean over tokens: over all of a step, in
    whatever batches and processes they come. The data set names the task under ``labels`` with the column of the
    completion (``labels: {writing: completion}``) or of the messages; where it is null, the task has no label. A list
    of texts is that of all that would be right: the first one of ``completion`` is learnt, and what is written is
    compared with all of the label.

    Logits exist at the positions of the answers alone, 1,024 at a time; more are computed again in the backward pass.

    Metrics, each token with the right ones before it given: ``perplexity`` and ``token_accuracy``. Of what the model
    writes by itself behind the prompt, which takes much longer: ``bleu`` (corpus BLEU-4, as ``sacrebleu`` counts it;
    ``bleu_zh`` and ``bleu_char`` by its tokenizers ``zh`` and ``char``), ``rouge_l`` and ``exact_match``, in [0, 1].
    They compare it with the last answer.

    A prediction has the ``text`` that the model writes. Tasks with the same ``generation`` write the same, so it is
    written once for all of them.

    Args:
        main_metric: The metric that stands for the task; ``loss`` is one.
        metrics: What to report; null: ``perplexity`` and ``token_accuracy``. The main metric is always reported.
        own_metrics: Metrics of your own of what the model writes, reported besides: classes and functions by their
            import paths, each by its name in snake case. A class is a torchmetrics ``Metric`` whose
            ``update(written, references)`` takes texts, and for each a list of references; with a third parameter
            ``prompts``, these too. A function scores a text by a reference, and the mean is reported; with a third
            parameter ``prompt``, it gets that too.
        generation: How the model writes: options of ``transformers.GenerationConfig``, such as ``{max_new_tokens: 64,
            do_sample: true, temperature: 0.7}``; by default at most 64 tokens, each the most probable one.
    """

    required_inputs = ("completion|messages",)
    uses_encoder = True
    of_tokens: Mapping[str, Callable[[], Metric]] = MappingProxyType(
        {"perplexity": partial(TokenMean, "losses"), "token_accuracy": partial(TokenMean, "right")}
    )
    beside_labels = WritingTask.beside_labels | {"generation"}

    def __init__(
        self,
        main_metric: str = "token_accuracy",
        metrics: list[str] | None = None,
        generation: dict[str, Any] | None = None,
        own_metrics: list[TextScore | Metric] | None = None,
    ) -> None:
        super().__init__(main_metric, 0.0, None, metrics, own_metrics)
        self.generation = generation or {}
        self._write: Writer | None = None
        self._encoder: tuple[LanguageModel, ...] = ()  # in a tuple: it is no part of the task
        self._output: tuple[torch.nn.Linear, ...] = ()

    # -- labels ------------------------------------------------------------------------------------------------------
    def encode(self, value: Any) -> int | list[list[int]]:
        """The tokens of each reference where there is a list of them; 1 for any other answer, whose tokens are known
        where the inputs are encoded, and ``IGNORE`` where there is none.
        """
        if value is None:
            return IGNORE
        self.check(value)
        if not is_list_of_texts(value):
            return 1
        tokens: list[list[int]] = self._tokenizer(value, add_special_tokens=False, verbose=False)["input_ids"]
        return tokens

    def check(self, value: Any) -> None:
        if is_list_of_texts(value):
            check_references(value)
        elif isinstance(value, list):
            _check_answers(value)
        elif value is not None and not (isinstance(value, str) and value.strip()):
            raise UserError(f"expected a text to write, found {shown(value)}; an answer that is not known is null")

    def fit(self, target: int | list[list[int]], example: Mapping[str, Any]) -> list[int]:
        """The tokens of the answers [T], of which none is a label where the answer is not known; and the references."""
        answer = list(example["answer"])
        if target == IGNORE:
            return [IGNORE] * len(answer)
        if answer == [IGNORE]:
            raise UserError(
                "the example has no answer to train on; map the column to the input `completion` too, or let the "
                "assistant answer in `messages`"
            )
        return with_references(answer, target if isinstance(target, list) else [])

    def count(self, target: Any) -> int:
        return number_learnt(target)

    def in_words(self, target: Tensor) -> list[str | None]:
        """Which of the tokens are labels; what they say stands in the input."""
        return ["" if label else None for label in torch.ne(learnt(target, len(target)), IGNORE).tolist()]

    # -- model -------------------------------------------------------------------------------------------------------
    @property
    def num_outputs(self) -> int:
        return self._output[0].out_features

    def meet(self, encoder: Any) -> None:
        if not hasattr(encoder, "output_embedding"):
            raise UserError(
                f"{type(encoder).__name__} is no language model; choose TransformerEncoder with a decoder-only model"
            )
        self._encoder, self._output = (encoder,), (encoder.output_embedding(),)
        self._write = encoder.writer(self.generation)

    def build(self, features: int) -> None:
        """There is nothing to create; the features must be as wide as the language model's own."""
        assert self._output, "meet() comes first"
        self.check_metrics()
        if features != (width := self._output[0].in_features):
            raise UserError(
                f"the language-model head reads {width} features, but here are {features}; choose a sharing that "
                "leaves the encoder's as they are, such as HardSharing"
            )
        self.head = torch.nn.Identity()

    def can_read(self, features: Features) -> bool:
        return features.tokens is not None and "answer" in (features.given or {})

    def forward(self, features: Features) -> Any:
        """What the model says of the answers, :class:`Scored`."""
        tokens, given = features.tokens, features.given
        if tokens is None or given is None or "answer" not in given:
            raise UserError("CausalLM reads the inputs `prompt` and `completion`, or `messages`")
        places, shape = given["answers_at"], given["answer"].shape
        hidden, truth = tokens.flatten(0, 1).index_select(0, places), given["answer"].flatten()[places]
        losses, best = self._scored(hidden, truth)

        def placed(values: Tensor) -> Tensor:
            return values.new_zeros(shape.numel()).index_copy(0, places, values).view(shape)

        scored = Scored(placed(losses), placed(best), placed(torch.eq(best, truth).to(losses.dtype)))
        if not self._writes:
            return scored
        last = given["word_starts"] + 1 >= given["prompt_length"]
        assert self._write is not None, "meet() comes first"
        places = torch.arange(given["input_ids"].shape[1], device=places.device)
        prompts = torch.where(places < given["prompt_length"], given["input_ids"], IGNORE)
        return scored._replace(
            written=self._write(given, features.kept if self.goes_on else None), last=last, prompts=prompts
        )

    @property
    def _writes(self) -> bool:
        return not self.training and (self.is_predicting or self.reports_texts)

    @property
    def goes_on(self) -> bool:  # type: ignore[override]
        return self._writes and self._write is not None and self._write.can_go_on

    @property
    def writes_as(self) -> str:
        return json.dumps(self.generation, sort_keys=True, default=repr)

    def _scored(self, hidden: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Losses in float32 and most probable tokens, each [N], of hidden states [N, D] and the right tokens [N]."""
        pairs = list(zip(torch.split(hidden, _POSITIONS), torch.split(truth, _POSITIONS), strict=True))
        again = len(pairs) > 1 and torch.is_grad_enabled()
        parts = [checkpoint(self._score, *p, use_reentrant=False) if again else self._score(*p) for p in pairs]
        losses, best = zip(*parts, strict=True)
        return torch.cat(losses), torch.cat(best)

    def _score(self, hidden: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        logits = self._output[0](hidden)
        losses = cross_entropy(full_precision(logits), truth, reduction="none", ignore_index=IGNORE)
        return losses, logits.detach().argmax(-1)

    def loss(self, logits: Any, targets: Tensor) -> Tensor:
        losses = full_precision(logits[0])
        present = torch.ne(learnt(targets, losses.shape[1]), IGNORE)
        losses = torch.where(present, losses, 0.0)
        return losses.sum() / present.sum().clamp(min=1)

    # -- evaluation --------------------------------------------------------------------------------------------------
    def update(self, metrics: MetricCollection, logits: Any, targets: Tensor) -> None:
        scored = Scored(*logits)
        present = torch.ne(learnt(targets, scored.right.shape[1]), IGNORE)
        for name in self.of_tokens:
            if name in metrics:
                metrics[name].update(full_precision(scored.losses), full_precision(scored.right), present)
        if scored.written is not None:
            self._feed_texts(metrics, self.texts(scored, targets))

    def texts(self, logits: Any, targets: Tensor) -> list[Written]:
        scored = Scored(*logits)
        assert scored.written is not None and scored.last is not None and scored.prompts is not None
        answers = learnt(targets, scored.last.shape[1])
        last = self._decoded(torch.where(scored.last, answers, IGNORE))
        several = [[self._decode(tokens) for tokens in references_in(row)] for row in targets.tolist()]
        labelled = (torch.ne(answers, IGNORE) & scored.last).any(1).tolist()
        rows = zip(*map(self._decoded, (scored.written, scored.prompts)), several, last, labelled, strict=True)
        return [Written(text, given or [answer], prompt) for text, prompt, given, answer, real in rows if real]

    def _decoded(self, tokens: Tensor) -> list[str]:
        return [self._decode([token for token in row if token != IGNORE]) for row in tokens.tolist()]

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    @property
    def _tokenizer(self) -> Any:
        assert self._encoder, "meet() comes first"
        return self._encoder[0].processor.tokenizer

    def decode(self, logits: Any, mask: Tensor | None) -> list[dict[str, Any]]:
        """What the model writes; without that, the most probable tokens in the places of the answers."""
        assert mask is not None, "label positions are known"
        if (written := Scored(*logits).written) is not None:
            return [{"text": text} for text in self._decoded(written)]
        rows = [best[real].tolist() for best, real in zip(Scored(*logits).best, mask, strict=True)]
        return [{"text": self._tokenizer.decode(row)} for row in rows]

    def correct(self, logits: Any, targets: Tensor) -> Tensor:
        """Whether each token of the answers is the most probable one: whether greedy decoding would write them."""
        right = Scored(*logits).right
        missing = torch.eq(learnt(targets, right.shape[1]), IGNORE)
        return fill_missing(((right > 0) | missing).all(1), missing.all(1))


def _check_answers(messages: Sequence[Any]) -> None:
    """Raises :class:`UserError` if there is none to learn; what is no message, the input refuses."""
    answers = [each for each in messages if isinstance(each, Mapping) and each.get("role") == "assistant"]
    if not answers:
        raise UserError("the conversation has no message whose role is 'assistant', which the model could learn from")
    for answer in answers:
        if not answer.get("content") and not answer.get("tool_calls"):
            raise UserError("an answer of the assistant is empty; take the message out, or fill it in")
