"""`predict`: a line for each input, in order, and null with the reason where there is no prediction."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl_lightning.cli.outputs import check_output
from mtl_lightning.cli.prediction_lines import to_json
from mtl_lightning.cli.trainer import Trainer
from mtl_lightning.data import FileSource, MultiTaskDataModule
from mtl_lightning.encoders import Encoder, PerceptronEncoder, TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Regression, SequenceClassification, Task, TokenClassification
from mtl_lightning.training.module import MultiTaskModule

BERT = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
}
QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


def transformer(**changes: Any) -> TransformerEncoder:
    return TransformerEncoder(config=BERT, tokenizer="characters:ascii", **{"max_length": 32, **changes})


def predict(
    path: Path,
    content: str | bytes,
    inputs: dict[str, str],
    tasks: dict[str, Task] | None = None,
    encoder: Encoder | None = None,
    **changes: Any,
) -> list[dict[str, Any]]:
    """The lines that are written of a file; a model of random weights."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    tasks = tasks or {"topic": SequenceClassification(labels=["x", "y"])}
    data = MultiTaskDataModule(
        {"mine": FileSource({"train": "none.csv"}, inputs, {name: name for name in tasks})}, eval_batch_size=2
    )
    model = MultiTaskModule(encoder or transformer(), tasks)
    output = path.with_name("out.jsonl")
    try:
        Trainer(accelerator="cpu", **QUIET, **changes).predict(model, data, input=str(path), output=str(output))
    finally:
        lines = [json.loads(line, parse_constant=pytest.fail) for line in output.read_text().splitlines()]
    return lines


def texts(lines: Sequence[dict[str, Any]]) -> list[Any]:
    return [line["text"] if line["predictions"] else line["reason"] for line in lines]


EMPTY = "column 'text': input 'text': the text is empty: ''"


def test_a_line_for_each_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = predict(tmp_path / "in.txt", b"a\n\n  \nb\n\xff\nc\n\n", {"text": "text"})
    assert texts(lines) == [
        *("a", EMPTY, EMPTY[:-1] + "  '", "b"),
        "byte 0xff at character 1 is not UTF-8; save the file as UTF-8: '\\udcff'",
        *("c", EMPTY),
    ]
    assert lines[1] == {"text": "", "predictions": None, "reason": EMPTY}
    assert set(lines[0]) == {"text", "predictions"}
    (warning,) = [record.getMessage() for record in caplog.records if "predicted" in record.getMessage()]
    assert warning.startswith("4 of 7 inputs cannot be predicted on;")
    assert warning.endswith(f"the first: {tmp_path / 'in.txt'}, line 2: {EMPTY}")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("in.csv", "id,text\n1,a\n2,\n\n3,b,c\n4,d\n", ["a", EMPTY, "the line is empty", "expected 2 values", "d"]),
        (
            "in.jsonl",
            '{"text": "a"}\n\n{"text"\n{"text": 5}\n{"text": "b"}\n',
            ["a", "the line", "not JSON", None, "b"],
        ),
        ("in.json", '[{"text": "a"}, {"text": null},\n{"text": "b"}]', ["a", "column 'text': input 'text': exp", "b"]),
    ],
)
def test_good_rows_of_a_table_are_answered(tmp_path: Path, name: str, content: str, expected: list[Any]) -> None:
    lines = predict(tmp_path / name, content, {"text": "text"})
    assert len(lines) == len(expected)
    for found, wanted in zip(texts(lines), expected, strict=True):
        assert wanted is None or found.startswith(wanted)


def test_inputs_are_read_as_those_of_the_tasks_asked_for(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\nplay some jazz\n")
    sources = {
        "topics": FileSource({"train": "none.csv"}, {"text": "text"}, {"topic": "topic"}),
        "slots": FileSource({"train": "none.csv"}, {"tokens": "text"}, {"slots": "slots"}),
    }
    found = {}
    for tasks in (None, "slots", "slots,topic"):
        model = MultiTaskModule(
            transformer(), {"topic": SequenceClassification(labels=["x", "y"]), "slots": spans_task()}
        )
        trainer = Trainer(accelerator="cpu", **QUIET)
        data, output = MultiTaskDataModule(sources), tmp_path / "out.jsonl"
        trainer.predict(model, data, input=str(tmp_path / "in.csv"), output=str(output), tasks=tasks)
        found[tasks] = list(json.loads(output.read_text())["predictions"])
    assert found == {None: ["topic"], "slots": ["slots"], "slots,topic": ["slots", "topic"]}


def test_no_input_can_be_predicted_on(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="--input: of 2 inputs none can be predicted on; the output says why; the first"
    ):
        predict(tmp_path / "in.txt", "\n\n", {"text": "text"})
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2


def test_labels_are_not_learned_from_training_data(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").touch()
    with pytest.raises(UserError, match=r"model\.tasks\.topic: `predict` reads no training data .* omit --config"):
        predict(tmp_path / "in.csv", "text\na\n", {"text": "text"}, {"topic": SequenceClassification()})


def test_a_limit_writes_a_part(tmp_path: Path) -> None:
    lines = predict(tmp_path / "in.txt", "a\n\nb\nc\n\nd\n", {"text": "text"}, limit_predict_batches=1)
    assert texts(lines) == ["a", EMPTY, "b"]


def test_numbers_of_the_input_keep_their_digits(tmp_path: Path) -> None:
    rows = '{"id": 9007199254740993, "text": "a"}\n{"id": "x", "text": "b"}\n'
    assert [line["id"] for line in predict(tmp_path / "in.jsonl", rows, {"text": "text"})] == [9007199254740993, "x"]


class Diverged(Regression):
    def decode(self, logits: Any, mask: Any) -> list[dict[str, Any]]:
        return [{"value": math.nan, "interval": [-math.inf, 1.5]} for _ in logits]


def test_what_is_no_number_is_null(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = Diverged(mean=0.0, std=1.0)
    rows = '{"f": [1, 2], "other": NaN}\n{"f": [1, NaN]}\n{"f": [1]}\n{"f": [3, 4]}\n'
    lines = predict(tmp_path / "in.jsonl", rows, {"features": "f"}, {"score": task}, PerceptronEncoder(2, [4]))
    assert [line["predictions"] for line in lines] == [
        *({"score": {"value": None, "interval": [None, 1.5]}}, None, None),
        {"score": {"value": None, "interval": [None, 1.5]}},
    ]
    assert "must be finite numbers, found nan" in lines[1]["reason"]
    assert "`in_features` is 2, but input 'features' has 1 number" in lines[2]["reason"]
    assert [line["other"] for line in lines] == [None] * 4
    assert len([record for record in caplog.records if "is not a finite number" in record.getMessage()]) == 1


def test_all_but_nan_is_kept() -> None:
    value = {"a": [1, 2.5, "NaN", None, True, "ä"], "b": {"c": ()}}
    expected = '{"a": [1, 2.5, "NaN", null, true, "ä"], "b": {"c": []}'
    assert to_json(value) == expected + "}"
    assert to_json({**value, "d": (math.inf, 1.5)}) == expected + ', "d": [null, 1.5]}'


# -- words -------------------------------------------------------------------------------------------------------------
def spans_task() -> TokenClassification:
    """Tags by the word's position: O B-a I-a O O B-b."""
    task = TokenClassification("bio", labels=["O", "B-a", "I-a", "B-b", "I-b"])
    wanted = torch.tensor([0, 1, 2, 0, 0, 3])

    def forward(features: Any) -> torch.Tensor:
        length = features.tokens.shape[1]
        return 10 * torch.eye(5)[wanted[:length]].expand(len(features.tokens), -1, -1)

    task.forward = forward  # type: ignore[method-assign]
    return task


def slots(path: Path, content: str, **changes: Any) -> dict[str, Any]:
    (line,) = predict(path, content, {"tokens": "words"}, {"slots": spans_task()}, transformer(**changes))
    return line["predictions"]["slots"]  # type: ignore[no-any-return]


def test_spans_of_a_text_say_where_they_stand(tmp_path: Path) -> None:
    text = "  by Miles   Davis\ttoo is jazz"
    found = slots(tmp_path / "in.txt", text + "\n")
    assert found["words"] == text.split()
    assert [text[start:end] for start, end in found["offsets"]] == found["words"]
    assert found["labels"] == ["O", "B-a", "I-a", "O", "O", "B-b"]
    first, second = found["spans"]
    assert (first["label"], first["word"], text[first["start"] : first["end"]]) == ("a", *["Miles   Davis"] * 2)
    assert (first["start_word"], first["end_word"], first["score"]) == (1, 3, pytest.approx(found["probabilities"][1]))
    assert (second["label"], second["word"], second["start"], second["end"]) == ("b", "jazz", 26, 30)


def test_spans_of_a_list_are_positions_in_it(tmp_path: Path) -> None:
    found = slots(tmp_path / "in.jsonl", '{"words": ["by", "Miles", "Davis", "too", "is", "jazz"]}\n')
    assert set(found) == {"labels", "probabilities", "spans"}
    assert [(span["word"], span["start"], span["end"]) for span in found["spans"]] == [
        ("Miles Davis", 1, 3),
        ("jazz", 5, 6),
    ]


def test_characters_are_words(tmp_path: Path) -> None:
    found = slots(tmp_path / "in.txt", "a bc d\n", split="characters")
    assert (found["words"], found["offsets"]) == (["a", "b", "c", "d"], [[0, 1], [2, 3], [3, 4], [5, 6]])
    assert [(span["word"], span["start"], span["end"]) for span in found["spans"]] == [("bc", 2, 4)]


def test_words_that_were_cut_off_have_no_tag(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = slots(tmp_path / "in.txt", "a b c d e f g\n", max_length=5)
    assert found["labels"] == ["O", "B-a", "I-a", None, None, None, None]
    assert found["probabilities"][3:] == [None] * 4
    assert len(found["words"]) == 7
    assert "4 words are cut off" in caplog.text


@pytest.mark.parametrize("split", ["whitespace", "characters"])
@pytest.mark.parametrize("text", ["a\x1cb\u3000c\xa0d\u200be", " x ", "日本 語\x85z", "a\u2028b"])
def test_words_are_those_that_are_encoded(split: str, text: str) -> None:
    processor = transformer(split=split).processor
    words = processor.words(text)
    assert list(words.words) == processor.plain.word_lists.words_of(text)
    assert [text[start:end] for start, end in words.offsets] == words.words


# -- files -------------------------------------------------------------------------------------------------------------
def test_the_output_is_not_the_input(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with pytest.raises(UserError, match=r"--output: .*out\.jsonl is the input, which would be overwritten"):
        predict(path, '{"text": "a"}\n', {"text": "text"})
    assert path.read_text() == '{"text": "a"}\n'


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path, tmp_path / "file" / "out.jsonl"):
        with pytest.raises(UserError, match=r"--output: cannot write .*: (Is a directory|.* is a file, not a folder)"):
            check_output(str(path))
    check_output(str(tmp_path / "file"))
    check_output(str(tmp_path / "new" / "out.jsonl"))
    assert (tmp_path / "file").read_text() == "kept"
    assert not (tmp_path / "new" / "out.jsonl").exists()


def test_a_column_that_the_output_has_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (line,) = predict(tmp_path / "in.csv", "text,predictions\na,old\n", {"text": "text"})
    assert set(line["predictions"]) == {"topic"}
    assert "the output has a 'predictions' of its own, which replaces the input's column" in caplog.text
