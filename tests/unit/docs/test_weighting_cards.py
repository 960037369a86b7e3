"""Every exported weighting has a card, which says all that a card has to say, and claims nothing that does not hold."""

import json
import sys
from pathlib import Path
from typing import get_type_hints

import forked
import pytest
from torch import Tensor

from experiments.benchmark import weightings
from experiments.benchmark.instances import exported
from mtl_lightning.weighting import LossWeighting

KEYS = set(get_type_hints(weightings.Figures))
ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT / "docs" / "_extensions"))

import weighting_cards  # noqa: E402
import weighting_facts  # noqa: E402
import weighting_figures  # noqa: E402


class Newest(LossWeighting):
    r"""The objective :math:`2 \sum_t \ell_t`.

    Reference: nobody, "A Weighting of a Test" (2026). Difference: none.

    Helps: in this test. Fails: in any other.

    Args:
        tasks: Names of the K tasks.
    """

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return 2 * losses.sum()


@pytest.fixture(scope="module")
def pages():
    return weighting_cards.pages()


@pytest.mark.parametrize("name", exported())
def test_a_card_says_what_it_has_to(name, pages):
    facts = weighting_facts.facts(name)
    assert {"Reference", "Difference", "Helps", "Fails"} <= set(facts.labelled)
    assert all(facts.labelled.values())
    assert "math:" in facts.summary + facts.description
    assert facts.paper
    assert facts.domain
    assert all(option.meaning for option in facts.options)
    card = pages[f"{name}.rst"]
    assert all(f"``{option.name}``" in card for option in facts.options)


def test_the_table_names_every_weighting_and_its_card(pages):
    assert set(pages) == {*(f"{name}.rst" for name in exported()), "table.inc", "compared.inc"}
    assert all(f"(generated/{name}.rst)" in pages["table.inc"] for name in exported())


def test_the_comparisons_are_shown_as_their_reports_have_them(pages):
    lines = pages["compared.inc"].splitlines()
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines}
    assert cells["equal"][1:] == ["+0.04 ± 0.52", "+9.9 ± 2.1"]
    assert cells["moco"][0].endswith("19.41 ± 4.26, worse")
    assert cells["moco"][1:] == ["", ""]


def test_a_new_weighting_has_its_card_by_itself(monkeypatch):
    everything = {**exported(), "Newest": Newest}
    for module in (weighting_cards, weighting_facts):
        monkeypatch.setattr(module, "exported", lambda: everything)
    monkeypatch.setattr("experiments.benchmark.instances.exported", lambda: everything)
    card = weighting_cards.pages()["Newest.rst"]
    assert "A Weighting of a Test" in card
    assert "Cost: not measured" in card
    assert "None of its own." in card


def test_what_a_weighting_keeps_is_named_with_its_shape():
    assert weighting_facts.facts("UPGrad").state == ()
    assert weighting_facts.facts("ExcessMTL").state[-1] == "``curvature`` [K, P]"
    assert weighting_facts.facts("FAMO").needs == ("the losses of the batch after the step: a second forward pass",)


def test_figures_are_of_weightings_that_there_are_and_of_one_kind():
    figures = weighting_figures.measured()
    assert set(figures) <= set(exported())
    assert all(set(one) == KEYS for one in figures.values())


def test_reports_and_the_toy_are_read():
    assert weighting_figures.toy("NashMTL") == (5, 5)
    assert weighting_figures.toy("FixedWeighting") is None
    found = {experiment: verdict for experiment, _, verdict in weighting_figures.compared("UPGrad")}
    assert found == dict.fromkeys(weighting_figures.COMPARED, "no difference shown")
    assert {one: verdict for one, _, verdict in weighting_figures.compared("MoCo")} == {"multimnist": "worse"}


@pytest.mark.parametrize("name", exported())
def test_what_a_card_claims_holds(name):
    claims = " ".join(weighting_facts.facts(name).labelled["Helps"].split())
    found = weightings.behaviour(name, 30)
    if "no step increases a loss" in claims or "no loss is increased" in claims:
        assert found["increases"] == 0
    if "depends on no unit" in claims or "does not depend on the unit" in claims:
        assert found["turns"] < 0.1
    toy = weighting_figures.toy(name)
    assert ("reaches the front from all starts" in claims) == (toy is not None and toy[0] == toy[1])
    for fact in ("was shown to be worse", "was shown to be much worse"):
        if fact in weighting_facts.facts(name).labelled["Fails"] and name != "FixedWeighting":
            assert ("multimnist", "worse") in [(one, said) for one, _, said in weighting_figures.compared(name)]


def test_measures_what_the_cards_show(tmp_path):
    output = tmp_path / "new" / "measured.json"
    output.parent.mkdir()
    output.write_text(json.dumps({"Known": {}}))
    script = ROOT / "experiments" / "benchmark" / "weightings.py"
    ran = forked.run("--quick", "--only", "FAMO", "--output", str(output), script=script, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(output.read_text())
    assert list(found) == ["EqualWeighting", "FAMO", "Known"]
    assert set(found["FAMO"]) == KEYS
    assert all(found["FAMO"][ratio][key] > 0 for ratio in ("time", "memory") for key in weightings.WORKLOADS)
