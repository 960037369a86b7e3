"""Tokenisation: raw text or words in, padded token ids out."""

import json
import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from mtl_lightning.encoders.conversations import INPUTS, Conversations, TrainOn
from mtl_lightning.encoders.input_processor import PlainProcessor
from mtl_lightning.encoders.packing import PACKED, layout, rows_of
from mtl_lightning.encoders.shown import PackedRow, Shown
from mtl_lightning.encoders.shown_text import shown_row
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.input_kinds import kind_of
from mtl_lightning.inputs.raw_texts import SEVERAL
from mtl_lightning.inputs.several import NUM_SEQUENCES, SEQUENCES
from mtl_lightning.inputs.text_inputs import TextInputs
from mtl_lightning.inputs.windows import CHARACTERS, CONTEXT
from mtl_lightning.raw_labels.spans import Ends

_PADDING = 0.1  # what joined batches may be padded by, relative to their size apart


class TextProcessor(PlainProcessor):
    """Tokenises ``text`` (with ``text_pair``), ``tokens`` where heads label words, or several texts of an example.

    ``choices`` and ``texts`` are lists of texts, or a column each; examples may differ in their number, and of the
    columns of ``choices`` the last may be empty. Each text is a sequence of its own; where there is a ``text`` too, a
    question say, each of ``choices`` stands behind it as ``text_pair`` would.

    ``tokens`` is a list of words; a string is split into words first. One sub-word of each word, the first or the last,
    is where its label is read (``word_starts``); words that do not fit into ``max_length`` are cut off. A text, or a
    word, that is empty or white space is refused. Of a long text only the beginning is tokenised, where that is sure to
    give the same tokens. Beside ``tokens``, ``spans`` are spans of words, such as entities, for heads that read them.

    ``context`` is read with the question in ``text``, in windows where it is long; see :class:`.Windows`.

    ``prompt`` with ``completion``, or ``messages``, are what a language model learns to write; see
    :class:`.Conversations`. Their label positions are those before each token of the answers (``answer`` [B, T]), and
    the one behind the prompt where there is no answer; ``answers_at`` [N] says which of the B·T are real. Pooled
    features are of the prompt alone (``prompt_length`` [B, 1]).

    Args:
        tokenizer: A fast tokenizer of transformers.
        max_length: Longest sequence in tokens, special ones included.
        split: How a string given for ``tokens`` becomes words.
        sub_word: Where the label of a word is read.
        runs_on: Whether words of a list and pairs of texts become running text, see :class:`.RunningText`.
        chat_template: How ``messages`` become text, see :class:`.ChatTemplate`.
        train_on: Which answers in ``messages`` are trained on.
        spans: What the ends of ``spans`` mean.
        packing: Longest row in tokens that batches are to be packed into, see :mod:`.packing`; null: they are not.
        overlap: Tokens that two windows of a ``context`` have in common; null: a quarter of ``max_length``.
    """

    plain: TextInputs
    inputs = ("text", "text_pair", "tokens", "spans", "choices", "texts", CONTEXT, *INPUTS)
    placed_in = ("tokens", "choices")
    for_heads = frozenset({SEQUENCES, *SEVERAL, "spans", CONTEXT, *CHARACTERS, "answer", "answers_at"})
    of_batch = frozenset({"answers_at", PACKED})

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        split: Literal["whitespace", "characters"] = "whitespace",
        sub_word: Literal["first", "last"] = "first",
        runs_on: bool = False,
        chat_template: str | None = None,
        train_on: TrainOn = "all",
        spans: Ends = "exclusive",
        packing: int | None = None,
        overlap: int | None = None,
    ) -> None:
        if not tokenizer.is_fast:
            raise UserError(f"{type(tokenizer).__name__} is a slow tokenizer; words are aligned by fast ones only")
        # Its threads do not survive a fork, and it says so on every worker; large tables are shared among processes.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.sub_word = sub_word
        self.conversations = Conversations(tokenizer, max_length, chat_template, train_on)
        self.spans = spans
        self.packing = packing
        self.plain = TextInputs(
            tokenizer, max_length, split, sub_word, runs_on, spans, overlap, more=[self.conversations]
        )

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        inputs = super().collate(examples)
        if "answer" in inputs:
            inputs["answers_at"] = torch.ge(inputs["word_starts"], 0).flatten().nonzero()[:, 0]
        if self.packing is not None:
            inputs |= layout(_lengths(examples), self.packing)
        return inputs

    @property
    def packs(self) -> bool:
        return self.packing is not None

    def can_join(self, batches: Sequence[Mapping[str, Tensor]]) -> bool:
        """Whether they have the same inputs, and padding them all to the longest adds less than a tenth."""
        if any(inputs.keys() != batches[0].keys() or {SEQUENCES, PACKED} & inputs.keys() for inputs in batches):
            return False
        shapes = [inputs["input_ids"].shape for inputs in batches]
        number, longest = sum(rows for rows, _ in shapes), max(length for _, length in shapes)
        return number * longest <= (1 + _PADDING) * sum(rows * length for rows, length in shapes)

    def join(self, batches: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        joined = {}
        for name in (name for name in batches[0] if name not in self.for_heads):
            longest = max(inputs[name].shape[1] for inputs in batches)
            rows = [
                functional.pad(t, (0, longest - t.shape[1]), value=self.plain.padding(name))
                for t in (b[name] for b in batches)
            ]
            joined[name] = torch.cat(rows)
        return joined

    def num_positions(self, inputs: Mapping[str, Tensor]) -> int | None:
        return inputs["word_starts"].shape[1] if "word_starts" in inputs else None

    def shown(self, inputs: Mapping[str, Tensor], example: int) -> Sequence[Shown]:
        found = [shown_row(self.tokenizer, inputs, row, self.sub_word) for row in self.rows_of(inputs, example)]
        kind = next((shown for name, shown in _KINDS.items() if name in inputs), None)
        return found if kind is None else [row._replace(name=f"{kind} {i}") for i, row in enumerate(found, 1)]

    def packed_rows(self, inputs: Mapping[str, Tensor]) -> Sequence[PackedRow]:
        if PACKED not in inputs:
            return ()
        rows = rows_of(inputs[PACKED], inputs["input_ids"].shape[1])
        if SEQUENCES not in inputs:
            return rows
        examples = {row: i for i in range(len(inputs[SEQUENCES])) for row in self.rows_of(inputs, i)}
        return [row._replace(sequences=[examples[sequence] for sequence in row.sequences]) for row in rows]

    def cut_off(self, values: Mapping[str, Any]) -> str:
        return kind_of(values, self.plain.kinds).cut_off(values)

    def signature(self) -> Any:
        tokenizer = json.loads(self.tokenizer.backend_tokenizer.to_str())
        tokenizer.update(truncation=None, padding=None)  # `encode` sets them, from `max_length`
        plain = self.plain
        found = [sha256(json.dumps(tokenizer).encode()).hexdigest(), self.max_length, plain.split]
        found += [] if self.sub_word == "first" else [self.sub_word]
        found += [] if plain.running is None else plain.running.signature
        return found + [part for kind in reversed(plain.kinds) for part in kind.signature]


_KINDS = {"choices": "choice", "texts": "text", CONTEXT: "window"}
"""What each sequence of an example is called, by the input that they come from."""


def _lengths(examples: Sequence[Mapping[str, Any]]) -> list[int]:
    """Tokens of each sequence of some encoded examples."""
    rows = [example["input_ids"] for example in examples]
    return [len(ids) for nested in rows for ids in (nested if NUM_SEQUENCES in examples[0] else [nested])]
