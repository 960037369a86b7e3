"""What is printed names what the user knows: no temporary files, no markup, commands that a shell understands."""

import shlex

import pytest
import tiny
import torch

from mtl_lightning.__main__ import main
from mtl_lightning.cli.report import print_results
from mtl_lightning.errors import did_you_mean
from mtl_lightning.tasks import SequenceClassification
from mtl_lightning.training.evaluation import Results


@pytest.fixture
def checkpoint(tmp_path, monkeypatch, capsys):
    """Of a run in a folder with a blank in its name, and the line that tests it."""
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    assert tiny.fit("my run", "--trainer.max_epochs=1", "--evaluate=none") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Test it: ")]
    return shlex.split(line.removeprefix("Test it: "))


def test_the_printed_command_runs(checkpoint, capsys):
    assert checkpoint[0] == "mtl-lightning" and main(checkpoint[1:]) == 0
    assert not [line for line in capsys.readouterr().err.splitlines() if line.startswith(("note:", "error:"))]


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("data", "batch_size", "many", "'data.batch_size': expected int or dict, found many"),
        ("data", "datasets", {"d": "Gone"}, "no class 'Gone' for 'data.datasets.d'; choose from "),
        ("model", "gone", 1, "unknown key 'model.gone'; "),
    ],
)
def test_what_is_wrong_in_a_checkpoint_is_said_of_the_checkpoint(checkpoint, capsys, section, key, value, expected):
    content = torch.load(checkpoint[-1], weights_only=True)
    content["mtl_lightning"]["config"][section][key] = value
    torch.save(content, "broken.ckpt")
    assert main(["test", "--ckpt_path", "broken.ckpt"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1].startswith(f"error: the configuration in broken.ckpt: {expected}")


def test_a_hint_names_something():
    assert did_you_mean("zzz", ["", " ", "accuracy"]) == "choose from accuracy"
    assert did_you_mean("zzz", [""]) == "nothing may stand there"


def test_labels_are_no_markup(capsys):
    scores = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 3.0}
    labels = ["[red]a[/red]", ":smile:", "[/]"]
    results = Results({"t": {"accuracy": 1.0}}, {"[b]d[/b]": 1.0}, 1.0, {"t": dict.fromkeys(labels, scores)})
    print_results(results, {"t": SequenceClassification(labels)}, "Title [bold]", per_label=True)
    printed = capsys.readouterr().out
    assert all(text in printed for text in (*labels, "[b]d[/b]", "Title [bold]"))
