"""Questions on contexts that may be longer than a model reads at once: overlapping windows of the context."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.input_kinds import InputKind
from mtl_lightning.inputs.portions import columns_of, joined, portions
from mtl_lightning.inputs.raw_texts import all_texts
from mtl_lightning.inputs.several import WHOLE, nested
from mtl_lightning.inputs.tokenizers import FastTokenizer

CONTEXT = WHOLE
"""Name of the input, and of the numbers of its characters (Unicode) in the encoded one."""

CHARACTERS = ("char_starts", "char_ends")
"""Where the tokens of the context begin and end in it, in characters; the end is exclusive."""


class Windows(InputKind):
    """Tokenises ``text``, a question, with ``context``.

    Each example is one or more sequences: the question with a window of the context. Label positions are the tokens of
    the context. Two windows that follow each other have ``overlap`` tokens in common, so that an answer of no more
    tokens stands whole in one of them.

    Args:
        tokenizer: A fast tokenizer of transformers.
        max_length: Longest sequence in tokens.
        overlap: Tokens that windows have in common; null: a quarter of ``max_length``.
        between: What stands between question and context, where the tokenizer puts nothing.
    """

    marks = frozenset({CONTEXT})

    def __init__(
        self, tokenizer: FastTokenizer, max_length: int, overlap: int | None = None, between: str = ""
    ) -> None:
        if overlap is not None and not 0 <= overlap < max_length:
            raise UserError(f"`overlap` must be at least 0 and less than `max_length` ({max_length}), found {overlap}")
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.overlap = max_length // 4 if overlap is None else overlap
        self.signature = [] if overlap is None else [("overlap", overlap)]
        self.between = between

    def check(self, inputs: Collection[str]) -> None:
        if set(inputs) != {"text", CONTEXT}:
            raise UserError(f"give `context` with the question in `text`; found {', '.join(inputs)}")

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        self.check(columns)
        questions, contexts = (all_texts(name, columns[name]) for name in ("text", CONTEXT))
        pairs = list(zip(questions, contexts, strict=True))
        return joined(self._encode_some(*columns_of(pairs[part])) for part in portions(pairs))

    def _encode_some(self, questions: list[str], contexts: list[str]) -> dict[str, list[Any]]:
        self._check_room(questions)
        encoded = self.tokenizer(
            questions,
            [self.between + context for context in contexts],
            truncation="only_second",
            max_length=self.max_length,
            stride=self.overlap,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        owners, offsets = encoded.pop("overflow_to_sample_mapping"), encoded.pop("offset_mapping")
        places = [self._places(encoded.sequence_ids(i), each) for i, each in enumerate(offsets)]
        found = {**encoded.data, "word_starts": places}
        for side, name in enumerate(CHARACTERS):
            found[name] = [
                [max(each[place][side] - len(self.between), 0) for place in at]
                for each, at in zip(offsets, places, strict=True)
            ]
        return {**nested(found, [*Counter(owners).values()]), CONTEXT: [[*map(ord, context)] for context in contexts]}

    def _places(self, sides: Sequence[int | None], offsets: Sequence[tuple[int, int]]) -> list[int]:
        """Positions of the context's tokens; without those of what stands before it."""
        return [i for i, side in enumerate(sides) if side == 1 and offsets[i][1] > len(self.between)]

    def _check_room(self, questions: Sequence[str]) -> None:
        room = self.max_length - self.tokenizer.num_special_tokens_to_add(pair=True) - self.overlap
        tokens = self.tokenizer(questions, add_special_tokens=False, verbose=False)["input_ids"]
        for ids in tokens:
            if len(ids) >= room:
                raise UserError(
                    f"the question has {len(ids)} tokens, which leaves no room for a context among {self.max_length} "
                    f"(`max_length`), of which windows share {self.overlap} (`overlap`)"
                )
