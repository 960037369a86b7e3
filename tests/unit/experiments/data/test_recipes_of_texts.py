"""Recipes of labelled texts, each on a made-up source in the format of the real one."""

import io
import json
import tarfile

import pytest

from experiments.data.recipes import RECIPES
from experiments.data.recipes.goemotions import EKMAN


def made(name, folder, sources):
    for path, data in sources.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return {file: data.decode() for file, data in RECIPES[name].convert(folder)}


def test_snips(tmp_path):
    split = {"seq.in": "play  música now \nstop\n", "seq.out": "O B-song O \nO \n", "label": "PlayMusic\nStop\n"}
    files = {f"data/snips/{s}/{name}": text for s in ("train", "valid", "test") for name, text in split.items()}
    found = made("snips", tmp_path, files)
    assert set(found) == {"train.jsonl", "dev.jsonl", "test.jsonl"}
    assert found["dev.jsonl"].splitlines()[0] == (
        '{"tokens": ["play", "música", "now"], "slots": ["O", "B-song", "O"], "intent": "PlayMusic"}'
    )


def test_snips_with_a_line_too_few(tmp_path):
    split = {"seq.in": "play now\nstop\n", "seq.out": "O O\n", "label": "PlayMusic\nStop\n"}
    with pytest.raises(ValueError, match="shorter"):
        made("snips", tmp_path, {f"data/snips/train/{name}": text for name, text in split.items()})


def test_clinc150(tmp_path):
    splits = {name: [[f"a {name}\trequest", "pay"]] for name in ("train", "val", "test")}
    outside = {f"oos_{name}": [["what is\nlove", "oos"]] for name in splits}
    domains = {"banking": ["pay"]}
    sources = {"data/data_full.json": json.dumps({**splits, **outside}), "data/domains.json": json.dumps(domains)}
    found = made("clinc150", tmp_path, sources)
    assert set(found) == {"train.tsv", "dev.tsv", "test.tsv"}
    assert found["dev.tsv"] == "text\tintent\tdomain\na val request\tpay\tbanking\nwhat is love\toos\toos\n"


def test_goemotions(tmp_path):
    sources = {f"data/original/{split}.tsv": "So \u2028 nice. \t1,0\tid1\n" for split in ("train", "dev", "test")}
    found = made("goemotions", tmp_path, {**sources, "data/original/labels.txt": "joy\nlove"})
    assert found["train.tsv.gz"] == "text\tlabels\nSo \u2028 nice.\tlove,joy\n"
    assert found["labels.txt"] == "joy\nlove\n"
    assert json.loads(found["ekman_mapping.json"]) == EKMAN


def test_ekmans_emotions_cover_each_of_the_28_once():
    named = [emotion for emotions in EKMAN.values() for emotion in emotions]
    assert len(named) == len(set(named)) == 28


def test_tox21(tmp_path):
    found = made("tox21", tmp_path, {"data/tox21.csv": 'smiles,NR-AR,SR-p53\nCCO,0,\n"C,C",,1\n'})
    assert found == {"all.tsv.gz": "smiles\tNR-AR\tSR-p53\nCCO\t0\t\nC,C\t\t1\n"}


def test_codah(tmp_path):
    rows = [f"o\tI am {n}.\tone\ttwo\tthree\tfour\t{n % 4}\n" for n in range(5)]
    sources = {f"data/cv_split/fold_{fold}/test.tsv": rows[4 - fold] for fold in range(5)}
    found = made("codah", tmp_path, {**sources, "data/full_data.tsv": "".join(rows)})
    first, *_, last = map(json.loads, found["all.jsonl"].splitlines())
    assert first == {
        **{"id": 0, "fold": 4, "category": "o", "prompt": "I am 0."},
        **{"choices": ["one", "two", "three", "four"], "label": 0},
    }
    assert last["fold"] == 0


def test_vader(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in ("tweets", "movieReviewSnippets", "amazonReviewSnippets", "nytEditorialSnippets"):
            text = "".join(f"{doc}_{part}\t-0.5\t {name} {doc}\r\n" for doc in range(100) for part in (1, 2)).encode()
            member = tarfile.TarInfo(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    found = made("vader", tmp_path, {"additional_resources/hutto_ICWSM_2014.tar.gz": buffer.getvalue()})
    assert set(found) == {f"{domain}.tsv.gz" for domain in ("tweets", "movie", "amazon", "nyt")}
    header, *rows = (line.split("\t") for line in found["amazon.tsv.gz"].splitlines())
    assert header == ["id", "split", "score", "text"]
    assert [rows[0][0], *rows[0][2:]] == ["0_1", "-0.5", "amazonReviewSnippets 0"]
    splits = {}
    for number, split, *_ in rows:
        splits.setdefault(number.partition("_")[0], set()).add(split)
    assert all(len(found) == 1 for found in splits.values())
    assert {"train", "dev", "test"} == set.union(*splits.values())
