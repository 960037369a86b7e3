"""The configuration that a command starts from."""

from contextlib import ExitStack
from dataclasses import replace

from mtl_lightning.checkpoints import checkpoint_config, find_checkpoint, run_config
from mtl_lightning.cli.auto_resume import AUTO
from mtl_lightning.cli.configuration.given import Given
from mtl_lightning.cli.foreign_paths import refuse_writes
from mtl_lightning.demo import DEMO
from mtl_lightning.errors import UserError
from mtl_lightning.paths import expanded


def with_base_config(given: Given, stack: ExitStack) -> Given:
    """Adds the configuration that a command starts from where the user names none.

    ``fit`` then resumes with the configuration of the run whose checkpoint is named, or else runs the demo; the other
    commands take what is inside the checkpoint.
    """
    if given.files:
        return given
    if given.command == "fit":
        return _with_that_of_a_run(given) or replace(given, files=(str(DEMO),))
    checkpoint = given.get("ckpt_path")
    if checkpoint is None:
        raise UserError(f"{given.command} needs `--ckpt_path` (a checkpoint suffices alone), or `--config` as well")
    path = find_checkpoint(expanded(checkpoint, "--ckpt_path"), given.get("name") or "run", last=False)
    found = replace(given, flags=(*given.flags, ("ckpt_path", str(path))))
    inside = checkpoint_config(path, stack)
    return found.starting_from(str(path), inside.config, inside.places)


def _with_that_of_a_run(given: Given) -> Given | None:
    """What a run that is resumed was given; null where none is named, as ``last`` alone means the demo's."""
    checkpoint, name = given.get("ckpt_path"), given.get("name")
    if checkpoint in (None, "null", "None", AUTO) or (checkpoint in ("last", "best") and name is None):
        return None
    assert checkpoint is not None
    path = find_checkpoint(expanded(checkpoint, "--ckpt_path"), name or "run", last=True)
    inside = run_config(path)
    if inside.places is None:
        refuse_writes(inside.config, path, [key for key, _ in given.flags] + [v.key for v in given.variables])
    return given.starting_from(str(path), inside.config, inside.places)
