"""Two gloo processes, and four on two nodes, equal one process on the joined batch: metrics, losses and parameters."""

import json
import random

import launch
import pytest
import torch
import yaml
from forked import Forked

from mtl_lightning.checkpoints import AtomicCheckpointIO

CONFIG = """\
name: two
model:
  encoder:
    class_path: TransformerEncoder
    init_args:
      config: {model_type: bert, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32}
      tokenizer: characters:ascii
      dropout: 0.0
      max_length: 36
  tasks:
    topic:
      class_path: SequenceClassification
      init_args: {dropout: 0.0, class_weights: balanced, metrics: [accuracy, f1, mcc, quadratic_kappa, auroc]}
    spans:
      class_path: TokenClassification
      init_args: {scheme: bio, dropout: 0.0, class_weights: balanced, focal_gamma: 1.0, average: macro}
    path: {class_path: TokenClassification, init_args: {scheme: bio, dropout: 0.0, decoding: crf}}
    marks: {class_path: TokenMultiLabelClassification, init_args: {dropout: 0.0, metrics: [auroc]}}
    tree: {class_path: DependencyParsing, init_args: {dropout: 0.0, arc_size: 8, relation_size: 4}}
    choice: {class_path: MultipleChoice, init_args: {dropout: 0.0, label_smoothing: 0.1, metrics: [mrr]}}
    order: {class_path: Ranking, init_args: {dropout: 0.0, objective: listnet, metrics: [ndcg_at_2]}}
    alike: {class_path: SimilarityRegression, init_args: {metrics: [spearman, rmse]}}
    answer: {class_path: SpanQuestionAnswering, init_args: {dropout: 0.0}}
    relation: {class_path: RelationClassification, init_args: {dropout: 0.0, hidden: 8}}
    story: {class_path: Seq2Seq, init_args: {layers: 1, heads: 2, dropout: 0.0, max_target_length: 6}}
    score: {class_path: Regression, init_args: {dropout: 0.0, metrics: [pearson, rmse, mae, r2]}}
    flags:
      class_path: MultiLabelClassification
      init_args: {dropout: 0.0, pos_weight: balanced, metrics: [f1, average_precision, subset_accuracy]}
data:
  datasets:
    first:
      class_path: FileSource
      init_args:
        files: {train: first.jsonl, val: first.jsonl}
        inputs: {tokens: words}
        labels:
          {topic: topic, story: topic, spans: spans, path: spans, marks: marks, score: score, tree: [heads, relations]}
    second:
      class_path: FileSource
      init_args:
        files: {train: second.jsonl, val: second.jsonl}
        inputs: {tokens: words}
        labels: {score: score, flags: flags}
    third:   # a single validation example: one of two processes sees none
      class_path: FileSource
      init_args:
        files: {train: third.jsonl, val: single.jsonl}
        inputs: {tokens: words}
        labels: {topic: topic, spans: spans}
    fourth:   # examples of several texts
      class_path: FileSource
      init_args:
        files: {train: fourth.jsonl, val: fourth.jsonl}
        inputs: {text: topic, choices: words}
        labels: {choice: choice, order: order}
    fifth:
      class_path: FileSource
      init_args:
        files: {train: fourth.jsonl, val: fourth.jsonl}
        inputs: {texts: [topic, name]}
        labels: {alike: score}
    sixth:   # contexts of one window and of several
      class_path: FileSource
      init_args:
        files: {train: fourth.jsonl, val: fourth.jsonl}
        inputs: {text: topic, context: passage}
        labels: {answer: answers}
    seventh:
      class_path: FileSource
      init_args:
        files: {train: fourth.jsonl, val: fourth.jsonl}
        inputs: {tokens: words, spans: places}
        labels: {relation: related}
trainer:
  precision: 64-true
  accelerator: cpu
  max_epochs: 2
  gradient_clip_val: 0.5
  enable_progress_bar: false
  enable_model_summary: false
wandb: "off"
"""
PLUGIN = """\
import torch
from mtl_lightning.weighting import GramianWeighting

class NormalisedGradients(GramianWeighting):
    def forward(self, gramian, losses, tasks):
        return gramian.diagonal().rsqrt()
"""
FIXED = """{
    "class_path": "FixedWeighting",
    "init_args": {"weights": {
        "topic": 1, "story": 1, "spans": 2, "path": 1, "marks": 1, "tree": 1, "score": 0.5, "flags": 1,
        "choice": 1, "order": 0.5, "alike": 1, "answer": 1, "relation": 1
    }}
}"""
CHAIN = """{
    "spans": {"class_path": "ClassifierChain", "init_args": {"after": "topic"}},
    "flags": {"class_path": "ClassifierChain", "init_args": {"after": ["score", "topic"]}}
}"""
BRIEF = ["--trainer.max_epochs=1"]
"""One case has a second epoch."""
FEW = ("topic", "spans", "score", "flags")
"""Of the tasks, those that are trained on two nodes, where all begins once more on each of four processes."""
WEIGHTINGS = {
    "equal, accumulated, experts with a term": (
        "EqualWeighting",
        ["--trainer.accumulate_grad_batches=2", "--model.sharing=DSelectK"],
        "Lightning",
    ),
    "fixed, alternating": (FIXED, ["--data.schedule=Alternating", *BRIEF], "a cluster"),
    "a Gramian method of the user's own, chained": (
        "plugin.NormalisedGradients",
        [f"--model.chain={CHAIN}", *BRIEF],
        "a cluster",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "plugin.py").write_text(PLUGIN)
    draw = random.Random(0)
    for name, size in (("first", 37), ("second", 21), ("third", 12)):  # no last batch of one in either
        rows = [_row(draw) for _ in range(size)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = [_asked(draw) for _ in range(12)]
    (folder / "fourth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    single = {**_row(draw), "topic": "p"}
    single["spans"] = ["O"] * len(single["words"])
    (folder / "single.jsonl").write_text(json.dumps(single) + "\n")
    return folder


def _row(draw):
    words = ["".join(draw.choices("abcde", k=draw.randint(1, 4))) for _ in range(draw.randint(1, 6))]
    tags = ["B-x" if word[0] == "a" else "O" for word in words]
    missing = draw.random
    parsed = words[0] >= "b"
    return {
        "words": words,
        "topic": None if missing() < 0.4 else draw.choice("pqr"),
        "spans": None if missing() < 0.4 else tags,
        "marks": [["u"] if word[-1] == "a" else ["u", "v"] if word[-1] == "b" else [] for word in words],
        "heads": [len(words), *range(1, len(words) - 1), 0][-len(words) :] if parsed else None,
        "relations": [word[0] for word in words] if parsed else None,
        "score": None if missing() < 0.3 else draw.gauss(3, 2),
        "flags": None if missing() < 0.3 else draw.choice(["u", "v", "u,v"]),
    }


def _asked(draw):
    row = _row(draw)
    words = [*row["words"], "e"]
    return {
        **row,
        "words": words,
        "topic": draw.choice("pqr"),
        "name": words[0],
        "choice": None if draw.random() < 0.3 else draw.randrange(len(words)),
        "order": None if draw.random() < 0.3 else [word.count("a") for word in words],
        "passage": " ".join(words * draw.randint(1, 5)),
        "answers": draw.choice([None, [], [words[-1]], [words[0], words[-1]]]),
        "places": [[place, place + 1, word[0]] for place, word in enumerate(words)],
        "related": None if draw.random() < 0.3 else [[0, len(words) - 1, words[0][0]]],
    }


def start(folder, name, processes, weighting, flags, starter):
    # One process takes twice as many examples a step, so that the joined batches are the same.
    strategy = ["--trainer.devices=2", "--trainer.strategy=ddp"] if processes == 2 else ["--trainer.devices=1"]
    arguments = [
        *("fit", "--config", "config.yaml", "--json", f"{name}.json"),
        *(f"--data.batch_size={8 // processes}", f"--trainer.default_root_dir={name}"),
        *(f"--model.weighting={weighting}", *strategy, *flags),
    ]
    if starter == "Lightning":
        return [Forked(*arguments, cwd=folder)]
    return launch.start(processes, *arguments, cwd=folder)


def result(folder, name, processes):
    for process in processes:
        ended = process.finish()
        assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    checkpoint = torch.load(folder / name / "checkpoints" / "last.ckpt", weights_only=True)
    return checkpoint, json.loads((folder / f"{name}.json").read_text())


@pytest.mark.parametrize(("weighting", "flags", "starter"), WEIGHTINGS.values(), ids=WEIGHTINGS)
def test_two_processes_equal_one(folder, weighting, flags, starter, request):
    name = request.node.callspec.id.replace(" ", "_").replace(",", "").replace("'", "")
    started = [start(folder, f"{name}-{number}", number, weighting, flags, starter) for number in (1, 2)]
    one, one_metrics = result(folder, f"{name}-1", started[0])
    two, two_metrics = result(folder, f"{name}-2", started[1])
    assert one["global_step"] == two["global_step"] > 0
    assert one["state_dict"].keys() == two["state_dict"].keys()
    for key, value in one["state_dict"].items():  # Adam makes more of rounding where gradients are tiny
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(
                two["state_dict"][key], value, rtol=0, atol=1e-7, msg=lambda m, k=key: f"{k}: {m}"
            )
    of_words, of_texts = (
        {"spans", "path", "marks", "tree", "story", "answer", "relation"},
        {"topic", "score", "flags", "choice", "order", "alike"},
    )
    assert set(one_metrics) == {*of_words, *of_texts, "joint", "average", "by_dataset"}
    assert flat(two_metrics) == pytest.approx(flat(one_metrics), abs=1e-6)


def flat(metrics, of=""):
    """Nested scores by path, such as ``by_dataset/topic/first/f1``."""
    if not isinstance(metrics, dict):
        return {of: metrics}
    return {path: value for name, each in metrics.items() for path, value in flat(each, f"{of}/{name}").items()}


@pytest.mark.parametrize("starter", ["torchrun", "srun"])
def test_two_nodes_of_two_processes_equal_one_process(folder, starter):
    """Neither devices nor nodes are given, nor a folder: the first process chooses one for all. The encoder is sharded
    over all four, which save it in parts, or whole on each. Two processes evaluate what was saved, with the encoder
    sharded over them."""
    name = f"nodes-{starter}"
    arguments = ["fit", "--config", "config.yaml", "--name", name, "--model.weighting=plugin.NormalisedGradients"]
    arguments += [*BRIEF, "--evaluate=none", f"--data.tasks=[{','.join(FEW)}]"]
    arguments += [f"--model.tasks.{task}=null" for task in yaml.safe_load(CONFIG)["model"]["tasks"] if task not in FEW]
    alone = Forked(*arguments, "--data.batch_size=8", f"--trainer.default_root_dir={name}", cwd=folder)
    strategy = f"--trainer.strategy={'ddp' if starter == 'torchrun' else 'fsdp2_in_parts'}"
    both = launch.start_on_two_nodes(starter, *arguments, "--data.batch_size=2", strategy, cwd=folder)
    for process in (alone, *both):
        ended = process.finish()
        assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    (run,) = (folder / "runs" / name).iterdir()
    assert (run / "checkpoints" / "last.ckpt.parts").is_dir() == (starter == "srun")
    evaluate = ["validate", f"--ckpt_path={run}/checkpoints/last.ckpt", "--trainer.devices=2"]
    evaluate += ["--trainer.strategy=fsdp2", "--trainer.accelerator=cpu", "--trainer.precision=64-true"]
    evaluated = launch.start(2, *evaluate, f"--json={name}.json", cwd=folder)
    alone = Forked("validate", f"--ckpt_path={name}/checkpoints/last.ckpt", f"--json={name}-1.json", cwd=folder)
    for process in (alone, *evaluated):
        ended = process.finish()
        assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    metrics, expected = (json.loads((folder / f"{each}.json").read_text()) for each in (name, f"{name}-1"))
    assert flat(metrics) == pytest.approx(flat(expected), abs=1e-6)
    found = AtomicCheckpointIO().load_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    expected = torch.load(folder / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for key, value in expected.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(found[key], value, rtol=0, atol=1e-10, msg=lambda m, k=key: f"{k}: {m}")
