"""Several kinds of input in one encoder: what is whose, how it is joined, and that a checkpoint suffices."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from tokenizers import Tokenizer

from mtl_lightning import load
from mtl_lightning.__main__ import main
from mtl_lightning.encoders import (
    ConvolutionalEncoder,
    Images,
    ModalityEncoder,
    PerceptronEncoder,
    TablePerceptron,
    TransformerEncoder,
)
from mtl_lightning.errors import UserError
from mtl_lightning.exported.input_states import inputs_of, state_of, tokenizer_files, tokenizers_of
from mtl_lightning.inputs.column_statistics import CountedColumn
from mtl_lightning.inputs.meant import Way, not_meant

WORDS = [["one", "two"], ["a", "longer", "one"]]
IMAGES = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)).tolist()


def made(**stems: Any) -> ModalityEncoder:
    torch.manual_seed(0)
    return ModalityEncoder(stems, width=5, hidden=[7, 6]).eval()


def text(**settings: Any) -> TransformerEncoder:
    return TransformerEncoder(config=tiny.BERT, tokenizer="characters:printable", max_length=12, **settings)


def picture(features: int = 8) -> ConvolutionalEncoder:
    return ConvolutionalEncoder(channels=[2], features=features)


def collated(encoder: ModalityEncoder, **columns: Any) -> dict[str, torch.Tensor]:
    encoded = encoder.processor.encode(columns)
    return encoder.processor.collate(
        [dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)]
    )


def test_what_several_stems_made_is_their_mean_for_the_example_and_for_each_word() -> None:
    encoder = made(words=text(), image=picture())
    together = encoder.begin(collated(encoder, tokens=WORDS, image=IMAGES))
    words, image = (encoder.begin(collated(encoder, **each)) for each in ({"tokens": WORDS}, {"image": IMAGES}))
    assert words.hidden.shape == (2, 4, 5) and image.hidden.shape == (2, 1, 5)
    torch.testing.assert_close(together.hidden, (words.hidden + image.hidden) / 2)
    made_of = encoder.end(together)
    assert made_of.tokens is not None and made_of.mask is not None
    assert made_of.mask.tolist() == [[True, True, False], [True] * 3]
    torch.testing.assert_close(encoder.pool(together), together.hidden[:, 0])


def test_a_stem_without_inputs_is_not_computed() -> None:
    encoder = made(words=text(), image=picture())
    pooled = encoder(collated(encoder, image=IMAGES)).pooled
    assert pooled is not None
    pooled.sum().backward()
    reached = {name.split(".")[1] for name, p in encoder.named_parameters() if p.grad is not None and "stems" in name}
    assert reached == {"image"}


def test_an_example_that_lacks_a_kind_has_the_mean_of_the_others() -> None:
    encoder = made(words=text(), image=picture())
    some = {"tokens": [*WORDS, None], "image": [IMAGES[0], None, IMAGES[1]]}
    inputs = collated(encoder, **some)
    assert inputs["absent"].tolist() == [[False, False], [False, True], [True, False]]
    found = encoder(inputs)
    both = encoder(collated(encoder, tokens=WORDS[:1], image=IMAGES[:1]))
    words, image = (encoder(collated(encoder, **each)) for each in ({"tokens": WORDS[1:]}, {"image": IMAGES[1:]}))
    torch.testing.assert_close(found.pooled, torch.cat([both.pooled, words.pooled, image.pooled]))
    torch.testing.assert_close(found.tokens[1], words.tokens[0])
    assert found.mask.tolist() == [[True, True, False], [True] * 3, [False] * 3]
    found.pooled[2].sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in encoder.stems["words"].parameters())
    assert any(p.grad.any() for p in encoder.stems["image"].parameters())
    assert [each.name for each in encoder.processor.shown(inputs, 2)] == ["image"]


def test_batches_in_which_all_lack_a_kind_are_read_and_join_others() -> None:
    encoder = made(words=text(), image=picture())
    processor = encoder.processor
    none = processor.encode({"text": ["one", "two"], "image": [None, None]})
    inputs = processor.collate_columns(none, [[0, 0], [0, 1]])
    torch.testing.assert_close(encoder(inputs).pooled, encoder(collated(encoder, text=["one", "two"])).pooled)
    again = collated(encoder, text=["two", "one"], image=[None, None])
    joined = encoder(processor.join([inputs, again])).pooled
    torch.testing.assert_close(joined, encoder(inputs).pooled[[0, 1, 1, 0]])
    with pytest.raises(UserError, match="an example has none of its inputs, text, image"):
        processor.encode({"text": ["one", None], "image": [IMAGES[0], None]})


def test_a_table_reads_missing_values_and_a_path_that_is_empty_is_missing() -> None:
    facts = TablePerceptron(hidden=[4, 4])
    facts.learn([{"numeric": [CountedColumn([1.0, None, 3.0], [1, 1, 1])]}])
    facts.complete()
    encoder = made(facts=facts, image=ConvolutionalEncoder(channels=[2], images=Images(size=4)))
    inputs = collated(encoder, numeric=[None, 2.0], image=["", torch.zeros(4, 4, 1).numpy()])
    assert inputs["absent"].tolist() == [[False, True], [False, False]]
    assert encoder(inputs).pooled.isfinite().all()


def test_an_input_of_several_stems_is_called_by_the_stem() -> None:
    encoder = made(front=picture(), back=picture(), more=PerceptronEncoder(3, [4]))
    assert {"front_image", "back_image", "features"} <= set(encoder.processor.inputs)
    assert "image" not in encoder.processor.inputs
    alone, both = ({"front_image": IMAGES}, {"front_image": IMAGES, "back_image": IMAGES[::-1]})
    assert not torch.allclose(encoder(collated(encoder, **alone)).pooled, encoder(collated(encoder, **both)).pooled)
    shown = encoder.processor.shown(collated(encoder, **both), 0)
    assert [each.name for each in shown] == ["front_image", "back_image"]


def test_tasks_that_were_learnt_from_other_kinds_alone_are_not_meant() -> None:
    reader = made(words=text(), image=picture()).processor
    both: list[Way] = [(["text", "image"], ["kind"]), (["tokens"], ["mood", "tags"])]
    assert not_meant(reader, ["text"], both) == {"kind"} == not_meant(reader.parts["words"], ["text"], []) | {"kind"}
    assert not_meant(reader, ["image", "tokens"], both) == set()
    assert not_meant(reader, ["image"], both) == set()  # nothing is left otherwise
    assert not_meant(text().processor, ["text"], [(["tokens"], ["tags"])]) == set()  # one kind: words


def test_a_mistake_says_of_which_stem_it_is() -> None:
    encoder = made(front=PerceptronEncoder(3, [4]), back=PerceptronEncoder(2, [4]))
    with pytest.raises(UserError, match=r"^of the stem 'back': `in_features` is 2, but input 'features' has 3 numbers"):
        encoder.processor.encode({"back_features": [[1.0, 2.0, 3.0]]})


def test_batches_of_the_same_inputs_join() -> None:
    encoder = made(words=text(), image=picture())
    one, other = collated(encoder, image=IMAGES), collated(encoder, image=IMAGES[:1])
    assert encoder.processor.can_join([one, other])
    assert not encoder.processor.can_join([one, collated(encoder, text=["a", "b"])])
    joined = encoder(encoder.processor.join([one, other])).pooled
    torch.testing.assert_close(joined[2:], encoder(other).pooled)


def test_several_texts_an_example_cannot_be_joined_with_an_image() -> None:
    encoder = made(words=text(), image=picture())
    assert encoder(collated(encoder, choices=[["a", "b"], ["c"]])).pooled.shape == (3, 6)
    with pytest.raises(UserError, match="'words' reads several sequences an example"):
        encoder.processor.encode({"choices": [["a", "b"], ["c"]], "image": IMAGES})


def test_the_last_layers_of_all_stems_stand_at_one_depth() -> None:
    encoder = made(words=text(), image=picture())
    layers = encoder.layers_by_depth()
    assert sum(map(len, layers)) == len(list(encoder.parameters()))
    last_of_stems = {id(p) for p in layers[-4]}
    for stem in (encoder.stems["words"], encoder.stems["image"]):
        assert {id(p) for p in stem.layers_by_depth()[-1]} <= last_of_stems
    assert {id(p) for p in layers[-3]} == {id(p) for p in encoder.entries.parameters()}


@pytest.mark.parametrize(
    ("stems", "hidden", "said"),
    [({}, [3], "at least one encoder"), ({"a": picture()}, [], "a layer width"), ({"a.b": picture()}, [3], "'a.b'")],
)
def test_stems_that_cannot_be(stems: Any, hidden: list[int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ModalityEncoder(stems, hidden=hidden)


def config() -> dict[str, Any]:
    learnt = {"config": {**tiny.BERT, "max_position_embeddings": 20}, "tokenizer": "learnt:60", "max_length": 12}
    stems = {
        "words": {"class_path": "TransformerEncoder", "init_args": learnt},
        "facts": {"class_path": "TablePerceptron", "init_args": {"hidden": [4, 4], "embedding": 2}},
        "image": {"class_path": "ConvolutionalEncoder", "init_args": {"channels": [2], "features": 8}},
    }
    files = tiny.CONFIG["data"]["datasets"]["d"]["init_args"]["files"]
    inputs = {"text": "title", "image": "image", "numeric": "age", "categorical": "city"}
    goods = {"inputs": inputs, "labels": {"cls": "x", "reg": "y"}}
    sentences = {"inputs": {"tokens": "words"}, "labels": {"tags": "tags"}}
    datasets = {
        "goods": {
            "class_path": "FileSource",
            "init_args": {"files": files, "labels": {"cls": "x", "reg": "y"}, **goods},
        },
        "sentences": {"class_path": "FileSource", "init_args": {"files": files, **sentences}},
    }
    encoder = {"class_path": "ModalityEncoder", "init_args": {"stems": stems, "width": 6, "hidden": [5]}}
    tasks = {"cls": "SequenceClassification", "reg": "Regression", "tags": "TokenClassification"}
    return tiny.CONFIG | {
        "model": {**tiny.CONFIG["model"], "encoder": encoder, "tasks": tasks, "weighting": "PCGrad"},
        "data": {**tiny.CONFIG["data"], "datasets": datasets},
    }


def write_data(folder: Path) -> None:
    rows = [
        {
            "title": f"a {'good' if i % 2 else 'poor'} thing",
            "image": [[i % 2, 0.5], [0, i % 3]] if i % 4 else None,
            "age": i % 5 or None,
            "city": "uvw"[i % 3],
            "words": ["thing", str(i), "here"][: 1 + i % 3],
            "tags": ["A", "B", "A"][: 1 + i % 3],
            "x": "ab"[i % 2],
            "y": i % 3,
        }
        for i in range(20)
    ]
    for split in ("train", "val"):
        tiny.write_rows(folder / f"{split}.jsonl", rows)


def predictions(capsys: pytest.CaptureFixture[str], *model: str) -> Any:
    capsys.readouterr()
    assert main(["predict", *model, "--input", "new.jsonl"]) == 0
    return [json.loads(line)["predictions"] for line in capsys.readouterr().out.splitlines()]


def test_a_checkpoint_suffices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data(tmp_path)
    with tiny.whole_run(tmp_path, config()):
        tiny.interrupted()
        assert tiny.check_same_states()
        files = load("whole/checkpoints/last.ckpt").encoder.assets().files
        assert {"words/tokenizer.json", "facts/vocabularies.json"} <= set(files)
        assert main(["export", "--ckpt_path", "whole", "--format", "torch", "--output", "out"]) == 0
        for split in ("train", "val"):
            (tmp_path / f"{split}.jsonl").unlink()
        tiny.write_rows(tmp_path / "new.jsonl", [{"words": ["thing", "there"]}])
        found = predictions(capsys, "--ckpt_path", "whole")
        assert found[0].keys() == {"tags"} and found == predictions(capsys, "--ckpt_path", "out")  # goods have images
        asked = ("--ckpt_path", "whole", "--tasks", "cls,tags")
        assert predictions(capsys, *asked)[0].keys() == {"cls", "tags"}


def test_an_export_reads_what_the_checkpoint_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data(tmp_path)
    small = config()
    for part, name in (("stems", "words"), ("tasks", "tags"), ("datasets", "sentences")):
        of = {"stems": small["model"]["encoder"]["init_args"], "tasks": small["model"], "datasets": small["data"]}
        del of[part][part][name]
    del small["data"]["datasets"]["goods"]["init_args"]["inputs"]["text"]
    with tiny.whole_run(tmp_path, small, "--trainer.max_epochs=1"):
        assert main(["export", "--ckpt_path", "whole", "--format", "onnx", "--limit", "0", "--output", "out"]) == 0
        images = [[[0, 1], [1, 0]], [[0, 1], [1, 1]], None]
        rows = [{"image": images[i], "age": 2 - i or None, "city": "u?v"[i]} for i in range(3)]
        tiny.write_rows(tmp_path / "new.jsonl", rows)
        theirs, ours = (predictions(capsys, *of) for of in (["--ckpt_path", "whole"], ["--model", "out"]))
        for one, other in zip(theirs, ours, strict=True):
            assert one["reg"]["value"] == pytest.approx(other["reg"]["value"], abs=1e-5)
            assert one["cls"]["label"] == other["cls"]["label"]


def test_what_reads_inputs_without_torch_is_described_whole() -> None:
    encoder = made(title=text(), body=text(), image=picture())
    plain = encoder.processor.plain
    assert plain is not None
    texts = tokenizers_of(plain)
    again = inputs_of(json.loads(json.dumps(state_of(plain))), {n: Tokenizer.from_str(t) for n, t in texts.items()})
    assert sorted(texts) == sorted(tokenizer_files(state_of(plain))) == ["body.tokenizer.json", "title.tokenizer.json"]
    columns = {"title_text": ["a", "a title"], "body_text": ["some words", "b"], "image": IMAGES}
    encoded = again.encode(columns)
    assert set(again.inputs) <= set(encoder.processor.inputs)
    arrays = again.collate([dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)])
    tensors = collated(encoder, **columns)
    assert arrays.keys() == tensors.keys() and all((tensors[name].numpy() == arrays[name]).all() for name in arrays)
