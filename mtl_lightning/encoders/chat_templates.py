"""Conversations as text: chat templates, and where in the text the assistant's answers are."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import TemplateError, TemplateSyntaxError
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from mtl_lightning.errors import UserError, did_you_mean, shown

Message = Mapping[str, Any]

_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}"
    "{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}{{ message.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_PLAIN = (
    "{% for message in messages %}{{ message.role | capitalize + ': ' }}"
    "{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content + eos_token }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}{{ message.content + '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)
NAMED = {"chatml": _CHATML, "plain": _PLAIN}
"""Templates that need no tokenizer to bring them."""

_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")


class Piece(NamedTuple):
    """A stretch of a text.

    Attributes:
        text: What stands there.
        is_answer: Whether the assistant wrote it.
    """

    text: str
    is_answer: bool


class ChatTemplate:
    """Writes conversations as text.

    Where the template marks what the assistant generates (``{% generation %}``), these are the answers. Otherwise an
    answer is what a message of the assistant adds to the messages before it with the header of an answer; an assistant
    who speaks first answers nothing then.

    Args:
        tokenizer: Whose template is used, unless another is named.
        name: ``chatml``, ``plain`` (``User: …``), a name among the tokenizer's own, or a Jinja template itself; null:
            the tokenizer's.

    Attributes:
        source: The Jinja template; null: there is none.

    Raises:
        UserError: If there is no template of that name, or a template is no Jinja.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, name: str | None) -> None:
        self.source = _find(tokenizer.chat_template, name)
        tokens = tokenizer.special_tokens_map
        self._tokens = {"eos_token": tokens.get("sep_token", ""), **tokens}
        if name is not None:
            self._check_syntax()

    def pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """The text of a conversation, in pieces: up to its last answer, or to the header of one that is to come.

        Raises:
            UserError: If the template cannot write it, or does not tell where answers are.
        """
        assert self.source is not None, "the inputs are checked first"
        open_end = messages[-1]["role"] != "assistant"
        if _MARKED.search(self.source):
            text, spans = self._rendered(messages, open_end, marks=True)
        else:
            text, spans = self._by_prefixes(messages, open_end)
        pieces = _cut(text, spans)
        if not pieces:
            raise UserError("the chat template writes nothing of the conversation; it should say what is in it")
        return pieces[:-1] if spans and not open_end and not pieces[-1].is_answer else pieces

    def _check_syntax(self) -> None:
        try:
            self._rendered([{"role": "user", "content": ""}])
        except UserError as error:
            if isinstance(cause := error.__cause__, TemplateSyntaxError):
                raise UserError(f"`chat_template`: line {cause.lineno} of the template: {cause.message}") from cause

    def _by_prefixes(self, messages: Sequence[Message], open_end: bool) -> tuple[str, Sequence[tuple[int, int]]]:
        text, spans = "", []
        for i, message in enumerate(messages):
            if message["role"] == "assistant" and i > 0:
                before, _ = self._rendered(messages[:i], header=True)
                after, _ = self._rendered(messages[: i + 1])
                _check_beginning(before, text)
                _check_beginning(after, before)
                spans.append((len(before), len(after)))
                text = after
        whole, _ = self._rendered(messages, open_end)
        _check_beginning(whole, text)
        return whole, spans

    def _rendered(
        self, messages: Sequence[Message], header: bool = False, marks: bool = False
    ) -> tuple[str, Sequence[tuple[int, int]]]:
        """The text, and where the marked answers are."""
        try:
            texts, spans = render_jinja_template(
                [list(messages)],
                chat_template=self.source,
                add_generation_prompt=header,
                return_assistant_tokens_mask=marks,
                **self._tokens,
            )
        except (TemplateError, TypeError) as error:
            raise UserError(f"the chat template refuses the conversation: {' '.join(str(error).split())}") from error
        return texts[0], spans[0] if marks else ()


def checked_messages(value: Any) -> list[dict[str, Any]]:
    """A raw conversation; what is null in its messages is left out.

    Raises:
        UserError: If it is no list of messages with ``role`` and ``content``.

    >>> checked_messages([{"role": "user", "content": "Hi", "name": None}])
    [{'role': 'user', 'content': 'Hi'}]
    """
    if not isinstance(value, list | tuple) or not value:
        raise UserError(f"expected a list of messages, each with `role` and `content`, found {shown(value)}")
    found = []
    for number, message in enumerate(value, 1):
        given = {k: v for k, v in message.items() if v is not None} if isinstance(message, Mapping) else {}
        if not isinstance(given.get("role"), str) or not ("content" in given or "tool_calls" in given):
            raise UserError(f"message {number}: expected `role` and `content`, found {shown(message)}")
        found.append(given)
    return found


def _find(own: str | dict[str, str] | None, name: str | None) -> str | None:
    several = own if isinstance(own, dict) else {}
    if name is None:
        return several.get("default") if isinstance(own, dict) else own
    known = {**NAMED, **several}
    if "{" in name or name in known:
        return known.get(name, name)
    raise UserError(f"`chat_template`: the tokenizer has no template '{name}'; {did_you_mean(name, known)}")


def _cut(text: str, spans: Sequence[tuple[int, int]]) -> list[Piece]:
    """A text cut where answers begin and end, without pieces that are empty."""
    pieces, end = [], 0
    for start, stop in spans:
        pieces += [Piece(text[end:start], False), Piece(text[start:stop], True)]
        end = stop
    return [piece for piece in [*pieces, Piece(text[end:], False)] if piece.text]


def _check_beginning(text: str, beginning: str) -> None:
    if not text.startswith(beginning):
        raise UserError(
            "the chat template writes the beginning of a conversation otherwise than the beginning of the whole, so "
            "that its answers cannot be told; name another `chat_template`, or one with {% generation %} marks"
        )
