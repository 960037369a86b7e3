# ruff: noqa: E501
"""Every mistake in a configuration is one line that says what, where, and the nearest match; the status is 2."""

import subprocess
import sys

import pytest
import yaml

from mtl_lightning.__main__ import main

CONFIG = """\
name: t
model:
  encoder:
    class_path: PerceptronEncoder
    init_args: {in_features: 3, hidden: [4]}
  tasks:
    x: {class_path: SequenceClassification, init_args: {dropout: 0.2}}
    y: Regression
  weighting: {class_path: FixedWeighting, init_args: {weights: {x: 1, y: 2}}}
  optimizer: {class_path: AdamW, init_args: {lr: 0.1}}
data:
  datasets:
    d:
      class_path: FileSource
      init_args:
        files: {train: train.jsonl, val: train.jsonl}
        inputs: {features: f}
        labels: {x: x, y: y}
  batch_size: 8
trainer: {max_epochs: 1, logger: false, enable_progress_bar: false, enable_checkpointing: false}
"""
PERCEPTRON = "class_path: PerceptronEncoder\n    init_args: {in_features: 3, hidden: [4]}"
TRANSFORMER = """class_path: TransformerEncoder
    init_args:
      config: {model_type: bert, hidden_size: 4, num_hidden_layers: 1, num_attention_heads: 1, intermediate_size: 4}
      tokenizer: characters:ascii"""
FILES = "files: {train: train.jsonl, val: train.jsonl}"
ROWS = '{"f": [1, 2, 3], "x": "a", "y": 1.5}\n{"f": [3, 2, 1], "x": "b", "y": 0}\n'

MISTAKES = {
    "trainer key": ("max_epochs", "max_epoch", "bad.yaml, line 20: unknown key 'trainer.max_epoch'; did you mean 'max_epochs'?"),
    "model key": ("  tasks:", "  tusks:", "bad.yaml, line 6: unknown key 'model.tusks'; did you mean 'tasks'?"),
    "top key": ("name: t", "nme: t", "bad.yaml, line 1: unknown key 'nme'; did you mean 'name'?"),
    "data key": ("batch_size", "batch_sizes", "bad.yaml, line 19: unknown key 'data.batch_sizes'; did you mean 'batch_size'?"),
    "encoder class": ("PerceptronE", "PerceptonE", "bad.yaml, line 4: no class 'PerceptonEncoder' for 'model.encoder'; did you mean 'PerceptronEncoder'?"),
    "task class": ("SequenceClassification", "SequenceClasification", "bad.yaml, line 7: no class 'SequenceClasification' for 'model.tasks.x'; did you mean 'SequenceClassification'?"),
    "source class": ("FileSource", "FileSorce", "bad.yaml, line 14: no class 'FileSorce' for 'data.datasets.d'; did you mean 'FileSource'?"),
    "import path": ("FileSource", "my.module.Source", "bad.yaml, line 14: cannot import 'my.module.Source' for 'data.datasets.d'"),
    "encoder argument": ("in_features", "in_feature", "bad.yaml, line 5: PerceptronEncoder (model.encoder) has no argument 'in_feature'; did you mean 'in_features'?"),
    "task argument": ("dropout", "droput", "bad.yaml, line 7: SequenceClassification (model.tasks.x) has no argument 'droput'; did you mean 'dropout'?"),
    "optimizer argument": ("lr:", "lrr:", "bad.yaml, line 10: AdamW (model.optimizer) has no argument 'lrr'; did you mean 'lr'?"),
    "value of the wrong type": ("dropout: 0.2", "dropout: high", "bad.yaml, line 7: 'model.tasks.x.dropout': expected float, found high"),
    "word for a number that may be a tensor": ("lr: 0.1", "lr: high", "bad.yaml, line 10: 'model.optimizer.lr': expected float or Tensor, found high\n"),
    "value that fits no type": ("size: 8", "size: eight", "bad.yaml, line 19: 'data.batch_size': expected int or dict, found eight"),
    "broken YAML": ("max_epochs: 1", "max_epochs: [1", "bad.yaml, line 20: not valid YAML"),
    "task of a weighting": ("y: 2}", "z: 2}", "bad.yaml, line 9: model.weighting.weights: `weights` names the unknown task 'z'"),
    "split": ("train: tr", "tran: tr", "bad.yaml, line 16: data.datasets.d.files: `files` has the unknown split 'tran'; did you mean 'train'?"),
    "file": ("train: train.jsonl", "train: trian.jsonl", "bad.yaml, line 13: data.datasets.d: no file trian.jsonl; did you mean 'train.jsonl'?"),
    "label column": ("{x: x, y: y}", "{x: xx, y: y}", "bad.yaml, line 18: data.datasets.d.labels.x: the data has no column 'xx'; did you mean 'x'?"),
    "input column": ("{features: f}", "{features: ff}", "bad.yaml, line 17: data.datasets.d.inputs.features: the data has no column 'ff'"),
    "input": ("{features: f}", "{feature: f}", "bad.yaml, line 17: data.datasets.d.inputs: the encoder has no input 'feature'; did you mean 'features'?"),
    "task name": ("labels: {x: x", "labels: {xx: x", "bad.yaml, line 18: data.datasets.d.labels: unknown task 'xx'; did you mean 'x'?"),
    "name of a task": ("    x: {class", "    x-y: {class", "bad.yaml, line 7: model.tasks.x-y: 'x-y' cannot be a task's name; try 'x_y'"),
    "reserved name of a task": ("    x: {class", "    loss: {class", "bad.yaml, line 7: model.tasks.loss: 'loss' cannot be a task's name; try 'loss_task'"),
    "unknown metric": ("{dropout: 0.2}", "{main_metric: recal}", "bad.yaml, line 7: model.tasks.x: `main_metric`: unknown metric 'recal'; did you mean 'recall'? Choose from accuracy, balanced_accuracy, kappa, mcc, f1, precision, recall, specificity, quadratic_kappa, auroc, average_precision, log_loss, bias, calibration_error, loss; f1, precision, recall, specificity also as f1_macro, f1_micro, …"),
    "unknown average": ("{dropout: 0.2}", "{average: samples}", "bad.yaml, line 7: 'model.tasks.x.average': expected one of 'macro', 'micro', 'weighted' or null, found samples"),
    "unknown positive label": ("{dropout: 0.2}", "{positive: c}", "bad.yaml, line 7: model.tasks.x: `positive` names the unknown label 'c'; choose from a, b"),
    "weight of no label": ("{dropout: 0.2}", "{class_weights: {a: 1, b: 2, c: 3}}", "bad.yaml, line 7: model.tasks.x: `class_weights` names the unknown label 'c'; choose from a, b"),
    "label without a weight": ("{dropout: 0.2}", "{class_weights: {a: 1}}", "bad.yaml, line 7: model.tasks.x: `class_weights` misses 'b'; give each of the 2 labels a weight, or set it to `balanced`"),
    "list of the wrong type": ("{dropout: 0.2}", "{labels: [true, false]}", "bad.yaml, line 7: 'model.tasks.x.labels': expected list of str or int or null, found [True, False]"),
    "label twice": ("{dropout: 0.2}", "{labels: [a, a]}", "bad.yaml, line 7: model.tasks.x.labels: `labels` names a label twice, 'a': ['a', 'a']"),
    "model type": (PERCEPTRON, TRANSFORMER.replace("bert", "brt"), "bad.yaml, line 6: model.encoder.config.model_type: `config.model_type` is the unknown 'brt'; did you mean 'bert'?"),
    "character tokenizer": (PERCEPTRON, TRANSFORMER.replace("ascii", "asci"), "bad.yaml, line 7: model.encoder.tokenizer: `tokenizer` is the unknown character tokenizer 'asci'; did you mean 'ascii'?"),
    "file of a label map": ("{x: x, y: y}", "{x: x, y: y}\n        label_maps: {x: trian.json}", "bad.yaml, line 19: data.datasets.d.label_maps.x: no file trian.json; did you mean 'train.jsonl'?"),
    "label map": ("{x: x, y: y}", "{x: x, y: y}\n        label_maps: {x: {p: [a, b], n: [b]}}", "bad.yaml, line 19: data.datasets.d.label_maps.x names 'b' under both 'p' and 'n'; choose one"),
    "class in a union": (FILES, "files: train.jsonl\n        split: FractonSplit", "bad.yaml, line 17: no class 'FractonSplit' for 'data.datasets.d.split'; did you mean 'FractionSplit'?"),
    "what a class in a union says": (FILES, "files: train.jsonl\n        split: {class_path: FractionSplit, init_args: {val: .6, test: .5}}", "bad.yaml, line 17: data.datasets.d.split.val: `val` and `test` must be fractions that leave rows to train on, found 0.6 and 0.5\n"),
    "task without labels": (", y: y}", "}", "bad.yaml, line 8: model.tasks.y: no data set labels it"),
}  # fmt: skip
FLAGS = {
    "class argument": (["--model.encoder.hiden=3"], "flag --model.encoder.hiden: PerceptronEncoder (model.encoder) has no argument 'hiden'; did you mean 'hidden'?"),
    "class argument within a mapping": (["--model.encoder", "{class_path: PerceptronEncoder, init_args: {hiden: [3]}}"], "flag --model.encoder: PerceptronEncoder (model.encoder) has no argument 'hiden'; did you mean 'hidden'?"),
    "what the model gives a class": (["--model.sharing=MMoE", "--model.sharing.tasks=[x]"], "flag --model.sharing.tasks: MMoE (model.sharing) has no argument 'tasks'; choose from expert_stages, expert_widths, num_experts"),
    "trainer key": (["--trainer.max_epoch=3"], "flag --trainer.max_epoch: unknown key 'trainer.max_epoch'; did you mean 'max_epochs'?"),
    "top key beside one of that name": (["--max_epochs=3", "--trainer.max_epochs=1"], "flag --max_epochs: unknown key 'max_epochs'; did you mean 'trainer.max_epochs'?"),
    "top key": (["--modle.encoder=3"], "flag --modle.encoder: unknown key 'modle'; did you mean 'model'?"),
    "class": (["--model.weighting", "EqalWeighting"], "flag --model.weighting: no class 'EqalWeighting' for 'model.weighting'; did you mean 'EqualWeighting'?"),
    "file": (["--config", "bda.yaml"], "no config file bda.yaml; did you mean 'bad.yaml'?"),
    "entry of a dict": (["--data.datasets.d.labels.z", "y"], "flag --data.datasets.d.labels.z: unknown task 'z'; choose from x, y\n"),
    "type of an entry": (["--data.batch_size.d", "eight"], "flag --data.batch_size.d: expected int or dict of str to int, found {'d': 'eight'}\n"),
    "type within a dict": (["--data.datasets.d.label_maps", "{x: {a: b}}"], "flag --data.datasets.d.label_maps: expected dict of str to str or dict of str to list of str or null, found {'x': {'a': 'b'}}\n"),
    "argument of a class that may be null": (["--data.schedule=Annealed", "--data.schedule.start=often"], "flag --data.schedule.start: expected float, found often\n"),
    "choice": (["--model.head_gradients", "owm"], "flag --model.head_gradients: expected one of 'own', 'weighted', found owm\n"),
    "what a class in a union says": (["--data.datasets.d.files", "train.jsonl", "--data.datasets.d.split", "{class_path: FractionSplit, init_args: {val: .6, test: .5}}"], "error: flag --data.datasets.d.split: `val` and `test` must be fractions"),
    "argument that a file calls so too": (["--model.tasks.x.labels", "[a]"], "error: flag --model.tasks.x.labels: `labels` must name at least two labels, found ['a']\n"),
    "key over that of a file": (["--data.datasets.d.labels", "{z: x}"], "error: flag --data.datasets.d.labels: unknown task 'z'; "),
    "part of a key": (["--model.weighting.weights={z: 1}"], "error: flag --model.weighting.weights: `weights` names the unknown task 'z'"),
    "type": (["--seed_everything=abc"], "flag --seed_everything: expected bool or int, found abc"),
    "trainer value": (["--trainer.accelerator=gpux"], "invalid accelerator name"),
    "a number for a class": (["--data.schedule=5"], "; choose from Alternating, Annealed, "),
    "a class of another kind": (["--model.weighting=Quadratic"], "flag --model.weighting: no class 'Quadratic' for 'model.weighting'; choose from AlignedMTL, "),
    "a long list": (["--data.batch_size", str(list(range(999)))], "flag --data.batch_size: expected int or dict, found [0, 1, 2,"),
    "many labels": (["--model.tasks.x.labels", str(["a", *range(99), "a"])], "`labels` names a label twice, 'a': ['a', '0', '1',"),
    "stray word": (["stray"], "unexpected argument 'stray'"),
    "checkpoint": (["--ckpt_path=none.ckpt"], "ckpt_path: no file or folder none.ckpt"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.jsonl").write_text(ROWS)
    return tmp_path


def run(capsys, folder, config, *flags):
    (folder / "bad.yaml").write_text(config)
    status = main(["fit", "--config", "bad.yaml", *flags])
    return status, [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize(("old", "new", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_in_a_file(capsys, folder, old, new, expected):
    assert old in CONFIG
    status, errors = run(capsys, folder, CONFIG.replace(old, new))
    assert (status, len(errors)) == (2, 1)
    assert expected in f"{errors[0]}\n"


@pytest.mark.parametrize(("flags", "expected"), FLAGS.values(), ids=FLAGS)
def test_mistake_in_a_flag(capsys, folder, flags, expected):
    status, errors = run(capsys, folder, CONFIG, *flags)
    assert (status, len(errors)) == (2, 1) and len(errors[0]) < 400
    assert expected in f"{errors[0]}\n"


@pytest.mark.parametrize("others", [[], ["--config", "bad.yaml"]], ids=["alone", "after another"])
def test_mistake_in_a_file_of_another_folder(capsys, folder, others):
    (folder / "configs").mkdir()
    (folder / "bad.yaml").write_text(CONFIG)
    (folder / "configs" / "worse.yaml").write_text(CONFIG.replace("dropout: 0.2", "dropout: high"))
    assert main(["fit", *others, "--config", "configs/worse.yaml"]) == 2
    expected = "error: configs/worse.yaml, line 7: 'model.tasks.x.dropout': expected float, found high\n"
    assert capsys.readouterr().err.endswith(expected)


def test_label_names_may_be_numbers(capsys, folder):
    (folder / "train.jsonl").write_text(ROWS.replace('"a"', "0").replace('"b"', "1"))
    assert run(capsys, folder, CONFIG.replace("{dropout: 0.2}", "{labels: [0, 1]}")) == (0, [])


def test_dict_that_a_flag_gives(capsys, folder):
    config = CONFIG.replace("labels: {x: x, y: y}", "labels: {x: y, y: x}")
    assert run(capsys, folder, config, "--data.datasets.d.labels", "{x: x, y: y}") == (0, [])


@pytest.mark.parametrize("scheduler", ["WarmupDecay", "null"])
def test_bad_row_is_no_fault_of_the_scheduler(capsys, folder, scheduler):
    (folder / "train.jsonl").write_text(ROWS.replace("[3, 2, 1]", '"abc"'))
    status, errors = run(capsys, folder, CONFIG.replace("  optimizer:", f"  lr_scheduler: {scheduler}\n  optimizer:"))
    assert (status, len(errors)) == (2, 1)
    assert errors[0].startswith("error: data set 'd', train.jsonl, line 2, column 'f': ")


@pytest.mark.parametrize(
    "key",
    [
        "optimizer: {class_path: AdamW, init_args: {lr: -1}}",
        "lr_scheduler: {class_path: WarmupDecay, init_args: {warmup: 2}}",
    ],
)
def test_what_an_optimizer_or_scheduler_refuses(capsys, folder, key):
    name = key.split(":")[0]
    config = CONFIG.replace("optimizer: {class_path: AdamW, init_args: {lr: 0.1}}", key)
    status, errors = run(capsys, folder, config)
    assert (status, len(errors)) == (2, 1)
    assert errors[0].startswith(f"error: bad.yaml, line 10: model.{name}: ")


def test_missing_section(capsys, folder):
    config = CONFIG.replace(
        "  encoder:\n    class_path: PerceptronEncoder\n    init_args: {in_features: 3, hidden: [4]}\n", ""
    )
    status, errors = run(capsys, folder, config)
    assert (status, errors) == (
        2,
        ["error: `model.encoder` is missing; give it in a config file or as --model.encoder"],
    )


@pytest.mark.parametrize("name", ["no.such.Thing", "mtl_lightning.Nothing"])
@pytest.mark.parametrize("key", ["weighting", "encoder", "optimizer"])
def test_what_cannot_be_imported(capsys, folder, name, key):
    status, errors = run(capsys, folder, CONFIG, f"--model.{key}={name}")
    said = f"cannot import '{name}' for 'model.{key}'; check module and class, and that it is installed"
    assert (status, errors) == (2, [f"error: flag --model.{key}: {said}"])


def test_an_argument_of_a_method_is_missing(capsys, folder):
    status, errors = run(capsys, folder, CONFIG, "--model.weighting=DWA", "--model.weighting=FixedWeighting")
    said = "`model.weighting.weights` is missing; give it in a config file or as --model.weighting.weights"
    assert (status, len(errors)) == (2, 1)
    assert errors[0].endswith(said)


def test_flag_of_a_task_that_a_label_set_refuses(capsys, folder):
    status, errors = run(capsys, folder, CONFIG, "--model.tasks.x.class_weights", "{a: 1, c: 2}")
    said = "flag --model.tasks.x.class_weights: `class_weights` names the unknown label 'c'; choose from a, b"
    assert (status, errors) == (2, [f"error: {said}"])


def test_a_negative_number_of_examples(capsys, folder):
    source = "{class_path: DigitPairs, init_args: {train: -3}}"
    status, errors = run(capsys, folder, CONFIG, f"--data.datasets={{d: {source}}}")
    assert (status, len(errors)) == (2, 1)
    assert errors[0].endswith("`train` is -3; give 0 or more pairs")


def printed(capsys, folder, *flags):
    (folder / "bad.yaml").write_text(CONFIG)
    with pytest.raises(SystemExit):
        main(["fit", "--config", "bad.yaml", *flags, "--print_config"])
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize(
    "place", [["--config", "more.yaml"], ["--model.optimizer=SGD", "--data.schedule", "Temperature"], None]
)
def test_another_class_has_defaults_of_its_own(capsys, folder, monkeypatch, place):
    (folder / "more.yaml").write_text("model: {optimizer: SGD}\ndata: {schedule: Temperature}\n")
    if place is None:
        monkeypatch.setenv("MTL_FIT__MODEL__OPTIMIZER", "SGD")
        monkeypatch.setenv("MTL_FIT__DATA__SCHEDULE", "Temperature")
    config = printed(capsys, folder, *(place or []), "--model.optimizer.lr=0.5")
    optimizer = config["model"]["optimizer"]["init_args"]
    assert (optimizer["lr"], optimizer["weight_decay"], optimizer["momentum"]) == (0.5, 0, 0)
    assert config["data"]["schedule"]["init_args"]["epoch_length"] == "sum"


def test_the_class_that_is_there_by_default_keeps_its_defaults(capsys, folder):
    config = printed(capsys, folder, "--data.schedule.epoch_length=3")
    assert config["data"]["schedule"]["class_path"].endswith("RoundRobin")
    assert config["model"]["optimizer"]["init_args"]["weight_decay"] == 0.01


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("DATA__BATCHSIZE", "3", "unknown key 'data.batchsize'; did you mean 'batch_size'?"),
        ("DATA__BATCH_SIZE", "many", "'data.batch_size': expected int or dict, found many"),
        ("MODEL__OPTIMIZER", "Sdg", "no class 'Sdg' for 'model.optimizer'; did you mean 'SGD'?"),
    ],
)
def test_mistake_in_a_variable(capsys, folder, monkeypatch, variable, value, expected):
    monkeypatch.setenv(f"MTL_FIT__{variable}", value)
    assert run(capsys, folder, CONFIG) == (2, [f"error: environment variable MTL_FIT__{variable}: {expected}"])


NULLS = {
    "data.batch_size": "expected int or dict of str to int, found null",
    "model.optimizer": "expected a class, found null",
    "model.tasks.x.dropout": "expected float, found null",
    "model.optimizer.lr": "expected float or Tensor, found null",
}


@pytest.mark.parametrize("key", NULLS)
def test_null_where_none_is_taken(capsys, folder, key):
    said = f"error: flag --{key}: {NULLS[key]}; leave it out for its default"
    assert run(capsys, folder, CONFIG, f"--{key}=null") == (2, [said])


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--lr=3"], "flag --lr: unknown key 'lr'; did you mean 'model.optimizer.lr'?"),
        (["--batch_size", "3"], "flag --batch_size: unknown key 'batch_size'; did you mean 'data.batch_size'?"),
        (["--model.encoder="], "flag --model.encoder: expected a class, found nothing"),
        (["--data.batch_size="], "flag --data.batch_size: expected int or dict, found nothing"),
        (["--model.tasks.x=[1]"], "flag --model.tasks.x: expected a class, found [1]"),
        (["--model.optimizer={class_path: SGD, lr: 0.1}"], "flag --model.optimizer: 'lr' is next to `class_path`"),
        (["--trainer=5"], "flag --trainer: expected keys and values, found '5'"),
        (["--ckpt_path="], "ckpt_path is empty; give one, or leave it out"),
        (["--tensorboard=null"], "tensorboard is null; give a value, or leave it out for its default"),
        (["--data.datasets.d.labels", "{x: a, x: b}"], "flag --data.datasets.d.labels: the key 'x' is given twice"),
    ],
)
def test_odd_flags(capsys, folder, flags, expected):
    status, errors = run(capsys, folder, CONFIG, *flags)
    assert (status, len(errors)) == (2, 1) and expected in errors[0]


def test_the_config_itself_is_right(capsys, folder):
    assert run(capsys, folder, CONFIG) == (0, [])


@pytest.mark.parametrize("command", ["fit", "predict", "export"])
def test_a_command_without_torch_is_one_line(command):
    code = (
        "import sys; sys.modules['torch'] = None; from mtl_lightning.__main__ import main; "
        f"sys.exit(main(['{command}']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {command} needs torch, which is not installed; `pip install mtl-lightning`")
    assert done.stderr.count("\n") == 1


def test_a_torchvision_of_another_torch_is_one_line(capsys, monkeypatch):
    def imported(command):
        try:
            raise RuntimeError("operator torchvision::nms does not exist")
        except RuntimeError as error:  # as transformers' lazy imports do
            raise ModuleNotFoundError("Could not import module 'PreTrainedModel'") from error

    monkeypatch.setattr("mtl_lightning.__main__._imported", imported)
    assert main(["fit"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: the torchvision that is installed was built for another torch")
    assert said.count("\n") == 1


def test_unknown_command(capsys):
    assert main(["fitt"]) == 2
    assert capsys.readouterr().err == "error: unknown command 'fitt'; did you mean 'fit'?\n"
