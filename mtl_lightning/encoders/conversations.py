"""What a language model is to write: prompts with their completions, and conversations."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal, NamedTuple

from transformers import PreTrainedTokenizerBase

from mtl_lightning.encoders.chat_templates import ChatTemplate, Piece, checked_messages
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.input_kinds import InputKind
from mtl_lightning.inputs.portions import portions
from mtl_lightning.inputs.raw_texts import all_texts

INPUTS = ("prompt", "completion", "messages")
"""The inputs of which this makes tokens."""

NOTHING = -100
"""Stands for the token behind a prompt without an answer, as a missing label in torch's cross entropy."""

TrainOn = Literal["all", "last"]
"""Which of the assistant's answers are trained on."""


class _Written(NamedTuple):
    """The tokens of an example.

    Attributes:
        tokens: All of them, without limit.
        answered: Places of those that are trained on.
        prompt: How many there are before the last answer; all, if there is none behind the last question.
    """

    tokens: list[int]
    answered: list[int]
    prompt: int


class Conversations(InputKind):
    """Tokenises ``prompt`` and ``completion``, or ``messages``. Of a list of completions, the first one counts.

    Prompt and answers are tokenised apart, so that a prompt has the same tokens whether an answer follows or not; what
    the tokenizer puts before a text stands before a prompt, too. An answer ends with the end-of-sequence token. What is
    longer than ``max_length`` is cut at its end; an example is refused of which nothing to train on would be left, or
    whose prompt, where it stands alone, would leave no room for an answer.

    Args:
        tokenizer: A fast tokenizer of transformers.
        max_length: Longest sequence in tokens.
        chat_template: See :class:`ChatTemplate`.
        train_on: Which of the assistant's answers are trained on.

    Attributes:
        end: Number of the end-of-sequence token; null: the tokenizer has none.
        named: The template as an argument, where one is named: a checkpoint needs no tokenizer that knows the name.
    """

    marks = frozenset(INPUTS)

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        chat_template: str | None = None,
        train_on: TrainOn = "all",
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.template = ChatTemplate(tokenizer, chat_template)
        self.named = {} if chat_template is None else {"chat_template": self.template.source}
        self.train_on = train_on
        given = [self.template.source, None if train_on == "all" else train_on]
        self.signature = given if any(given) else []
        self.end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id

    def check(self, inputs: Collection[str]) -> None:
        if ("messages" in inputs and len(inputs) > 1) or not set(inputs) <= set(INPUTS):
            raise UserError(f"give `prompt` and `completion`, or `messages` alone; found {', '.join(inputs)}")
        if "messages" in inputs and self.template.source is None:
            raise UserError("the tokenizer has no chat template; set the encoder's `chat_template`, say to `chatml`")
        if self.end is None:
            raise UserError("the tokenizer has no end-of-sequence token, so that no answer would end; choose another")

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        self.check(columns)
        rows = [self._encoded(written) for written in self._written(columns)]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def _written(self, columns: Mapping[str, Sequence[Any]]) -> list[_Written]:
        pieces = self._conversations(columns) if "messages" in columns else _pairs(columns)
        start = [] if "messages" in columns else self._start()
        tokens = self._tokens([piece.text for row in pieces for piece in row])
        return [self._joined(start, row, [next(tokens) for _ in row]) for row in pieces]

    def _tokens(self, texts: list[str]) -> Iterator[list[int]]:
        for part in portions([(text,) for text in texts]):
            yield from self.tokenizer(texts[part], add_special_tokens=False, verbose=False)["input_ids"]

    def cut_off(self, values: Mapping[str, Any]) -> str:
        (written,) = self._written({name: [value] for name, value in values.items()})
        return str(self.tokenizer.decode(written.tokens[self.max_length :], skip_special_tokens=True))

    def _conversations(self, columns: Mapping[str, Sequence[Any]]) -> list[list[Piece]]:
        return [self.template.pieces(checked_messages(value)) for value in columns["messages"]]

    def _start(self) -> list[int]:
        """The special tokens before a text."""
        encoded = self.tokenizer("a", return_special_tokens_mask=True)
        marked = zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True)
        return [token for token, special in takewhile(lambda pair: pair[1], marked)]

    def _joined(self, start: list[int], pieces: Sequence[Piece], tokens: Sequence[list[int]]) -> _Written:
        found, answers, final = list(start), list[range](), bool(pieces) and pieces[-1].is_answer
        for piece, part in zip(pieces, tokens, strict=True):
            if piece.is_answer:
                said = part.index(self.end) + 1 if self.end in part else len(part)
                answers.append(range(len(found), len(found) + said))
            found += part
        prompt = answers[-1].start if final else len(found)
        if final:
            end = answers[-1].stop
            found = found[:end] if found[end - 1] == self.end else [*found, self.end]
            answers[-1] = range(prompt, len(found))
        trained = answers if self.train_on == "all" else answers[-1:]
        return _Written(found, [place for answer in trained for place in answer], prompt)

    def _encoded(self, written: _Written) -> dict[str, Any]:
        tokens, limit = written.tokens[: self.max_length], self.max_length
        places = [place for place in written.answered if 0 < place < len(tokens)]
        if not tokens or (written.answered and not places) or (not written.answered and written.prompt >= limit):
            raise UserError(
                f"the prompt has {written.prompt:,} tokens, which leaves none for an answer: all are at most "
                f"{limit:,}; shorten it, or raise the encoder's `max_length` if the model can read more"
            )
        return {
            "input_ids": tokens,
            "attention_mask": [1] * len(tokens),
            "word_starts": [place - 1 for place in places] or [len(tokens) - 1],
            "answer": [tokens[place] for place in places] or [NOTHING],
            "prompt_length": [min(written.prompt, limit)],
            "lost": len(written.tokens) - len(tokens),
        }


def _pairs(columns: Mapping[str, Sequence[Any]]) -> list[list[Piece]]:
    """Prompts, each with its completion where there is one."""
    number = len(next(iter(columns.values())))
    prompts = [Piece(text, False) for text in all_texts("prompt", columns["prompt"])] if "prompt" in columns else None
    answers = columns.get("completion", [None] * number)
    found: list[list[Piece]] = [[] if prompts is None else [prompts[i]] for i in range(number)]
    for row, answer in zip(found, answers, strict=True):
        if answer == []:
            raise UserError("input 'completion': the list of texts is empty; an answer that is not known is null")
        answer = answer[0] if isinstance(answer, list) else answer
        if answer is not None and answer != "":
            (text,) = all_texts("completion", [answer])
            row.append(Piece(text, True))
    return found
