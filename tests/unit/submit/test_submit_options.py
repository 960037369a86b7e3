"""The options of `submit`, from the command line and from files, and what is refused before anything is submitted."""

import json
import os
from pathlib import Path

import pytest
import yaml
from real_data import ROOT

from mtl_lightning.__main__ import main
from mtl_lightning.cluster import sbatch_script
from mtl_lightning.cluster.records import JobRecord
from mtl_lightning.errors import UserError
from mtl_lightning.submit import check
from mtl_lightning.submit.options import parse
from mtl_lightning.submit.planning import make_job


class Holding:
    """A queue that holds some jobs."""

    def __init__(self, *ids):
        self.ids = ids

    def holds(self, number):
        return number in self.ids

    def state(self, number):
        return "RUNNING" if number in self.ids else None


def job_of(*arguments):
    return make_job(parse(["fit", *arguments]), "demo", Path("runs/demo/1"))


def test_a_process_for_each_gpu():
    job = job_of("--nodes", "2", "--gpus-per-node=4", "--time", "4:00:00", "--trainer.max_epochs", "3")
    assert (job.nodes, job.tasks_per_node, job.gpus_per_node, job.time) == (2, 4, 4, "4:00:00")
    assert job.options[:4] == ("--trainer.max_epochs", "3", "--trainer.num_nodes=2", "--trainer.devices=4")
    assert not [option for option in job.options if "accelerator" in option]


def test_a_job_returns_to_the_queue_unless_told_otherwise():
    assert job_of().requeue and job_of("--requeue=auto").requeue and not job_of("--requeue=never").requeue


def test_without_gpus_a_job_runs_on_cpus():
    job = job_of("--tasks_per_node=3")
    assert (job.tasks_per_node, "--trainer.accelerator=cpu" in job.options) == (3, True)


@pytest.mark.parametrize(("given", "seeds"), [("2", [0, 1]), ("4,7", [4, 7]), ("3..5", [3, 4, 5])])
def test_a_run_for_each_seed(given, seeds):
    members = job_of(f"--seeds={given}").members
    assert [member.label for member in members] == [f"seed-{seed}" for seed in seeds]
    assert members[0].options == (
        f"--seed_everything={seeds[0]}",
        f"--name=demo-seed-{seeds[0]}",
        f"--trainer.default_root_dir=runs/demo/1/seed-{seeds[0]}",
    )


def test_a_run_for_each_variant_and_seed():
    members = job_of("--variant", "a=more.yaml", "--variant", "b={data.schedule: Alternating}", "--seeds=2").members
    assert [member.label for member in members] == ["a-seed-0", "a-seed-1", "b-seed-0", "b-seed-1"]
    assert [members[number].options[0] for number in (0, 2)] == ["--config=more.yaml", "--data.schedule=Alternating"]


def test_a_file_holds_options_which_flags_override(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(
        "nodes: 4\ngpus-per-node: 8\ntime: 4:00:00\nfit: {save_every_n_steps: 100, trainer.strategy: ddp}\n"
    )
    settings = parse(["fit", "--cluster", str(file), "--nodes=2", "--wandb=off"])
    assert (settings.nodes, settings.gpus_per_node, settings.time) == (2, 8, "4:00:00")
    assert settings.flags == ["--save_every_n_steps=100", "--trainer.strategy=ddp", "--wandb=off"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "takes the command to submit first"),
        (["tset"], "found 'tset'"),
        (["fit", "--nodes=0"], "nodes: expected a whole number, at least 1, found '0'"),
        (["fit", "--time=soon"], "time: expected minutes, .* found 'soon'"),
        (["fit", "--time=0"], "time: expected more than nothing"),
        (["fit", "--signal=usr"], "signal: expected a signal and seconds"),
        (["fit", "--requeue=no"], "requeue: expected auto or never, found 'no'"),
        (["fit", "--seeds=1,1"], "seeds: each must be named once"),
        (["fit", "--gpus-per-node=2", "--tasks-per-node=1"], "each process takes one of the 2 GPUs"),
        (["fit", "--trainer.devices=2"], "trainer.devices: submit sets it"),
        (["fit", "--plan_ranks=8"], "submit has no --plan_ranks; ask `fit`"),
        (["fit", "--help_all"], "submit has no --help_all; ask `fit`"),
        (["fit", "--model.weighting.help", "UPGrad"], "submit has no --model.weighting.help; ask `fit`"),
        (["fit", "--variant=a={print_model: yes}"], "submit has no --print_model; ask `fit`"),
        (["fit", "--format=torchrun"], "give `--dry_run`, too"),
        (["fit", "--format=pbs", "--dry_run"], "format: unknown 'pbs'"),
        (["fit", "--at-once=2"], "at-once is for several runs"),
        (["fit", "--variant=a"], "expected NAME=FILE"),
        (["fit", "--variant=a b={}", "--variant=a-b={}"], "two have the same name"),
        (["fit", "--partition"], "submit: argument --partition: expected one argument"),
    ],
)
def test_what_cannot_be_a_job_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        parse(arguments)


def test_an_unknown_option_in_a_file_names_the_nearest(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text("partitoin: gpu\n")
    with pytest.raises(UserError, match=r"cluster\.yaml: submit has no option 'partitoin'; did you mean 'partition'"):
        parse(["fit", "--cluster", str(file)])


def test_a_folder_whose_job_is_in_the_queue_is_refused(tmp_path):
    job = make_job(parse(["fit", "--seeds=2"]), "demo", tmp_path)
    JobRecord("7_1", str(tmp_path), 1).write(tmp_path / "seed-1")
    with pytest.raises(UserError, match=r"seed-1 already has job 7_1, RUNNING: nothing is submitted twice"):
        check.refuse_twice(job, Holding("7_0", "7_1"))
    check.refuse_twice(job, Holding("7_0"))
    (tmp_path / "seed-0" / "checkpoints").mkdir(parents=True)
    (tmp_path / "seed-0" / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(UserError, match="seed-0 holds the checkpoints of a run"):
        check.refuse_twice(job, Holding())


def test_the_same_command_is_refused_while_it_is_in_the_queue(tmp_path):
    JobRecord("7", str(tmp_path), 1, ("fit", "--seeds=1")).write(tmp_path / "20260101-000000")
    check.refuse_same(("fit", "--seeds=2"), tmp_path, Holding("7"))
    check.refuse_same(("fit", "--seeds=1"), tmp_path, Holding("8"))
    with pytest.raises(UserError, match="already has job 7, RUNNING"):
        check.refuse_same(("fit", "--seeds=1"), tmp_path, Holding("7"))


def test_without_slurm_one_line_hints_at_the_dry_run(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["submit", "fit"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: submit: there is no `sbatch`") and "--dry_run" in line


def put_slurm(folder, monkeypatch, said):
    """Commands in the place of SLURM's, which all fail."""
    folder.mkdir(exist_ok=True)
    for program in ("sbatch", "srun", "squeue"):
        (folder / program).write_text(f"#!/bin/sh\necho 'error: {said}' >&2\nexit 1\n")
        (folder / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


@pytest.fixture
def refusing(monkeypatch, tmp_path):
    """A SLURM that refuses every job; what is submitted comes from an empty folder."""
    put_slurm(tmp_path / "bin", monkeypatch, "not today")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_folder_that_cannot_be_is_one_line(refusing, capsys, folder):
    Path("file").touch()
    assert main(["submit", "fit", f"--trainer.default_root_dir={folder}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: trainer.default_root_dir: cannot write {folder}: file is a file, not a folder")


def test_a_folder_at_home_is_there_and_nothing_is_left_of_a_job_that_is_refused(refusing, capsys):
    assert main(["submit", "fit", "--trainer.default_root_dir=~/run"]) == 2
    assert capsys.readouterr().err == "error: slurm refuses the job digits: not today\n"
    assert [*Path().iterdir()] == [] and not Path.home().joinpath("run").exists()
    assert main(["submit", "fit", "--trainer.default_root_dir=~/run", "--dry_run"]) == 0
    assert f"--output={Path.home()}/run/slurm-%j.log" in capsys.readouterr().out


def test_a_queue_that_does_not_answer_is_no_empty_queue(refusing, capsys):
    JobRecord("7", "run", 1).write(Path("run"))
    assert main(["submit", "fit", "--trainer.default_root_dir=run"]) == 2
    said = "slurm does not say whether job 7 is still in the queue (squeue: error: not today): nothing is submitted"
    assert capsys.readouterr().err.startswith(f"error: {said} twice")


def test_a_controller_that_is_silent_may_have_taken_the_job(refusing, capsys, monkeypatch, tmp_path):
    put_slurm(tmp_path / "bin", monkeypatch, "Batch job submission failed: Socket timed out on send/recv operation")
    assert main(["submit", "fit", "--trainer.default_root_dir=run"]) == 2
    assert "slurm has not answered whether it takes the job digits: Socket timed out" in capsys.readouterr().err


def test_a_config_that_does_not_work_is_refused(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    data = {"datasets": {"a": {"class_path": "FileSource", "init_args": {"files": {"train": "no.csv"}}}}}
    data["datasets"]["a"]["init_args"] |= {"inputs": {"text": "text"}, "labels": {"x": "y"}}
    model = {"encoder": "TransformerEncoder", "tasks": {"x": "Regression"}}
    Path("fit.yaml").write_text(json.dumps({"data": data, "model": model}))
    for flags, said in [([], "data.datasets.a: "), (["--trainer.max_epoch=1"], "max_epochs")]:
        assert main(["submit", "fit", "--config=fit.yaml", "--dry_run", *flags]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and said in line
    assert not Path("runs").exists()


def test_a_dry_run_prints_the_script_alone(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["submit", "fit", "--dry_run", "--name=demo", "--nodes=2"]) == 0
    script = capsys.readouterr().out
    assert script.startswith("#!/bin/bash\n#SBATCH --job-name=demo\n#SBATCH --nodes=2\n")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "cluster").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_description_of_a_cluster_makes_a_job(path):
    job = make_job(parse(["fit", "--cluster", str(path)]), "demo", Path("runs/demo/1"))
    assert job.nodes == yaml.safe_load(path.read_text()).get("nodes", 1)
    assert f"#SBATCH --gpus-per-node={job.gpus_per_node}\n" in sbatch_script(job)
