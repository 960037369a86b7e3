"""The comparison as a whole in Weights & Biases: one run beside those that were compared, in their group."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.planning.names import wandb_group
from mtl_lightning.compare.statistics.summary import Summary
from mtl_lightning.terminal import say


def contestants_table(evidence: Evidence, summary: Summary) -> pd.DataFrame:
    """A row for each contestant: Δm, mean rank, main metrics and costs.

    Args:
        evidence: Of the comparison.
        summary: What the statistics made of it.
    """
    deltas = summary.delta_m.pivot(index="contestant", columns="convention", values="mean").add_prefix("delta_m/")
    ranks = summary.ranks.set_index("contestant")[["mean_rank"]]
    main = evidence.metrics[evidence.metrics["main"]][["task", "metric"]]
    scores = summary.scores.merge(main, on=["task", "metric"])
    scores["name"] = scores["task"] + "/" + scores["metric"]
    means = scores.pivot(index="contestant", columns="name", values="mean")
    costs = summary.costs.pivot(index="contestant", columns="measure", values="relative").add_prefix("cost/")
    table = pd.concat([deltas, ranks, means, costs], axis=1).reindex(evidence.contestants)
    return table.rename_axis("contestant").reset_index()


def log_summary(folder: str, name: str, project: str, mode: str, table: pd.DataFrame, files: Sequence[str]) -> None:
    """Logs table, plots and report of a comparison, as the run ``<name> summary`` in the group of its runs.

    A resumed comparison keeps its run. If that fails, a line says so: everything it would log is in the report.

    Args:
        folder: Of the comparison.
        name: Of the comparison.
        project: In Weights & Biases.
        mode: As for ``fit``: ``auto``, ``online``, ``offline`` or ``off``.
        table: A row for each contestant.
        files: Of the report.
    """
    import wandb

    from mtl_lightning.callbacks.careful_loggers import PATIENCE, at_most, reason
    from mtl_lightning.cli.loggers import chosen_mode
    from mtl_lightning.cli.wandb_service import end_service

    if (mode := chosen_mode(mode)) == "off":
        return
    try:
        with at_most(PATIENCE if mode == "offline" else 0):
            _log(Path(folder).resolve(), name, project, mode, table, files)
    except Exception as error:  # the comparison is done, and its report is written
        say(f"The summary is not logged to Weights & Biases: {reason(error)}", error=True)
        end_service(wandb)


def _log(where: Path, name: str, project: str, mode: Any, table: pd.DataFrame, files: Sequence[str]) -> None:
    import wandb

    run = wandb.init(
        project=project,
        group=os.environ.get("WANDB_RUN_GROUP", wandb_group(name)),
        job_type="summary",
        name=f"{name} summary",
        id=hashlib.sha256(str(where).encode()).hexdigest()[:12],
        resume="allow",
        dir=where,
        mode=mode,
    )
    logged: dict[str, Any] = {"contestants": wandb.Table(dataframe=table)}
    logged |= {f"plots/{Path(file).stem}": wandb.Image(file) for file in files if file.endswith(".png")}
    run.log(logged)
    artifact = wandb.Artifact(f"{name}-comparison", type="comparison")
    for file in files:
        artifact.add_file(file, name=str(Path(file).resolve().relative_to(where)))
    run.log_artifact(artifact)
    run.finish()
