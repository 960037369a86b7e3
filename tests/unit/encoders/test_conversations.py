"""Prompts with completions, and conversations, as tokens of which some are trained on."""

from typing import Any

import pytest
import torch

from mtl_lightning.encoders import TextProcessor, character_tokenizer
from mtl_lightning.encoders.chat_templates import NAMED, ChatTemplate
from mtl_lightning.errors import UserError

CHAT = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": "ab"},
    {"role": "assistant", "content": "cd"},
    {"role": "user", "content": "ef"},
    {"role": "assistant", "content": "g"},
]
UNMARKED = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}[SEP]{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def processor(max_length: int = 100, **settings: Any) -> TextProcessor:
    return TextProcessor(character_tokenizer("ascii"), max_length, **settings)


def encoded(of: TextProcessor, **columns: list[Any]) -> dict[str, Any]:
    return {name: values[0] for name, values in of.encode(columns).items()}


def text(of: TextProcessor, tokens: list[int]) -> str:
    return "".join(of.tokenizer.convert_ids_to_tokens(tokens))


def said(of: TextProcessor, example: dict[str, Any]) -> str:
    """The text of the tokens that are trained on."""
    assert [example["input_ids"][place + 1] for place in example["word_starts"]] == example["answer"]
    return text(of, example["answer"])


def test_a_completion_follows_its_prompt_and_ends() -> None:
    of = processor()
    example = encoded(of, prompt=["ab"], completion=["cd"])
    assert text(of, example["input_ids"]) == "[CLS]abcd[SEP]"
    assert (said(of, example), example["prompt_length"], example["lost"]) == ("cd[SEP]", [3], 0)


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_prompt_alone_has_the_tokens_that_it_has_before_a_completion(nothing: str | None) -> None:
    of = processor()
    whole, alone = encoded(of, prompt=["ab"], completion=["cd"]), encoded(of, prompt=["ab"], completion=[nothing])
    assert alone == encoded(of, prompt=["ab"])
    assert alone["input_ids"] == whole["input_ids"][: whole["prompt_length"][0]]
    assert (alone["word_starts"], alone["answer"], alone["prompt_length"]) == ([2], [-100], [3])


def test_a_completion_without_a_prompt_is_a_text() -> None:
    of = processor()
    assert said(of, encoded(of, completion=["abc"])) == "abc[SEP]"


def test_what_is_too_long_is_cut_at_its_end() -> None:
    of = processor(6)
    example = encoded(of, prompt=["ab"], completion=["cdefg"])
    assert (said(of, example), example["lost"]) == ("cde", 3)
    assert of.cut_off({"prompt": "ab", "completion": "cdefg"}) == "f g"


@pytest.mark.parametrize("columns", [{"prompt": ["a" * 20], "completion": ["b"]}, {"prompt": ["a" * 20]}])
def test_a_prompt_that_leaves_no_room_is_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"the prompt has 21 tokens, which leaves none .* at most 20; shorten it, or"):
        processor(20).encode(columns)


@pytest.mark.parametrize(
    ("template", "train_on", "expected"),
    [
        ("plain", "all", "cd[SEP]g[SEP]"),
        ("plain", "last", "g[SEP]"),
        ("chatml", "all", "cd<|im_end|>g<|im_end|>[SEP]"),
        (UNMARKED, "all", "cd[SEP]g[SEP]"),
        (UNMARKED, "last", "g[SEP]"),
    ],
)
def test_answers_of_the_assistant_are_trained_on(template: str, train_on: Any, expected: str) -> None:
    of = processor(200, chat_template=template, train_on=train_on)
    example = encoded(of, messages=[CHAT])
    assert said(of, example) == expected
    assert text(of, example["input_ids"]).endswith(text(of, example["answer"])[-2:])


@pytest.mark.parametrize("template", ["plain", "chatml", UNMARKED])
def test_a_conversation_up_to_its_last_question_is_the_prompt(template: str) -> None:
    of = processor(200, chat_template=template)
    whole, open_end = encoded(of, messages=[CHAT]), encoded(of, messages=[CHAT[:-1]])
    prompt = whole["input_ids"][: whole["prompt_length"][0]]
    assert open_end["input_ids"] == prompt
    assert open_end["prompt_length"] == [len(prompt)]
    assert text(of, prompt).lower().rstrip(":>\n").endswith("assistant")


def test_marks_and_prefixes_find_the_same_answers() -> None:
    tokenizer = character_tokenizer("ascii")
    marks = "{% generation %}", "{% endgeneration %}"
    unmarked = NAMED["chatml"].replace(marks[0], "").replace(marks[1], "")
    by_marks, by_prefixes = (ChatTemplate(tokenizer, each).pieces(CHAT) for each in ("chatml", unmarked))
    assert [p.text for p in by_marks if p.is_answer] == [p.text.rstrip("\n") for p in by_prefixes if p.is_answer]
    assert "".join(p.text for p in by_marks) == "".join(p.text for p in by_prefixes).rstrip("\n")


def test_an_assistant_who_speaks_first_answers_nothing() -> None:
    of = processor(200, chat_template=UNMARKED)
    assert said(of, encoded(of, messages=[CHAT[2:]])) == "g[SEP]"


def test_batches_are_padded_and_know_their_real_positions() -> None:
    of = processor()
    columns = of.encode({"prompt": ["ab", "c", "de"], "completion": ["x", "yyy", None]})
    batch = of.collate([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
    assert batch["answer"].shape == batch["word_starts"].shape == (3, 4)
    assert batch["answers_at"].tolist() == [0, 1, 4, 5, 6, 7, 8]
    assert torch.equal(batch["answer"] >= 0, (batch["word_starts"] >= 0) & torch.tensor([[True], [True], [False]]))
    joined = of.join([batch, batch])
    assert joined["word_starts"].shape == (6, 4)
    assert "answers_at" not in joined


@pytest.mark.parametrize(
    ("settings", "columns", "message"),
    [
        ({}, {"messages": [CHAT]}, "the tokenizer has no chat template; set the encoder's `chat_template`, say to"),
        ({}, {"prompt": ["a"], "text": ["b"]}, "give `prompt` and `completion`, or `messages` alone; found prompt, t"),
        ({}, {"prompt": [" "]}, "input 'prompt': the text is empty: ' '"),
        ({}, {"prompt": ["a"], "completion": [7]}, "input 'completion': expected a text, found 7"),
        ({"chat_template": "plain"}, {"messages": ["hello"]}, "expected a list of messages, each with `role` and `c"),
        ({"chat_template": "plain"}, {"messages": [[{"role": "user"}]]}, "message 1: expected `role` and `content`, f"),
        ({"chat_template": "{{ raise_exception('no') }}"}, {"messages": [CHAT]}, "the chat template refuses the con"),
        ({"chat_template": "{{ messages[0].text }}"}, {"messages": [CHAT]}, "the chat template writes nothing of the"),
        ({"chat_template": "{{ messages | length }}"}, {"messages": [CHAT]}, "beginning .* otherwise .*; name another"),
    ],
)
def test_what_cannot_be_read(settings: dict[str, Any], columns: dict[str, Any], message: str) -> None:
    of = processor(**settings)
    with pytest.raises(UserError, match=message):
        of.encode(columns)


def test_a_template_that_nobody_has_is_refused() -> None:
    with pytest.raises(UserError, match=r"`chat_template`: the tokenizer has no template 'chatnl'; did you mean 'chat"):
        processor(chat_template="chatnl")


def test_a_template_that_is_no_jinja_is_refused_before_any_data() -> None:
    with pytest.raises(UserError, match=r"`chat_template`: line 2 of the template: Encountered unknown tag 'end'"):
        processor(chat_template="{% for message in messages %}\n{% end %}")


def test_the_tokenizers_own_template_is_used() -> None:
    tokenizer = character_tokenizer("ascii")
    tokenizer.chat_template = UNMARKED
    of = TextProcessor(tokenizer, 200)
    assert said(of, encoded(of, messages=[CHAT])) == "cd[SEP]g[SEP]"
    assert of.signature() != processor(200).signature()
    tokenizer.chat_template = {"default": "no", "mine": UNMARKED}
    assert said(of := TextProcessor(tokenizer, 200, chat_template="mine"), encoded(of, messages=[CHAT]))
    assert of.conversations.named == {"chat_template": UNMARKED}


# -- characters --------------------------------------------------------------------------------------------------------
def test_texts_of_printable_characters_come_back_as_they_are() -> None:
    of = TextProcessor(character_tokenizer("printable"), 100)
    said = "we 've  2 : a+ ,\n\nit isn't dear -s ."
    example = encoded(of, prompt=["name='a b'"], completion=[said])
    assert of.tokenizer.decode(example["answer"], skip_special_tokens=True) == said
    assert example["prompt_length"] == [1 + len("name='a b'")]
    assert of.tokenizer.convert_ids_to_tokens(encoded(of, prompt=["a\té"])["input_ids"])[2:] == ["[UNK]"] * 2
