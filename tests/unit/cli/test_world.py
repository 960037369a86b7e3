"""Which processes make up a run, and what contradicts that."""

import os

import pytest
import torch

from mtl_lightning.cli.devices import num_processes, processes_to_use
from mtl_lightning.cli.world import STARTED_BY, complete, is_first, of_nodes, unstarted_tasks, world
from mtl_lightning.errors import UserError

TORCHRUN = {
    **{"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "2"},
    **{"RANK": "3", "LOCAL_RANK": "1", "GROUP_RANK": "1"},
}
JOB = {"SLURM_JOB_ID": "20017", "SLURM_JOB_NAME": "mine", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
SRUN = {
    **JOB,
    **{"SLURM_STEP_ID": "1", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "2(x2)"},
    "SLURM_STEP_NODELIST": "gpu[03-04]",
}
SCRIPT = {"WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
NOTHING = {"devices": "auto", "num_nodes": 1, "accelerator": "cpu"}


@pytest.mark.parametrize(
    ("devices", "nodes", "gpus", "number"),
    [(1, 1, 0, 1), (2, 3, 0, 6), ("4", 1, 0, 4), ("0,2", 1, 8, 2), ([3], 2, 8, 2), ("auto", 2, 8, 16), (-1, 1, 0, 1)],
    ids=str,
)
def test_the_processes_of_a_run_are_counted_without_starting_it(monkeypatch, devices, nodes, gpus, number):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert num_processes({"devices": devices, "num_nodes": nodes, "accelerator": "auto"}) == number


def chosen(environ, **trainer):
    return processes_to_use({**NOTHING, **trainer}, world(environ), environ)


@pytest.mark.parametrize(
    ("environ", "expected"),
    {
        "torchrun": (TORCHRUN, ("torchrun", 3, 4, 2)),
        "srun": (SRUN, ("srun", 3, 4, 2)),
        "a script": (SCRIPT, ("WORLD_SIZE", 1, 2, None)),
        "torchrun in a task of SLURM": ({**SRUN, **TORCHRUN, "SLURM_PROCID": "1"}, ("torchrun", 3, 4, 2)),
    }.values(),
    ids=str,
)
def test_the_processes_are_those_of_what_has_started_them(environ, expected):
    found = world(environ)
    assert (found.starter, found.rank, found.size, found.nodes) == expected


@pytest.mark.parametrize(
    "environ",
    [
        {},
        JOB,
        {**SRUN, "SLURM_JOB_NAME": "interactive"},
        {**SCRIPT, STARTED_BY: str(os.getppid())},
    ],
    ids=["alone", "a job without srun", "a shell in a job", "started by the first process"],
)
def test_other_processes_are_none_of_a_world(environ):
    assert world(environ) is None


@pytest.mark.parametrize(
    ("environ", "first"),
    [
        ({}, True),
        (TORCHRUN, False),
        ({**TORCHRUN, "RANK": "0", "SLURM_PROCID": "1"}, True),
        (SRUN, False),
        ({"NODE_RANK": "1", "MASTER_ADDR": "n0"}, False),
        ({"NODE_RANK": "1"}, True),
    ],
)
def test_one_process_speaks_for_all(environ, first):
    assert is_first(environ) is first


def test_numbers_of_processes_and_nodes_are_taken_from_what_has_started_them():
    assert chosen(TORCHRUN) == chosen(SRUN) == {"devices": 2, "num_nodes": 2}
    assert chosen(SCRIPT) == {"devices": 2, "num_nodes": 1}
    assert chosen({**SCRIPT, "WORLD_SIZE": "4"}, num_nodes=2) == {"devices": 2, "num_nodes": 2}
    assert chosen(TORCHRUN, devices=2) == {"devices": 2, "num_nodes": 2}
    assert chosen(TORCHRUN, devices=-1, num_nodes=2) == {"devices": 2, "num_nodes": 2}
    assert chosen(TORCHRUN, devices="0,1", num_nodes=2) == chosen({}, devices=4) == chosen({}) == {}


@pytest.mark.parametrize(
    ("environ", "trainer", "said"),
    [
        (TORCHRUN, {"devices": 4}, "devices is 4, and torchrun has started 2 on each node; .* --nproc-per-node"),
        (SRUN, {"devices": "4"}, "devices is 4, and srun has started 2 on each node; .* --ntasks-per-node"),
        (SRUN, {"num_nodes": 4}, "num_nodes is 4, and srun has started this run on 2; leave it out"),
        (SCRIPT, {"devices": [0]}, "devices is \\[0\\], and WORLD_SIZE is 2"),
        (SCRIPT, {"num_nodes": 3}, "num_nodes is 3, which does not divide the 2 processes"),
        (JOB, {}, "job has 4 tasks, and this process is none of them; start the command with `srun`"),
        ({}, {"num_nodes": 2}, "nothing says where the other nodes are; .* MASTER_ADDR, MASTER_PORT, NODE_RANK"),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "1"}, {}, "4 processes on 2 nodes, 1 of them on this one; give `--nproc"),
        ({**SRUN, "SLURM_STEP_TASKS_PER_NODE": "2,1"}, {}, "another number of tasks on some nodes \\(2,1\\)"),
        ({**SCRIPT, "WORLD_SIZE": "two"}, {}, "WORLD_SIZE must be a number, found 'two'"),
    ],
)
def test_what_contradicts_what_was_started_is_refused(environ, trainer, said):
    with pytest.raises(UserError, match=said):
        chosen(environ, **trainer)


def test_a_job_without_srun_may_run_a_single_process():
    assert unstarted_tasks(JOB) == 4
    assert chosen(JOB, devices=1) == {}


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="2 processes run on this node, which see 1 GPU; start 1 with --nproc-per-node"):
        chosen(TORCHRUN, accelerator="auto")
    with pytest.raises(UserError, match="ask for them with `--gpus-per-node`, not `--gpus-per-task`, or start 1"):
        chosen(SRUN, accelerator="gpu")
    assert chosen(SRUN, accelerator="cpu") == {"devices": 2, "num_nodes": 2}


def test_a_step_of_slurm_is_made_known_to_lightning():
    environ = {**SRUN, "SLURM_NTASKS_PER_NODE": "8"}
    complete(environ)
    assert environ["SLURM_NTASKS_PER_NODE"] == environ["SLURM_NNODES"] == "2"
    assert (environ["MASTER_ADDR"], environ["MASTER_PORT"]) == ("gpu03", str(15000 + 17 + 997))
    complete(environ := dict(TORCHRUN))
    assert environ == TORCHRUN


def test_first_processes_of_several_nodes_are_told_apart():
    found = of_nodes(3, {"NODE_RANK": "2"})
    assert (found.rank, found.size) == (2, 3)
