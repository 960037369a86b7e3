"""Exported models predict what they were exported from, without torch; folders that are not whole are refused."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import handmade
import onnx
import pytest
import tiny
import torch
from closeness import close
from in_process import InProcess

from mtl_lightning import manifest
from mtl_lightning.chains import PredictedSpans
from mtl_lightning.decoding import LabelDecoder
from mtl_lightning.encoders import ConvolutionalEncoder, Encoder, TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.export import readings
from mtl_lightning.export.graphs import WrittenGraph, write_graph
from mtl_lightning.export.onnx_format import export_onnx
from mtl_lightning.export.quantisation import quantise
from mtl_lightning.export.readings import Source
from mtl_lightning.export.samples import samples, tensors_of
from mtl_lightning.exported import ExportedModel
from mtl_lightning.exported.description import FORMAT, Description, Reading, write_description
from mtl_lightning.exported.graph import Graph
from mtl_lightning.exported.rows import in_order_of
from mtl_lightning.inputs.sounds import SoundInputs
from mtl_lightning.rows.text_format import TextFormat
from mtl_lightning.tasks import (
    CausalLM,
    DependencyParsing,
    MultiLabelClassification,
    MultipleChoice,
    Ranking,
    Regression,
    RelationClassification,
    SequenceClassification,
    SimilarityRegression,
    SpanQuestionAnswering,
    Task,
    TokenClassification,
    TokenMultiLabelClassification,
)
from mtl_lightning.training.module import MultiTaskModule

LABELS = ["a", "b", "c"]
LINK = partial(PredictedSpans, after="tags")
BIO = ["O", "B-x", "I-x"]


def of_words() -> dict[str, Task]:
    return {
        "kind": SequenceClassification(labels=LABELS),
        "kinds": MultiLabelClassification(labels=LABELS),
        "number": Regression(mean=1.0, std=2.0),
        "tags": TokenClassification(labels=BIO, scheme="bio"),
        "chained": TokenClassification(labels=BIO, scheme="bio", decoding="crf"),
        "features": TokenMultiLabelClassification(labels=LABELS),
        "tree": DependencyParsing(labels=LABELS, arc_size=4, relation_size=3),
        "relations": RelationClassification(labels=LABELS, hidden=4),
    }


IMAGE: dict[str, str | list[str]] = {"image": "pixels"}
MODELS: dict[str, tuple[Any, dict[str, str | list[str]]]] = {
    "words": (of_words, {"tokens": "words", "spans": "entities"}),
    "choices": (lambda: {"choice": MultipleChoice(), "order": Ranking()}, {"text": "q", "choices": "c"}),
    "windows": (lambda: {"answer": SpanQuestionAnswering()}, {"text": "q", "context": "c"}),
    "images": (lambda: {"digit": SequenceClassification(labels=LABELS), "sum": Regression(mean=1.0, std=2.0)}, IMAGE),
    "texts": (lambda: {"like": SimilarityRegression(mean=0.0, std=1.0)}, {"texts": ["a", "b"]}),
}


def transformer() -> Encoder:
    config = {**tiny.BERT, "max_position_embeddings": 40, "num_hidden_layers": 1}
    return TransformerEncoder(config=config, tokenizer="characters:ascii", spans="inclusive")


ENCODERS: dict[str, Callable[[], Encoder]] = {"images": lambda: ConvolutionalEncoder(channels=[2], features=4)}


def made(name: str, **settings: Any) -> MultiTaskModule:
    torch.manual_seed(0)
    model = MultiTaskModule(ENCODERS.get(name, transformer)(), MODELS[name][0](), **settings)
    model.build()
    if name == "words":
        model.tasks["tags"].head.bias.data[0] -= 5  # its spans are to be found
    return model.eval()


@pytest.fixture(scope="module")
def written() -> list[WrittenGraph]:
    """What was said of the file of ``words``."""
    return []


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, written: list[WrittenGraph]) -> tuple[Path, MultiTaskModule]:
    """A folder, and the model that it was exported from."""
    folder, model = tmp_path_factory.mktemp("words"), made("words")

    def writing(*arguments: Any) -> WrittenGraph | None:
        written.extend([found] if (found := write_graph(*arguments)) is not None else [])
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mtl_lightning.export.readings.write_graph", writing)
        (found,) = export_onnx(model, [Source(MODELS["words"][1], TextFormat())], list(model.tasks), folder)
    assert max(found.difference.values()) < 1e-4 and set(found.difference) == set(model.tasks)
    manifest.seal(folder, "onnx")
    return folder, model


def alike(folder: Path, model: MultiTaskModule, names: Collection[str]) -> bool:
    """Whether both predict the same of examples of three sizes, the exported one also as a server."""
    plain = model.encoder.processor.plain
    assert plain is not None
    raw = samples(plain, names, (3, 1, 6))
    wanted = model.predict(raw)
    server = InProcess(folder, batch_size=8, batch_wait=0.0)
    rows = [dict(zip(raw, values, strict=True)) for values in zip(*raw.values(), strict=True)]
    served = server.predict(inputs=rows).json()["predictions"]
    return close(ExportedModel(folder, 1).predict(raw, batch_size=2), wanted) and close(served, wanted)


@pytest.mark.parametrize("names", [["tokens", "spans"], ["tokens"]], ids="-".join)
def test_all_heads_of_words_predict_alike(words: tuple[Path, MultiTaskModule], names: list[str]) -> None:
    assert alike(*words, dict.fromkeys(names))


def test_the_logits_of_all_heads_are_those_that_metrics_read(
    words: tuple[Path, MultiTaskModule], written: list[WrittenGraph]
) -> None:
    model = words[1]
    assert model.encoder.processor.plain is not None
    raw = samples(model.encoder.processor.plain, MODELS["words"][1], (4, 2))
    inputs = tensors_of(model, raw)
    with torch.no_grad():
        wanted = model(inputs)
    graph = Graph(words[0] / written[0].graph, 1)
    for task, logits in written[0].logits.items():
        arrays = graph.run({name: tensor.numpy() for name, tensor in inputs.items()}, list(logits.names.values()))
        found = logits.of(arrays)
        assert type(found) is type(wanted[task])
        torch.testing.assert_close(found, wanted[task], atol=1e-5, rtol=1e-4)
    assert set(written[0].logits) == set(model.tasks)


def test_the_file_does_not_say_where_its_code_was(words: tuple[Path, MultiTaskModule]) -> None:
    assert str(Path(__file__).parents[3]).encode() not in (words[0] / "tokens-spans.onnx").read_bytes()


@pytest.mark.parametrize("names", [["tokens", "spans"], ["tokens"]], ids="-".join)
def test_relations_of_spans_that_a_task_finds(
    words: tuple[Path, MultiTaskModule], tmp_path: Path, names: list[str]
) -> None:
    """The graph is that of given spans: who runs it finds them first."""
    folder, chained = shutil.copytree(words[0], tmp_path / "copy"), made("words", chain={"relations": LINK()})
    chained.load_state_dict(words[1].state_dict())
    handmade.reseal(folder, lambda known: {**known, "readings": [found_by_tags(each) for each in known["readings"]]})
    assert alike(folder, chained, dict.fromkeys(names))
    (found,) = ExportedModel(folder, 1).predict({"tokens": [["some", "words", "that", "follow"]]}, tasks=["tags"])
    assert len(found["tags"]["spans"]) > 1, "there is something to relate"


def found_by_tags(reading: dict[str, Any]) -> dict[str, Any]:
    outputs = {**reading["outputs"], "relations": {name: f"relations/{name}" for name in ("scores", "spans")}}
    return {**reading, "found": {"spans": "tags"}, "outputs": {task: outputs[task] for task in of_words()}}


def test_ways_to_read_inputs_share_graphs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written: list[list[str]] = []

    def write(model: Any, inputs: Collection[str], tasks: list[str], folder: Path) -> WrittenGraph:
        written.append(list(inputs))
        return WrittenGraph("graph.onnx", {task: {"logits": task} for task in tasks})

    monkeypatch.setattr(readings, "write_graph", write)
    spans: dict[str, str | list[str]] = {"tokens": "words", "spans": "entities"}
    sources = [Source(spans, TextFormat(), ["relations"]), Source({"tokens": "form"}, TextFormat(), ["tags", "other"])]
    sources.append(Source({"prompt": "p", "completion": "c"}, TextFormat(), ["text"]))
    tasks = ["tags", "relations"]
    first, bare, form = readings.write_readings(made("words"), sources, tasks, tmp_path)[0]
    assert written == [["tokens", "spans"]]
    assert [each.columns for each in (first, bare, form)] == [spans, {"tokens": "words"}, {"tokens": "form"}]
    assert [each.found for each in (first, bare, form)] == [{}, {"spans": None}, {"spans": None}]
    assert [list(each.outputs) for each in (first, bare, form)] == [tasks, ["tags"], ["tags"]]
    assert [each.labels for each in (first, bare, form)] == [["relations"], ["relations"], ["tags"]]
    assert in_order_of([first, bare, form], ["tags"])[0] == form
    chained = made("words", chain={"relations": LINK()})
    found = readings.write_readings(chained, sources, tasks, tmp_path)[0]
    assert {each.found["spans"] for each in found} == {"tags"}
    assert all(list(each.outputs) == tasks for each in found)
    with pytest.raises(UserError, match="'relations' reads the spans that 'tags' finds; export both"):
        readings.write_readings(chained, sources, ["relations"], tmp_path)


@pytest.mark.parametrize("name", ["choices", "windows", "texts", "images"])
def test_heads_of_other_inputs_predict_alike(name: str, tmp_path: Path) -> None:
    model = made(name)
    export_onnx(model, [Source(MODELS[name][1], TextFormat())], list(model.tasks), tmp_path)
    manifest.seal(tmp_path, "onnx")
    assert alike(tmp_path, model, MODELS[name][1])


PREDICT = """
import sys
for name in ("torch", "transformers", "datasets", "lightning", "pyarrow", "pandas", "scipy", "sklearn"):
    sys.modules[name] = None
from mtl_lightning.__main__ import main
sys.exit(main(["predict", "--model", *sys.argv[1:]]))
"""


def test_the_command_needs_no_torch_and_says_why_a_row_is_none(
    words: tuple[Path, MultiTaskModule], tmp_path: Path
) -> None:
    rows = [{"words": ["a", "b"], "entities": [[0, 1]]}, {"words": [], "entities": []}]
    (tmp_path / "in.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows) + "{broken\n")
    command = [sys.executable, "-c", PREDICT, str(words[0]), "--input", "in.jsonl", "--tasks", "kind,tree"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    first, second, third = map(json.loads, done.stdout.splitlines())
    wanted = words[1].predict({"tokens": [["a", "b"]], "spans": [[[0, 1]]]}, tasks=["kind", "tree"])
    assert close(first, {**rows[0], "predictions": wanted[0]})
    assert second == {**rows[1], "predictions": None, "reason": second["reason"]}
    assert "the list of words is empty" in second["reason"] and third["predictions"] is None


def test_what_cannot_be_asked_is_said(words: tuple[Path, MultiTaskModule]) -> None:
    model = ExportedModel(words[0])
    with pytest.raises(UserError, match=r"unknown task 'kin'.*'kind'"):
        model.predict({"tokens": [["a"]], "spans": [[]]}, tasks=["kin"])
    with pytest.raises(UserError, match="the model reads tokens, spans or tokens; found text"):
        model.predict({"text": ["a"]})


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("tokens-spans.onnx", lambda path: path.write_bytes(path.read_bytes()[:-1]), "its checksum differs"),
        ("tokenizer.json", Path.unlink, "lacks tokenizer.json"),
        ("export.json", Path.unlink, "is no exported model"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(
    words: tuple[Path, MultiTaskModule], tmp_path: Path, name: str, change: Any, said: str
) -> None:
    shutil.copytree(words[0], tmp_path, dirs_exist_ok=True)
    change(tmp_path / name)
    with pytest.raises(UserError, match=said):
        ExportedModel(tmp_path)


def test_what_says_more_of_an_input_may_be_left_out(tmp_path: Path) -> None:
    columns = {"sound": "file", "sound_start": "start", "sound_length": "length"}
    outputs = {"kind": {"logits": "kind/logits"}}
    reading = Reading(columns, TextFormat(), "sound.onnx", outputs, ["kind"])
    (tmp_path / "sound.onnx").touch()
    inputs, decoders = SoundInputs(1000, 8, 100, 50), {"kind": LabelDecoder(("a", "b"))}
    write_description(tmp_path, Description(inputs, decoders, [reading]), {})
    manifest.seal(tmp_path, FORMAT)
    model = ExportedModel(tmp_path)
    assert model.reading_of(["sound"]) == model.reading_of(["sound_length", "sound"]) == model.readings[0]
    encoded = model.encode({"sound": [[0.0, 0.5] * 100]}).examples[0]["sound"]
    assert (encoded["start"], encoded["length"]) == (0, 200)
    with pytest.raises(UserError, match="the model reads sound, sound_start, sound_length; found sound_start"):
        model.reading_of(["sound_start"])


def test_a_file_that_is_not_in_the_manifest_is_not_read(words: tuple[Path, MultiTaskModule], tmp_path: Path) -> None:
    shutil.copytree(words[0], tmp_path, dirs_exist_ok=True)
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace("tokens-spans.onnx", "../other.onnx"))
    (tmp_path / "export.json").unlink()
    manifest.seal(tmp_path, "onnx")
    with pytest.raises(UserError, match=r"does not name \.\./other\.onnx"):
        ExportedModel(tmp_path)


def test_a_folder_of_another_version_is_refused_by_name(words: tuple[Path, MultiTaskModule], tmp_path: Path) -> None:
    shutil.copytree(words[0], tmp_path, dirs_exist_ok=True)
    known = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**known, "version": 0}))
    (tmp_path / "export.json").unlink()
    manifest.seal(tmp_path, "onnx")
    with pytest.raises(UserError, match="in version 0 of its format; this one reads version 1: export the model again"):
        ExportedModel(tmp_path)


def test_weights_of_8_bits_predict_much_the_same(words: tuple[Path, MultiTaskModule], tmp_path: Path) -> None:
    quantise(words[0] / "tokens-spans.onnx", tmp_path / "tokens-spans.onnx", ["kind"])
    for name in ("tokenizer.json", "model.json"):
        (tmp_path / name).write_bytes((words[0] / name).read_bytes())
    manifest.seal(tmp_path, "onnx")
    raw = {"tokens": [["a", "b"]], "spans": [[[0, 1]]]}
    found, wanted = (ExportedModel(folder).predict(raw)[0] for folder in (tmp_path, words[0]))
    assert found["kind"]["probability"] == pytest.approx(wanted["kind"]["probability"], abs=0.05)
    assert found != wanted
    weights = onnx.load(tmp_path / "tokens-spans.onnx").graph.initializer
    small = [each.name for each in weights if each.data_type == onnx.TensorProto.INT8]
    assert any("word_embeddings" in name for name in small) and any("heads.kinds." in name for name in small)
    assert not any("heads.kind." in name for name in small)


def writing(**more: Task) -> MultiTaskModule:
    encoder = TransformerEncoder(config=tiny.LLAMA, tokenizer="characters:printable", pooling="last")
    model = MultiTaskModule(encoder, {"answer": CausalLM(), **more})
    model.build()
    return model


def test_tasks_that_write_are_left_out(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    assert readings.portable(writing(kind=SequenceClassification(labels=LABELS))) == ["kind"]
    assert "task 'answer' is left out: CausalLM writes a text token by token, which needs torch" in caplog.text
    with pytest.raises(UserError, match="no task can be exported as onnx: CausalLM writes a text"):
        readings.portable(writing())
    with pytest.raises(UserError, match="needs torch"):  # where it is asked for by name
        export_onnx(writing(), [], ["answer"], tmp_path)
