"""BLEU and slot error of RNNLG on a handful of fixed examples, and the command that computes them."""

import json
from math import exp
from pathlib import Path

import pytest

from experiments.generation import __main__ as command
from experiments.generation import masks
from experiments.generation.acts import parsed
from experiments.generation.neighbours import neighbours
from experiments.generation.scores import SlotError, bleu, scores, slot_errors
from experiments.generation.texts import by_features, delexicalised, lexicalised, normalised

COMPARE = "?compare(name=a 1;battery=4 hour;name=b 22;battery=3.5 hour)"


def test_acts_that_differ_in_values_alone_have_the_same_features() -> None:
    one, other = parsed("inform(name='a b';hasinternet='yes')"), parsed("inform(hasinternet=true;name=c)")
    assert one.features == other.features
    assert one.features != parsed("inform(name=a;hasinternet=false)").features
    assert parsed("goodbye()").slots == () and parsed("?reqmore()").features == (("?reqmore", ""),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It isn't cheap , but it's 3.5 hours", "it is not cheap , but it is 3.5 hour -s"),
        ("the hotel 's number is (415) 563-9000 .", "the hotel s number is 4155639000"),
        ("is it the hotel's? yes,sir", "is it the hotel 's ? yes , sir"),
        ("they can't offer 10 24 gb / kids", "they cannot offer 1024 gb and kid -s"),
        ("i'd say children 'here'", "i would say child -s here"),
    ],
)
def test_texts_are_normalised(text: str, expected: str) -> None:
    assert normalised(text) == expected


def test_values_leave_texts_and_come_back() -> None:
    act = parsed(COMPARE)
    text = "a 1 lasts 4 hour -s , b 22 lasts 3.5 hour -s"
    bare = delexicalised(text, act)
    assert bare.count("SLOT_NAME") == bare.count("SLOT_BATTERY") == 2 and "hour" not in bare
    assert lexicalised(bare, act) == text
    assert delexicalised("yes , thaifood and thai", parsed("inform(food=thai;dogsallowed=yes)")) == (
        "yes , thaifood and SLOT_FOOD"
    )


@pytest.mark.parametrize(
    ("mr", "text", "expected"),
    [
        ("inform(name=a;food=thai)", "a serves thai", (2, 0)),
        ("inform(name=a;food=thai)", "a serves pizza", (2, 1)),
        ("inform(name=a;food=thai)", "thai , thai", (2, 1)),  # of a second one only the first is a value
        ("inform(name=a;type=hotel;dogsallowed=no)", "a allows no dogs", (2, 0)),
        ("inform(name=a;dogsallowed=no)", "a allows no cats", (2, 1)),
        ("inform(name=a)", "a with wifi", (1, 1)),
        ("?request(food)", "which food", (0, 0)),
        ("inform_no_match(food=dont_care)", "nothing there", (0, 0)),
        ("?select(food=thai;food=greek)", "which one", (0, 0)),
        (COMPARE, "a 1 with 4 hours or b 22", (4, 1)),
    ],
)
def test_missing_and_redundant_slots_are_errors(mr: str, text: str, expected: tuple[int, int]) -> None:
    act = parsed(mr)
    assert slot_errors(act, delexicalised(normalised(text), act)) == expected


def test_a_slot_that_is_said_twice_is_redundant() -> None:
    assert slot_errors(parsed("inform(name=a)"), "SLOT_NAME and SLOT_NAME and SLOT_FOOD") == (1, 2)


def test_the_slot_error_is_a_metric_of_what_is_written_for_prompts() -> None:
    metric = SlotError()
    metric.update(["a serves pizza"], [["a serves thai"]], prompts=["inform(name=a;food=thai)"])
    metric.update(["which one"], [["which one"]], prompts=["?select(food=thai;food=greek)"])
    metric.update(["a with wifi"], [["a"]], prompts=["inform(name=a)"])
    assert metric.compute() == pytest.approx(2 / 3) and metric.higher_is_better is False


def test_bleu_in_closed_form() -> None:
    assert bleu(["a b c d e"], [["x", "a b c d e"]]) == pytest.approx(100)
    one = bleu(["a b c d e f"], [["a b c d e g", "a b c d"]])
    assert one == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)
    short = bleu(["a b c d", "a b c d"], [["a b c d e"], ["a b c d e"]])
    assert short == pytest.approx(100 * exp(1 - 10 / 8))


def test_references_are_those_of_the_same_act_with_its_values() -> None:
    truth = [
        ("inform(name=a b;food=thai)", "a b serves good thai food"),
        ("inform(food=pizza;name=c)", "c has pizza !"),
    ]
    written = [(truth[0][0], ["a b serves good thai food"]), (truth[1][0], ["c serves good pizza food"])]
    assert scores(written, truth) == (pytest.approx(100), pytest.approx(100), 0, 2)
    assert len(by_features(truth)) == 1
    wrong = scores([(truth[0][0], ["c serves good pizza food"])], truth)
    assert wrong.bleu < 100 and wrong.slot_error == 100


def test_the_neighbour_is_the_most_similar_act() -> None:
    known = [("inform(name=a;food=thai)", "a has thai"), ("inform(name=a)", "a is nice"), ("goodbye()", "bye")]
    asked = ["inform(name=x y;food=greek)", "goodbye()", "recommend(name=z)"]
    assert neighbours(known, asked) == [
        ("inform(name=x y;food=greek)", ["x y has greek"]),
        ("goodbye()", ["bye"]),
        ("recommend(name=z)", ["z is nice"]),
    ]


def test_the_command_trains_writes_and_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import miniatures

    import mtl_lightning

    class Model:
        def predict(self, columns: dict[str, list[str]], tasks: list[str]) -> list[dict[str, dict[str, str]]]:
            (task,) = tasks
            assert columns["prompt"] == sorted(columns["prompt"], key=len)
            return [{task: {"text": f"{parsed(mr).slots[0][1]} is a cheap {task[:-5]}"}} for mr in columns["prompt"]]

    miniatures.rnnlg(tmp_path / "rnnlg")
    monkeypatch.setenv("MTL_DATA", str(tmp_path))
    monkeypatch.setattr(mtl_lightning, "load", lambda path: Model())
    command.main(["--checkpoint", "any.ckpt", "--limit", "8", "--output", str(tmp_path / "out")])
    found = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert list(found) == ["restaurant", "hotel", "laptop", "tv"]
    assert all(8 <= row["model"]["texts"] < 15 and 20 < row["model"]["bleu"] <= 100 for row in found.values())
    assert "SC-LSTM, published" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["--checkpoint", "any.ckpt", "--trainer.max_epochs=1"])
    command.main(["--checkpoint", "any.ckpt", "--limit", "8", "--output", str(tmp_path / "masked"), "--masks"])
    masked = json.loads((tmp_path / "masked" / "scores.json").read_text())
    assert masked == found  # the model writes the mask of the first slot, and the value comes back
    assert len(list((tmp_path / "masked" / "data").iterdir())) == 12


def test_data_with_masks_say_the_same(tmp_path: Path) -> None:
    rows = [(COMPARE, "b 22 lasts 3.5 hours , and a 1 has 4 hours ."), ("goodbye()", "bye")]
    masks.write(tmp_path, {"tv-train": rows})
    found = command.rows(tmp_path, "tv", "train")
    assert found[0][0] == "?compare(name=SLOT_NAME;battery=SLOT_BATTERY;name2=SLOT_NAME2;battery2=SLOT_BATTERY2)"
    assert found[0][1] == "SLOT_NAME2 lasts SLOT_BATTERY2 -s , and SLOT_NAME has SLOT_BATTERY -s"
    assert [masks.unmasked_text(text, mr) for (_, text), (mr, _) in zip(found, rows, strict=True)] == [
        normalised(text) for _, text in rows
    ]
