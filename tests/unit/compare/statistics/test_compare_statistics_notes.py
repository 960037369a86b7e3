"""The sentences that a reader must know."""

import dataclasses

import pandas as pd
import pytest
from compare_statistics_data import EVIDENCE, METRICS, NAMES, NAN, drawn, evidence_of, only, run, table, without

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.report.headline import headline
from mtl_lightning.compare.statistics import summarise


def notes(evidence: Evidence) -> str:
    return "\n".join(summarise(evidence).notes)


class TestNotes:
    def test_say_who_lacks_seeds_and_why(self) -> None:
        broken = [run("upgrad", 0, "diverged"), run("upgrad", 1, "diverged"), run("pcgrad", 0, "timeout")]
        evidence = evidence_of(without((1, 0), (1, 1), *((2, seed) for seed in range(5))), METRICS, NAMES)
        evidence.runs = pd.concat([evidence.runs.query("status == 'finished'"), table("runs", broken)])
        found = summarise(evidence)
        assert found.notes[0] == (
            "upgrad: 3 of 5 seeds finished (runs: 2 diverged); its means, intervals and tests are over those."
        )
        assert (
            found.notes[1] == "pcgrad: none of 5 seeds finished (runs: 1 timeout); it has no means and is in no test."
        )
        assert found.notes[2].startswith("A broken run ranks last")
        assert found.conflicts.set_index("contestant")[["diverged", "timeout"]].to_numpy().tolist() == [
            [0, 0],
            [2, 0],
            [0, 1],
            [0, 0],
        ]

    def test_say_which_tasks_a_contestant_is_not_trained_on(self) -> None:
        evidence = evidence_of(drawn(), METRICS, NAMES)
        scores = evidence.scores
        evidence.scores = scores[~((scores["contestant"] == "upgrad") & (scores["task"] != "slots"))]
        found = summarise(evidence)
        assert found.notes[0] == "upgrad is not trained on intent, domain: it is compared by task alone."
        assert "upgrad" not in "".join(headline(evidence, found))

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("one seed", "One seed: there are no intervals and no tests"),
            ("two seeds", "2 seeds: intervals are wide"),
            ("two seeds", "A test needs 3 seeds that both contestants finished."),
            (
                "full",
                "corrected by Holm's method within each family: 3 (each against the reference), 6 (pairs), 9 (each",
            ),
            ("full", "Ranks are made of all metrics but loss, except of domain, where there is nothing else."),
            ("full", "The critical difference takes the 5 seeds for its blocks"),
            (
                "missing seeds",
                "Ranks are over the 3 of 5 seeds in which each of the 3 contestants of the pool was run.",
            ),
            ("scores that are not numbers", "upgrad: intent accuracy is not a number in 1 of 5 finished seeds"),
        ],
    )
    def test_say_how_far_figures_carry(self, name: str, words: str) -> None:
        assert words in notes(EVIDENCE[name])

    def test_of_complete_evidence_complain_of_nothing(self) -> None:
        assert len(summarise(EVIDENCE["full"]).notes) == 3  # on ranks, critical difference and correction

    def test_speak_of_a_critical_difference_where_there_can_be_one(self) -> None:
        for found in (EVIDENCE["full"], EVIDENCE["two seeds"], only(["equal", "upgrad"])):
            assert "The critical difference" in notes(found)
        for name in ("one seed", "one contestant", "single task alone", "nothing finished", "no seeds"):
            assert "The critical difference" not in notes(EVIDENCE[name]), name

    def test_say_that_validation_scores_are_too_high(self) -> None:
        assert "validation split" in notes(dataclasses.replace(EVIDENCE["full"], split="val"))
        assert "validation split" not in notes(EVIDENCE["full"])

    def test_say_what_a_search_leaves_open(self) -> None:
        searched = [("equal", number, 0.5, {"lr": 0.1 * number}, "finished") for number in range(3)]
        broken = [("upgrad", number, NAN, {"lr": 0.1 * number}, "diverged") for number in range(2)]
        trials = table("trials", [*searched, *broken, ("pcgrad", 0, 0.4, {}, "finished")])
        said = notes(dataclasses.replace(EVIDENCE["full"], trials=trials))
        assert "settings that a search chose (trials of a single run each, 3 at most for each contestant)" in said
        assert "upgrad: none of its trials finished; its runs have the config's settings." in said
        assert "pcgrad: it has nothing to search" in said
        assert "equal: " not in said
