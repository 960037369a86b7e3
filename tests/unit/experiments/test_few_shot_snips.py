"""An intent and its slots from few sentences: what is drawn, held out, and scored."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.meta import snips, snips_methods
from experiments.meta.snips_methods import Few, Said

INTENTS = ("BookRestaurant", "GetWeather", "PlayMusic")


def rows(intent: str, number: int) -> list[dict[str, Any]]:
    return [
        {"tokens": ["go", str(i)], "slots": ["O", "B-n" if i % 2 else "O"], "intent": intent} for i in range(number)
    ]


def test_scores_are_f1_of_the_intent_mean_recall_and_f1_of_whole_spans() -> None:
    everything = [*rows("a", 4), *rows("b", 2)]
    own = [{"slots": ["B-x", "I-x", "O"]}, {"slots": ["B-x", "B-y"]}]
    said = Said(["a", "a", "b", "a", "b", "a"], [["B-x", "O", "O"], ["B-x", "B-y"]])
    found = snips.score(said, everything, own, "a", 1.5)
    assert found == pytest.approx((75.0, 62.5, 100 * 4 / 6, 1.5))


def test_few_sentences_are_drawn_of_each_intent_and_by_the_seed() -> None:
    of = {name: rows(name, 30) for name in INTENTS}
    one, again, other = (snips.drawn(of, 5, seed) for seed in (1, 1, 2))
    assert one == again != other
    assert [sum(row["intent"] == name for row in one) for name in INTENTS] == [5, 5, 5]


def test_all_methods_learn_from_the_same_sentences_and_are_judged_by_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MTL_DATA", str(tmp_path))
    monkeypatch.setattr(snips, "OF_EACH", 8)
    for split in ("train", "test"):
        snips.write(Path("snips", f"{split}.jsonl"), [row for name in INTENTS for row in rows(name, 30)])
    fits, seen = list[str](), dict[str, list[Any]]()
    monkeypatch.setattr(snips, "fit", lambda folder, *_: fits.append(str(folder)))

    def method(name: str) -> Any:
        def by(few: Few, everything: Any, own: Any) -> Said:
            seen.setdefault(name, []).append((few.file.read_text(), list(everything), list(own)))
            return Said(["GetWeather"] * len(everything), [["O", "O"]] * len(own))

        return by

    monkeypatch.setattr(snips, "METHODS", {name: method(name) for name in ("one", "two")})
    given = argparse.Namespace(choosing=False, model="m", draws=2, methods=["one", "two"])
    found = snips.measure("GetWeather", given, [])
    assert fits == [f"build/meta/snips/GetWeather/{name}" for name in ("joint", "meta")]
    trained = [json.loads(line) for line in Path(snips.DATA, "GetWeather", "train.jsonl").read_text().splitlines()]
    assert {row["intent"] for row in trained} == {"BookRestaurant", "PlayMusic"} and len(trained) == 16
    assert found.keys() == {(name, shots) for name in ("one", "two") for shots in (5, 10)}
    assert seen["one"] == seen["two"] and len({few for few, _, _ in seen["one"]}) == 4
    table = snips.table([found, found]).splitlines()
    assert len(table) == 5 and table[1].split()[:5] == ["one", "5", "75.0", "±", "0.0"]


def test_the_methods_are_prototypes_fine_tuning_and_meta_learning() -> None:
    assert list(snips_methods.METHODS) == ["prototypes", "head", "LoRA", "full", "inner loop"]
    assert np.isfinite(snips.Score(1.0, 1.0, 1.0, 1.0)).all()
