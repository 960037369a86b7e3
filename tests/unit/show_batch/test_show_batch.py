"""``show-batch`` shows what ``fit`` trains on, in words, and does nothing else."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml

from mtl_lightning.__main__ import main
from mtl_lightning.data import StepBatch
from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.training.module import MultiTaskModule

TEXTS = [f"{word} {word[::-1]}" for word in ("ab", "cde", "fghi", "kl", "mno", "pq", "rst")]
SENTENCES = [("ab c d", "X O O"), ("e fgh", "O X"), ("i kl mno p", "X  O O"), ("qr", "X"), ("abcdefghij kl", "O O")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    write(tmp_path)
    return tmp_path


def write(folder: Path) -> None:
    """``text.yaml``: a data set of texts with a class, labels and a number each, and one of words with tags."""
    texts = [
        {"t": text, "x": "pq"[i % 2] if i else None, "y": i / 4, "z": ["a", "b"][: i % 3] if i else None}
        for i, text in enumerate(TEXTS)
    ]
    words = [{"w": words.split(), "tags": [tag or None for tag in tags.split(" ")]} for words, tags in SENTENCES]
    words[2]["tags"] = ["X", None, "O", "O"]
    for name, rows in (("texts", texts), ("words", words)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    encoder = {"class_path": "TransformerEncoder", "init_args": {"config": tiny.BERT, "tokenizer": "characters:ascii"}}
    config: dict[str, Any] = {
        **tiny.CONFIG,
        "model": {
            "encoder": encoder,
            "tasks": {
                "cls": "SequenceClassification",
                "several": "MultiLabelClassification",
                "reg": "Regression",
                "tags": "TokenClassification",
            },
            "sharing": "CrossStitch",
        },
        "data": {
            "datasets": {
                "texts": source("texts", {"text": "t"}, {"cls": "x", "several": "z", "reg": "y"}),
                "words": source("words", {"tokens": "w"}, {"tags": "tags"}),
            },
            "batch_size": 3,
            "num_workers": 0,
        },
    }
    (folder / "text.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def source(name: str, inputs: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    files = {"train": f"{name}.jsonl", "val": f"{name}.jsonl"}
    return {"class_path": "FileSource", "init_args": {"files": files, "inputs": inputs, "labels": labels}}


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def show(*options: str, config: str = "text.yaml") -> str:
        assert main(["show-batch", "--config", config, "--examples", "99", *options]) == 0
        return capsys.readouterr().out

    return show


def trained_on(monkeypatch: pytest.MonkeyPatch, *options: str) -> list[StepBatch]:
    """The batches that ``fit`` trains on."""
    found: list[StepBatch] = []
    step = MultiTaskModule.training_step
    monkeypatch.setattr(
        MultiTaskModule, "training_step", lambda module, batch, i: found.append(batch) or step(module, batch, i)
    )
    plain = ["--trainer.default_root_dir=run", "--model.sharing=HardSharing", "--evaluate=none"]
    assert main(["fit", "--config", "text.yaml", *plain, *options]) == 0
    return found


def tokens_of(batch: StepBatch) -> dict[str, list[list[str]]]:
    """The tokens of each example by data set, padding left out."""
    words = character_tokenizer()
    return {
        name: [
            words.convert_ids_to_tokens(ids[mask.bool()].tolist())
            for ids, mask in zip(part.inputs["input_ids"], part.inputs["attention_mask"], strict=True)
        ]
        for name, part in batch.items()
    }


def printed_tokens(printed: str) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for line in printed.splitlines():
        if heading := re.match(r"(\w+): \d+ example", line):
            found[heading[1]] = []
        elif row := re.match(r" {4}(?:text|tokens) +(\S.*)", line):
            list(found.values())[-1].append(re.sub(r" \[PAD\].*", "", row[1]).split())
    return found


def test_it_shows_the_very_tokens_that_fit_trains_on(
    shown: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = trained_on(monkeypatch, "--data.seed=3")
    assert len(batches) == 6
    assert {name for batch in batches for name in batch} == {"texts", "words"}
    for number, title in ((1, "1st of 3 in epoch 0"), (3, "3rd of 3 in epoch 0"), (5, "2nd of 3 in epoch 1")):
        printed = shown(f"--step={number}", "--data.seed=3")
        assert f"Step {number}: the {title}\n" in printed
        assert printed_tokens(printed) == tokens_of(batches[number - 1])


def example(printed: str, line: int) -> list[str]:
    """What is printed of the example from a line of a file, an element a line, blanks joined."""
    found = [" ".join(row.split()) for row in printed.splitlines()]
    start = next(i for i, row in enumerate(found) if row.endswith(f"line {line}"))
    return found[start + 1 : [*found, ""].index("", start)]


def test_targets_are_said_in_words(shown: Callable[..., str]) -> None:
    printed = "\n".join(
        shown("--datasets=texts", f"--step={step}", "--data.schedule=Alternating") for step in (1, 3, 5)
    )
    assert example(printed, 1)[-3:] == ["cls missing", "several missing", "reg 0"]
    assert example(printed, 3)[-3:] == ["cls p", "several a, b", "reg 0.5"]
    assert example(printed, 4)[-3:] == ["cls q", "several none", "reg 0.75"]
    assert re.search(r"reg +Regression +3 +1 +1 *\n", printed)


def test_labels_of_words_stand_below_their_first_tokens(shown: Callable[..., str]) -> None:
    printed = "\n".join(shown(f"--step={step}", "--datasets=words", "--data.schedule=Alternating") for step in (2, 4))
    rows = printed.splitlines()
    start = next(i for i, row in enumerate(rows) if row.endswith("words.jsonl, line 3"))
    tokens, tags = rows[start + 1 : start + 3]
    assert re.sub(r" \[PAD\].*", "", tokens).split() == ["tokens", "[CLS]", *"iklmnop", "[SEP]"]
    place = {letter: tokens.index(f" {letter} ") + 1 for letter in "ikmp"}
    assert {letter: tags[at] for letter, at in place.items()} == {"i": "X", "k": "·", "m": "O", "p": "O"}
    assert tags.split() == ["tags", "X", "·", "O", "O"]


def test_padding_and_what_is_cut_off_are_shown(shown: Callable[..., str]) -> None:
    options = ("--model.encoder.max_length=8", "--data.batch_size=7", "--data.joint_pass=never")
    printed = shown(*options)
    cut = {text: text.replace(" ", "")[6:] for text in TEXTS}
    for number, text in enumerate(TEXTS, start=1):
        lines = example(printed, number)
        tokens = ["[CLS]", *text.replace(" ", "")[:6], "[SEP]"]
        padding = [] if len(tokens) == 8 else ["[PAD]"] if len(tokens) == 7 else f"[PAD] x{8 - len(tokens)}".split()
        assert lines[0].split() == ["text", *tokens, *padding]
        assert (f"cut off {len(cut[text])} more: {cut[text]}" in lines) == bool(cut[text])
    tokens = [min(8, 2 + len(text.replace(" ", ""))) for text in TEXTS]
    padding = f"{1 - sum(tokens) / 56:.0%}"
    assert f"texts: 7 examples, {sum(tokens)} tokens and {padding} padding, 1 cut off" in printed
    assert "cut off 1 more: kl" in example(printed.partition("words:")[2], 5)


def test_rows_that_are_skipped_do_not_shift_the_others(folder: Path, shown: Callable[..., str]) -> None:
    rows = (folder / "texts.jsonl").read_text().splitlines()
    (folder / "texts.jsonl").write_text("\n".join([rows[0], "no JSON", json.dumps({"t": 1}), *rows[1:]]))
    options = ("--data.datasets.texts.on_bad_row=skip", "--data.batch_size=7", "--data.datasets.words=null")
    printed = shown(*options, "--model.tasks.tags=null")
    assert "texts: 7 examples, " in printed
    for number, text in zip([1, *range(4, 10)], TEXTS, strict=True):
        assert example(printed, number)[0].startswith(f"text [CLS] {' '.join(text.replace(' ', ''))} [SEP]")


def test_weights_are_not_loaded_and_nothing_is_left(folder: Path, shown: Callable[..., str]) -> None:
    encoder = TransformerEncoder(config=tiny.BERT, tokenizer="characters:ascii")
    encoder.backbone.save_pretrained("backbone")
    encoder.processor.tokenizer.save_pretrained("backbone")
    (folder / "backbone" / "model.safetensors").unlink()
    before = sorted(folder.rglob("*"))
    options = ("--model.encoder.config=null", "--model.encoder.tokenizer=null", "--model.encoder.model=backbone")
    assert printed_tokens(shown(*options)) == printed_tokens(shown())
    assert sorted(folder.rglob("*")) == before
    assert main(["fit", "--config", "text.yaml", *options]) == 2  # it would need them


def test_a_run_is_shown_by_its_checkpoint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write(folder)
    assert tiny.fit("run", "--trainer.max_epochs=1", "--data.batch_size=4") == 0
    files = {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")}
    capsys.readouterr()
    assert main(["show-batch", "--ckpt_path", "run", "--examples=1"]) == 0
    assert "d: 4 examples\n" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")} == files


def test_columns_of_a_table_keep_their_names(folder: Path, shown: Callable[..., str]) -> None:
    Path("flats.csv").write_text("area,rooms,x\n" + "".join(f"{i / 4},{i},{'pq'[i % 2]}\n" for i in range(8)))
    config = json.loads(json.dumps(tiny.CONFIG))
    config["model"]["encoder"]["init_args"]["in_features"] = 2
    config["model"]["tasks"] = {"cls": "SequenceClassification"}
    config["data"]["datasets"] = {"d": source("flats", {"features": ["area", "rooms"]}, {"cls": "x"})}
    config["data"]["datasets"]["d"]["init_args"]["files"] = {"train": "flats.csv", "val": "flats.csv"}
    Path("flats.yaml").write_text(yaml.safe_dump(config))
    printed = shown("--data.batch_size=8", config="flats.yaml")
    for i in range(8):
        assert example(printed, i + 2) == [f"features area {i / 4:g}, rooms {i}", f"cls {'pq'[i % 2]}"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--step=0"], "--step: expected a number, at least 1, found '0'"),
        (["--examples=some"], "--examples: expected a number, at least 1, found 'some'"),
        (["--step=7"], "--step 7: the run has 6 steps, 3 an epoch"),
        (["--step=3", "--trainer.max_steps=2"], "--step 3: the run has 2 steps, 3 an epoch"),
        (["--step=9", "--trainer.limit_train_batches=2"], "--step 9: the run has 4 steps, 2 an epoch"),
        (["--trainer.limit_train_batches=0"], "trainer.limit_train_batches is 0: there is no step"),
        (["--datasets=word"], "--datasets: unknown data set 'word'; did you mean 'words'?"),
        (
            ["--datasets=words", "--data.schedule=Alternating"],
            "--datasets: step 1 does not draw 'words'; it draws texts",
        ),
        (["--datasets="], "--datasets is empty; give it a value, or leave it out"),
        (["--model.tasks.other=Regression"], "model.tasks.other: no data set labels it; add it to a data set's"),
        (["--print_model"], "show-batch has no --print_model; ask `fit`"),
        (["--html=."], "--html: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show-batch", "--config", "text.yaml", *options]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert message in last
    assert last.startswith("error: ")


def test_steps_of_an_optimizer_that_accumulates(shown: Callable[..., str]) -> None:
    printed = shown("--step=5", "--trainer.accumulate_grad_batches=2", "--trainer.max_steps=3")
    assert "2 such steps make one step of the optimizer" in printed  # 2 of the first epoch, 1 of the second


def test_of_several_processes_the_first_is_shown(shown: Callable[..., str]) -> None:
    alone = shown("--data.batch_size=4", "--data.joint_pass=never")
    printed = shown("--data.batch_size=2", "--trainer.num_nodes=2", "--trainer.devices=1")
    assert "this is what the first of 2 processes sees" in printed
    assert "texts: 2 examples of 4 on all processes, " in printed
    lines = [re.findall(r"texts.jsonl, line (\d+)", text) for text in (alone, printed)]
    assert lines[1] == lines[0][::2]


def test_a_stream_is_shown_as_it_is_read(shown: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    streaming = "{num_examples: 5, buffer: 5}"
    options = (f"--data.datasets.words.streaming={streaming}", "--model.tasks.tags.labels=[O, X]")
    batches = trained_on(monkeypatch, *options)
    assert printed_tokens(shown("--step=5", *options)) == tokens_of(batches[4])


def test_weights_that_never_change_are_shown(shown: Callable[..., str]) -> None:
    weights = "{cls: 1, several: 0.5, reg: 2, tags: 3}"
    printed = shown("--model.weighting=FixedWeighting", f"--model.weighting.weights={weights}")
    assert re.search(r"several +MultiLabelClassification +\d+ +1 +0.5 *\n", printed)
    assert re.search(r"tags +TokenClassification +\d+ +1 +3 *\n", printed)
    assert re.search(r"tags .* found in training *\n", shown("--model.weighting=UPGrad"))


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show-batch", "--help"]) == 0
    assert "--html FILE" in capsys.readouterr().out


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    import torch

    state = torch.random.get_rng_state()
    yield
    torch.random.set_rng_state(state)


def test_rows_are_shown_that_hold_several_examples(shown: Callable[..., str]) -> None:
    llama = {key: tiny.BERT[key] for key in tiny.BERT if key != "model_type"} | {"model_type": "llama"}
    options = ("--model.encoder.packing=true", "--datasets=texts", "--data.batch_size=7")
    printed = shown(f"--model.encoder.config={json.dumps(llama)}", *options)
    assert re.search(r"texts: 7 examples, \d+ tokens and \d+% padding in 6 packed rows", printed)
    rows = re.findall(r"  row \d: (\d+) tokens?, examples? ([\d │]+?)(?:, padding (\d+))?\n", printed)
    assert sorted(number for _, numbers, _ in rows for number in numbers.split(" │ ")) == list("1234567")
    tokens = printed_tokens(printed)["texts"]
    assert sum(int(size) - int(padding or 0) for size, _, padding in rows) == sum(map(len, tokens))
    assert "[PAD]" not in printed
    unlimited = shown(
        f"--model.encoder.config={json.dumps(llama)}", *options, "--model.encoder.attention=flash_attention_2"
    )
    assert "in 1 packed row\n" in unlimited  # whether or not its kernels are here
