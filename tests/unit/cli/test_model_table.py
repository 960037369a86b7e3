"""What the start of a run and ``--print_model`` say of who shares what."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tiny

from mtl_lightning.__main__ import main
from mtl_lightning.chains import ClassifierChain
from mtl_lightning.cli.model_table import _flops, print_model
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.sharing import MMoE, SeparateEncoders
from mtl_lightning.tasks import Regression, SequenceClassification
from mtl_lightning.training.composition import ForwardCost
from mtl_lightning.training.module import MultiTaskModule

ENCODER, HEADS = 3 * 4 + 4, (4 + 1) * 2 + (4 + 1)
COST = 2 * 3 * 4


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    tiny.write(tmp_path)
    return tmp_path


def rows(text: str) -> list[list[str]]:
    """The cells of a table."""
    lines = [line for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_it_prints_tables_and_leaves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.iterdir())
    assert main(["fit", "--config", "config.yaml", "--print_model"]) == 0
    assert sorted(folder.iterdir()) == before
    printed = capsys.readouterr().out
    assert f"PerceptronEncoder, HardSharing, EqualWeighting: {ENCODER + HEADS} parameters" in printed
    assert rows(printed) == [
        ["encoder", "all 2 tasks", str(ENCODER), str(ENCODER)],
        ["heads", "one task each", str(HEADS), str(HEADS)],
        ["cls", str(ENCODER + 10), "10", f"{COST + 16} FLOPs"],
        ["reg", str(ENCODER + 5), "5", f"{COST + 8} FLOPs"],
        ["all at once", str(ENCODER + HEADS), "", f"{COST + 24} FLOPs"],
    ]


def test_a_trained_run_is_not_touched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.fit(folder / "run", "--trainer.max_epochs=1") == 0
    files = {path: path.stat().st_mtime_ns for path in (folder / "run").rglob("*")}
    capsys.readouterr()
    assert main(["fit", "--ckpt_path", str(folder / "run"), "--print_model"]) == 0
    assert "HardSharing" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (folder / "run").rglob("*")} == files


def test_questions_need_no_validation_split(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = [f"--data.datasets.d.init_args.files.{split}=null" for split in ("val", "test")]
    for question in ("--print_model", "--plan_ranks=2"):
        assert main(["fit", "--config", "config.yaml", *only, question]) == 0
    assert main(["fit", "--config", "config.yaml", *only]) == 2
    assert "data.datasets.d has no split 'val'; it has train" in capsys.readouterr().err


def test_the_start_of_a_run_says_it_in_two_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.fit(folder / "run", "--trainer.max_epochs=1", "--trainer.enable_model_summary=true") == 0
    printed = capsys.readouterr().out
    assert printed.startswith(
        f"PerceptronEncoder, HardSharing, EqualWeighting: {ENCODER + HEADS} parameters, {ENCODER} in the encoder, "
        f"{HEADS} in heads\nForward pass of an example: 48 FLOPs for all tasks; 32 FLOPs to 40 FLOPs for one alone\n"
    )
    assert "Params" not in printed


@pytest.mark.parametrize(
    "options",
    [
        ("--trainer.enable_model_summary=false",),
        ("--trainer.enable_model_summary=true", "--trainer.callbacks+=ModelSummary"),
    ],
    ids=["none", "Lightning's"],
)
def test_it_leaves_the_word_to_others(
    folder: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny.fit(folder / "run", "--trainer.max_epochs=1", *options) == 0
    assert "HardSharing" not in capsys.readouterr().out.split("Best checkpoint")[0]


def test_a_data_set_whose_first_row_is_bad(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (folder / "train.jsonl").read_text().splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | {"f": "none"})
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
    skip = "--data.datasets.d.init_args.on_bad_row=skip"
    assert main(["fit", "--config", "config.yaml", "--print_model", skip]) == 0
    assert [row[0] for row in rows(capsys.readouterr().out)] == ["encoder", "heads", "cls", "reg"]
    assert main(["fit", "--config", "config.yaml", "--print_model"]) == 2
    assert "train.jsonl, line 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ["predict", "--config", "config.yaml", "--ckpt_path", "none", "--print_model"],
            "predict has no --print_model; ask `fit`",
        ),
        (
            ["compare", "--config", "config.yaml", "--weightings", "equal,upgrad", "--print_model"],
            "compare has no --print_model; ask `fit`",
        ),
    ],
    ids=["predict", "compare"],
)
def test_other_commands_refuse_it(command: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(("number", "text"), [(999, "999 FLOPs"), (1000, "1 kFLOPs"), (1.5e9, "1.5 GFLOPs")])
def test_operations_in_their_unit(number: float, text: str) -> None:
    assert _flops(number) == text


def test_what_a_chain_reads_is_not_said_to_be_one_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    chain = {"b": ClassifierChain(after=["a"])}
    labels = ["no", "yes"]
    model = MultiTaskModule(
        PerceptronEncoder(3, [4]),
        {"a": SequenceClassification(labels), "b": SequenceClassification(labels)},
        sharing=SeparateEncoders,
        chain=chain,
    )
    model.build()
    print_model(model, ForwardCost(None, {}))
    found = {row[0]: row[1] for row in rows(capsys.readouterr().out)[:2]}
    assert found == dict.fromkeys(["each task's own", "heads"], "its task, and those that read it")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--print_model=false"], "argument --print_model: ignored explicit argument 'false'"),
        (["--config", "asks.yaml"], "asks.yaml, line 1: unknown key 'print_model'"),
    ],
    ids=["a value", "a file"],
)
def test_it_is_a_question_and_no_key(folder: Path, given: list[str], said: str, capsys: Any) -> None:
    (folder / "asks.yaml").write_text("print_model: true\n")
    assert main(["fit", "--config", "config.yaml", *given]) == 2
    assert said in capsys.readouterr().err


def table(cost: ForwardCost, capsys: pytest.CaptureFixture[str], tasks: int = 2, in_full: bool = False) -> str:
    model = MultiTaskModule(
        PerceptronEncoder(3, [4]), {f"t{number}": Regression(0.0, 1.0) for number in range(tasks)}, sharing=MMoE
    )
    model.build()
    print_model(model, cost, in_full)
    return capsys.readouterr().out


def test_what_took_too_long_to_count_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert [row[-1] for row in rows(table(ForwardCost(100.0, {}), capsys))[-3:]] == ["not counted"] * 2 + ["100 FLOPs"]
    assert "forward pass" not in table(ForwardCost(None, {}), capsys)


def test_the_start_of_a_run_names_few_of_many_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    cost = ForwardCost(100.0, {f"t{number}": 10.0 for number in range(40)})
    found = [row[0] for row in rows(table(cost, capsys, tasks=40))]
    assert found[-2:] == ["and 28 more: --print_model", "all at once"]
    assert sum(name.startswith("t") for name in found) == 12
    assert sum(row[0].startswith("t") for row in rows(table(cost, capsys, tasks=40, in_full=True))) == 40
