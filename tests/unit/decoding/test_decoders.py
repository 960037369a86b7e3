"""Decoders: as JSON and back, and what is refused."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from mtl_lightning import decoding
from mtl_lightning.decoding import (
    Decoder,
    DepthDecoder,
    LabelDecoder,
    NumberDecoder,
    RankingDecoder,
    TagDecoder,
    decoder_of,
)
from mtl_lightning.decoding.from_state import DECODERS
from mtl_lightning.decoding.probabilities import log_softmax, sigmoid, softmax
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import CausalLM, SequenceClassification, Task, TokenClassification

LABEL = {"decoder": "LabelDecoder", "labels": ["a", "b"]}
TAGS = {"decoder": "TagDecoder", "labels": ["a", "b"], "scheme": "tags", "transitions": None}


def test_every_decoder_can_be_written_and_read() -> None:
    exported = {name for name in decoding.__all__ if name.endswith("Decoder")} - {"Decoder"}
    assert DECODERS.keys() == exported
    assert all(issubclass(kind, Decoder) for kind in DECODERS.values())


def test_transitions_keep_their_digits_in_json() -> None:
    transitions = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    state = json.loads(json.dumps(TagDecoder(("a", "b"), "tags", transitions).state()))
    read = decoder_of(state)
    assert isinstance(read, TagDecoder) and read.transitions is not None
    assert np.array_equal(read.transitions, transitions) and read.labels == ("a", "b")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "unknown decoder None"),
        ({"decoder": "os.system"}, "unknown decoder 'os.system'"),
        ({**LABEL, "decoder": "LabelDecodr"}, "did you mean 'LabelDecoder'"),
        ({**LABEL, "decoder": ["LabelDecoder"]}, "unknown decoder"),
        ({"decoder": "LabelDecoder"}, "LabelDecoder needs the field 'labels'"),
        ({**LABEL, "threshold": 0.5}, "LabelDecoder does not know the field 'threshold'"),
        ({**LABEL, "labels": "ab"}, "`labels` of LabelDecoder: expected .*, found 'ab'"),
        ({**LABEL, "labels": ["a", 1]}, "`labels` of LabelDecoder"),
        ({"decoder": "NumberDecoder", "mean": True, "std": 1.0}, "`mean` of NumberDecoder: expected float, found True"),
        ({"decoder": "NumberDecoder", "mean": 0.0, "std": float("nan")}, "`std` of NumberDecoder"),
        ({"decoder": "AnswerDecoder", "max_answer": 1.5}, "`max_answer` of AnswerDecoder"),
        ({**TAGS, "scheme": "xyz"}, "`scheme` of TagDecoder"),
        ({**TAGS, "transitions": [[0, 0, 0], [0, 0]]}, "`transitions` of TagDecoder"),
        ({**TAGS, "transitions": [["a"]]}, "`transitions` of TagDecoder"),
        ({**TAGS, "transitions": [[0.0, 1.0]]}, r"`transitions` must be \[3, 3\] for 2 tags, found \[1, 2\]"),
    ],
)
def test_a_state_that_describes_no_decoder_is_refused(state: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        decoder_of(state)


def test_arrays_of_another_model_are_refused() -> None:
    with pytest.raises(UserError, match="the model gives no 'logits', but scores"):
        LabelDecoder(("a", "b")).decode({"scores": np.zeros((1, 2))})
    with pytest.raises(UserError, match="the model gives 3 of 'logits' where its decoder knows 2"):
        LabelDecoder(("a", "b")).decode({"logits": np.zeros((1, 3))})


def test_half_precision_is_decoded_in_single_precision() -> None:
    logits = np.array([[0.1, 0.7, -2.0]], dtype=np.float16)
    (half,), (single,) = (
        LabelDecoder(("a", "b", "c")).decode({"logits": x}) for x in (logits, logits.astype(np.float32))
    )
    assert half == single


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_probabilities_are_those_of_torch(scale: float) -> None:
    scores = scale * np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    tensor = torch.from_numpy(scores)
    for ours, theirs in (
        (softmax, tensor.softmax(-1)),
        (log_softmax, tensor.log_softmax(-1)),
        (sigmoid, tensor.sigmoid()),
    ):
        np.testing.assert_allclose(ours(scores), theirs.numpy(), atol=1e-6, rtol=1e-6)


def test_scores_that_are_not_numbers_are_decoded_without_a_warning() -> None:
    logits = np.array([[np.nan, 0.0], [np.inf, 0.0]], dtype=np.float32)
    assert [row["label"] for row in LabelDecoder(("a", "b")).decode({"logits": logits})] == ["a", "a"]
    (row,) = RankingDecoder().decode({"logits": np.array([[0.0, np.nan, -np.inf]])})
    assert row["ranking"] == [1, 0]


class DecodesByItself(SequenceClassification):
    def decode(self, logits: Any, mask: Any) -> list[dict[str, Any]]:
        return [{**row, "own": True} for row in super().decode(logits, mask)]


class PlacesByItself(TokenClassification):
    def place(self, decoded: dict[str, Any], words: Any) -> dict[str, Any]:
        return {"words": words}


class SaysBoth(DecodesByItself):
    def decoder(self) -> Any:
        return super().decoder()

    def decode(self, logits: Any, mask: Any) -> list[dict[str, Any]]:
        return super().decode(logits, mask)


class SaysNothing(SequenceClassification):
    decode, decoder = Task.decode, Task.decoder


def test_a_task_with_a_decode_of_its_own_predicts_but_is_not_portable() -> None:
    task = DecodesByItself(["a", "b"])
    assert task.decode(torch.tensor([[0.0, 9.0]]), None)[0]["own"]
    with pytest.raises(
        UserError, match="DecodesByItself predicts by its own `decode`, which needs torch; return a dec"
    ):
        task.portable_decoder()
    with pytest.raises(UserError, match="SaysBoth predicts by its own `decode`"):
        SaysBoth(["a", "b"]).portable_decoder()
    with pytest.raises(UserError, match="SaysNothing makes no predictions; define `decoder`"):
        SaysNothing(["a", "b"]).check_predicts()
    with pytest.raises(UserError, match="PlacesByItself predicts by its own `place`"):
        PlacesByItself(labels=["a", "b"]).portable_decoder()
    with pytest.raises(UserError, match="CausalLM writes a text token by token, which needs torch"):
        CausalLM().portable_decoder()


def test_which_tasks_place_predictions_beside_words() -> None:
    placing = (TokenClassification(labels=["a", "b"]), PlacesByItself(labels=["a", "b"]))
    assert all(task.places for task in placing)
    assert not SequenceClassification(["a", "b"]).places and not CausalLM().places
    decoded = {"text": "x"}
    assert CausalLM().place(decoded, None) is decoded  # type: ignore[arg-type]


def test_numbers_beyond_the_largest_are_infinite() -> None:
    assert NumberDecoder(0.0, 1e308).decode({"values": np.array([100.0, 1.0])}) == [
        {"value": math.inf},
        {"value": 1e308},
    ]
    depth = DepthDecoder(1e308).decode({"logits": np.zeros((1, 1, 1, 1), np.float32)})
    assert depth == [{"depth": [[math.inf]]}]
