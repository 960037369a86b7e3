"""The characters of ``experiments/meta``: what is trained on and what is tested on have none in common."""

from pathlib import Path

import numpy as np
import pytest

from experiments.meta import data


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two alphabets in small1, two in small2, with two characters each and two drawings of a character."""
    for part, alphabets in (("small1", ["Early_Aramaic", "Greek"]), ("small2", ["Greek", "Tagalog"])):
        names = [f"{alphabet}/{character}" for alphabet in alphabets for character in "ab"]
        np.savez(
            tmp_path / f"{part}.npz",
            images=np.arange(8 * 28 * 28, dtype=np.uint8).reshape(8, 28, 28),
            character=np.repeat(np.arange(4), 2),
            character_names=np.array(names),
            alphabet=np.repeat([0, 1], 4),
            alphabet_names=np.array(alphabets),
        )
    monkeypatch.setattr(data, "SOURCE", tmp_path)
    return tmp_path


def written(folder: Path) -> dict[str, tuple[np.ndarray, set[str]]]:
    found = {}
    for split in ("train", "test"):
        with np.load(folder / f"{split}.npz") as file:
            found[split] = file["images"], set(file["character"].tolist())
    return found


def test_the_test_has_the_alphabets_that_training_has_not(source: Path, tmp_path: Path) -> None:
    data.omniglot(tmp_path / "whole")
    found = written(tmp_path / "whole")
    assert found["test"][1] == {"Tagalog/a", "Tagalog/b"}
    assert len(found["train"][1]) == 4 * data.TURNS
    assert found["train"][0].shape == (8 * data.TURNS, 28, 28)


def test_settings_are_chosen_by_an_alphabet_that_is_left_out(source: Path, tmp_path: Path) -> None:
    data.omniglot(tmp_path / "choosing", choosing=True)
    found = written(tmp_path / "choosing")
    assert found["test"][1] == {"Early_Aramaic/a", "Early_Aramaic/b"}
    assert {name[:5] for name in found["train"][1]} == {"Greek"}
