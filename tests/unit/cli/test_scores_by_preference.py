"""`fit --preferences` evaluates the best checkpoint at each, as `test` does that is asked for it."""

import json
from pathlib import Path

import pytest
import tiny

from mtl_lightning.__main__ import main

ONE = ("--model.sharing=PreferenceFiLM", "--model.sharing.behind=features", "--model.weighting=COSMOS")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)


def test_they_are_what_test_finds(capsys: pytest.CaptureFixture[str]) -> None:
    asked = [{"cls": 1.0, "reg": 3.0}, {"reg": 1.0}]
    scores = [f"--preferences={json.dumps(asked)}", "--evaluate=test", "--json=fit.json"]
    assert tiny.fit("run", *ONE, *scores, "--trainer.max_epochs=4", "--model.optimizer.lr=0.1") == 0
    assert "preferring cls 1, reg 3" in capsys.readouterr().out
    found = json.loads(Path("fit.json").read_text())
    by_preference = found.pop("by_preference")
    assert [one["preference"] for one in by_preference] == asked
    for preference, expected in ((None, found), *(one.values() for one in by_preference)):
        flags = [] if preference is None else [f"--model.sharing.preference={json.dumps(preference)}"]
        assert main(["test", "--ckpt_path=run", *flags, "--json=test.json"]) == 0
        assert json.loads(Path("test.json").read_text()) == expected
    assert len({json.dumps(each) for each in (found, *(one["scores"] for one in by_preference))}) == 3


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "preferences: HardSharing cannot be told what to prefer; choose model.sharing: PreferenceFiLM"),
        ((*ONE, "--evaluate=none"), "preferences: nothing is evaluated where `evaluate` is none; take val or test"),
        ((*ONE, "--preferences=[{clas: 1}]"), "preferences[0] names the unknown task 'clas'; did you mean 'cls'"),
        ((*ONE, "--preferences=[{cls: 0}]"), "preferences[0]: give numbers of at least 0, one of them above, found"),
    ],
)
def test_what_cannot_be_asked_is_said_before_training(
    flags: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny.fit("run", "--preferences=[{cls: 1}]", *flags) == 2
    assert words in capsys.readouterr().err
    assert not Path("run", "checkpoints").exists()
