import subprocess

from patience import PATIENCE
from private_slurm import NODES


def test_one_task_on_each_of_two_nodes(slurm):
    line = ["srun", "-N2", "--ntasks-per-node=1", "sh", "-c", "echo $SLURMD_NODENAME $SLURM_PROCID/$SLURM_NTASKS"]
    ran = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == 0, ran.stderr
    assert sorted(ran.stdout.split("\n"))[1:] == [f"{node} {number}/2" for number, node in enumerate(NODES)]
