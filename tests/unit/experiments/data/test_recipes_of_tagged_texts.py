"""The conversions of recipes whose sources are texts, each on a source of a few lines in that source's format."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments.data.recipes import crossre, policyqa, rnnlg, sick, ud_ewt, ud_ewt_dep, ud_zh_gsdsimp

Write = Callable[[str, str], Path]
"""Path and content → the folder that the path starts from."""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(path: str, content: str) -> Path:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content.encode())
        return tmp_path / Path(path).parts[0]

    return written


def texts(files: Iterator[tuple[str, bytes]]) -> dict[str, str]:
    return {name: content.decode() for name, content in files}


def rows(content: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in content.splitlines()]


def table(*lines: str) -> str:
    """Lines whose columns are apart by tabs instead of blanks."""
    return "".join("\t".join(line.split()) + "\n" if not line.startswith("#") else line + "\n" for line in lines)


PARSED = table(
    "# newdoc id = weblog-a",
    "# sent_id = weblog-a-0001",
    "# text = I can't, Ann",
    "1 I I PRON PRP Number=Sing 2 nsubj 2:nsubj _",
    "2-3 can't _ _ _ _ _ _ _ _",
    "2 ca can AUX MD VerbForm=Fin 0 root 0:root _",
    "3 n't not PART RB _ 2 advmod 2:advmod _",
    "3.1 go go VERB VB _ _ _ 0:root _",
    "4 Ann Ann PROPN NNP Number=Sing 2 vocative 2:vocative _",
    "",
    "# sent_id = email-b-0001",
    "1 Hi hi INTJ UH _ 0 root 0:root _",
    "",
)
ANNOTATED = table(
    "# sent_id = email-b-0001",
    "1 Hi O - -",
    "",
    "# sent_id = weblog-a-0001",
    "1 I B-OTH - ann",
    "2-3 can't _ _ _",
    "2 ca O - -",
    "3 n't O - -",
    "4 Ann B-PER - ann",
    "",
)


def test_ud_ewt_has_the_treebanks_order_and_the_entities_of_three_types(write: Write) -> None:
    for split in ("train", "dev", "test"):
        treebank = write(f"treebank/en_ewt-ud-{split}.conllu", PARSED)
        annotations = write(f"annotations/en_ewt-ud-{split}.iob2", ANNOTATED)
    first = write("first/en_ewt-ud-train.iob2", ANNOTATED.replace("B-PER", "B-LOC"))
    made = texts(ud_ewt.convert(treebank, annotations, first))
    assert list(made) == list(ud_ewt.RECIPE.files)
    assert made["dev.conll.gz"] == made["test.conll.gz"] == made["train.conll.gz"].replace("B-LOC", "B-PER")
    assert made["dev.conll.gz"] == table(
        "# sent_id = weblog-a-0001",
        "# genre = weblog",
        "I PRON PRP Number=Sing O",
        "ca AUX MD VerbForm=Fin O",
        "n't PART RB _ O",
        "Ann PROPN NNP Number=Sing B-PER",
        "",
        "# sent_id = email-b-0001",
        "# genre = email",
        "Hi INTJ UH _ O",
        "",
    )


def test_ud_ewt_is_of_the_same_words_in_both_sources(write: Write) -> None:
    treebank = write("treebank/en_ewt-ud-train.conllu", PARSED)
    first = write("first/en_ewt-ud-train.iob2", ANNOTATED.replace("Ann", "Eve"))
    with pytest.raises(ValueError, match="sentence weblog-a-0001 has other words"):
        next(ud_ewt.convert(treebank, first, first))


def test_ud_ewt_dep_has_the_heads_of_the_words_alone(write: Write) -> None:
    for split in ("train", "dev", "test"):
        treebank = write(f"treebank/en_ewt-ud-{split}.conllu", PARSED)
    made = texts(ud_ewt_dep.convert(treebank))
    assert list(made) == list(ud_ewt_dep.RECIPE.files)
    assert set(made.values()) == {
        table(
            "# sent_id = weblog-a-0001",
            "I PRON 2 nsubj",
            "ca AUX 0 root",
            "n't PART 2 advmod",
            "Ann PROPN 2 vocative",
            "",
            "# sent_id = email-b-0001",
            "Hi INTJ 0 root",
            "",
        )
    }


def test_ud_zh_gsdsimp_has_no_parts_of_speech_where_words_are_cut_otherwise(write: Write) -> None:
    annotated = table(
        "# sent_id = batch-1", "1 马 B-PER - -", "2 。 O - -", "", "# sent_id = batch-2", "1 好 O - -", ""
    )
    tagged = table("1 馬 _ PROPN NNP _ 0 root _ _", "2 . _ PUNCT . _ 1 punct _ _", "")
    tagged += table("1 很 _ ADV RB _ 2 advmod _ _", "2 好 _ ADJ JJ _ 0 root _ _", "")
    for split, file in {"train": "zh-ud-train", "dev": "zh_gsdsimp-ud-dev", "test": "zh_gsdsimp-ud-test"}.items():
        annotations = write(f"annotations/zh_gsdsimp-ud-{split}.iob2", annotated)
        treebank = write(f"treebank/{file}.conllu", tagged)
    made = texts(ud_zh_gsdsimp.convert(annotations, treebank, treebank))
    assert list(made) == list(ud_zh_gsdsimp.RECIPE.files)
    for split in ("train", "dev", "test"):
        assert made[f"{split}.conll.gz"] == table(
            f"# sent_id = {split}-batch-1", "马 NNP B-PER", "。 . O", "", f"# sent_id = {split}-batch-2", "好 _ O", ""
        )


def test_crossre_names_what_has_positions_in_the_source(write: Write) -> None:
    row = {
        "doc_key": "ai-1",
        "sentence": ["Ada", "wrote", "the", "first", "program"],
        "ner": [[0, 0, "researcher"], [3, 4, "product"]],
        "relations": [[0, 0, 3, 4, "origin", "she did", True, False]],
    }
    for name in crossre.RECIPE.sources[0].files:
        folder = write(f"checkout/{name}", json.dumps(row) + "\n")
    made = texts(crossre.convert(folder))
    assert list(made) == list(crossre.RECIPE.files)
    assert rows(made["news-dev.jsonl.gz"]) == [
        {
            "doc_key": "ai-1",
            "tokens": ["Ada", "wrote", "the", "first", "program"],
            "entities": [
                {"start": 0, "end": 0, "type": "researcher"},
                {"start": 3, "end": 4, "type": "product"},
            ],
            "relations": [
                {"head": [0, 0], "tail": [3, 4], "type": "origin", "uncertain": True, "syntax_ambiguity": False}
            ],
        }
    ]


def test_policyqa_splits_the_official_dev_by_site(write: Write) -> None:
    def site(name: str) -> dict[str, object]:
        question = {
            "id": f"q-{name}",
            "question": "Why?",
            "type": "Other|||Reason|||None",
            "answers": [{"text": "so", "answer_start": 4}],
        }
        return {"title": name, "paragraphs": [{"context": "Just so.", "qas": [question], "summary": [], "index": 0}]}

    sites = ["yahoo.com", "sci-news.com", "walmart.com"]
    write("checkout/data/dev.json", json.dumps({"version": "v1.0", "data": [site(name) for name in sites]}))
    folder = write("checkout/data/test.json", json.dumps({"version": "v1.0", "data": [site("elsewhere.com")]}))
    made = {name: rows(content) for name, content in texts(policyqa.convert(folder)).items()}
    assert list(made) == list(policyqa.RECIPE.files)
    assert [[row["site"] for row in split] for split in made.values()] == [
        ["yahoo.com", "walmart.com"],
        ["sci-news.com"],
        ["elsewhere.com"],
    ]
    assert made["dev.jsonl.gz"] == [
        {
            "id": "q-sci-news.com",
            "site": "sci-news.com",
            "question": "Why?",
            "context": "Just so.",
            "answers": [{"start": 4, "text": "so"}],
            "practice": "Other",
            "type": "Other|||Reason|||None",
        }
    ]


def test_rnnlg_reads_below_the_notice_and_takes_the_first_sentence(write: Write) -> None:
    notice = "#####\n#  A notice #\n"
    content = '[\n["inform(name=\'#1\';area=north)", "#1 is north", "it is"],\n["bye()", "bye", "bye"]\n]'
    for name in rnnlg.RECIPE.sources[0].files:
        folder = write(f"checkout/{name}", notice + content)
    made = texts(rnnlg.convert(folder))
    assert list(made) == list(rnnlg.RECIPE.files)
    assert rows(made["tv-dev.jsonl.gz"]) == [
        {"mr": "inform(name='#1';area=north)", "act": "inform", "text": "#1 is north"},
        {"mr": "bye()", "act": "bye", "text": "bye"},
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_sick_has_our_columns_and_one_kind_of_line_ends(write: Write, end: str) -> None:
    lines = (
        "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment",
        "4\tA boy\tNo boy\t3.6\tNEUTRAL",
    )
    for name in sick.RECIPE.sources[0].files:
        folder = write(f"checkout/{name}", "".join(line + end for line in lines))
    made = texts(sick.convert(folder))
    assert list(made) == list(sick.RECIPE.files)
    assert set(made.values()) == {
        "pair_id\tsentence_a\tsentence_b\trelatedness\tentailment\n4\tA boy\tNo boy\t3.6\tNEUTRAL\n"
    }


def test_the_licence_that_forbids_commercial_use_is_said_to_do_so() -> None:
    assert "not for commercial use" in sick.RECIPE.licence
