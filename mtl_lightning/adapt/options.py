"""The options of ``adapt``."""

from argparse import Namespace
from collections.abc import Sequence

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.paths import expanded
from mtl_lightning.terminal.commands import OptionParser

ON_FEATURES = ("head", "prototypes")
"""Ways that leave the encoder as it is, so that the model keeps its other tasks."""

WAYS = (*ON_FEATURES, "lora", "inner_loop")

HELP = """\
usage: mtl-lightning adapt --ckpt_path FILE|FOLDER|best --task NAME --data FILE --output FILE [--KEY VALUE ...]

Teaches a trained model a new task from a few examples, or new labels for one that it has, and writes a checkpoint
that every command reads. When to stop is chosen by leaving examples out. A report says how good the model is after
1, 2, 5, ... examples of each label, with intervals; it is printed, and written beside the checkpoint as JSON and,
with matplotlib, as a plot.

what to learn:
  --ckpt_path FILE|FOLDER|best      a checkpoint, a run's folder, or the last run of --name
  --task NAME                       name of the task; that of one of the model's: it learns these labels instead
  --data FILE                       the examples: a table (.jsonl, .json, .csv, .tsv, .parquet) with the columns
                                    that the model was trained on, and one of labels
  --label COLUMN[,COLUMN...]        the column of labels (default: NAME)
  --kind CLASS                      of a new task (default: SequenceClassification)
  --output FILE                     the checkpoint to write, say adapted.ckpt; the report is in adapted.json and .png

how:
  --by head                         a new head on the encoder as it is, from the classes' means on (default); the model
                                    keeps its other tasks
  --by prototypes                   the classes' means alone
  --by lora                         an adapter of low rank in the encoder, and a head
  --by inner_loop                   the inner loop that the model was trained with
  --like TASK                       read what this task of the model reads (needed where each task has its own)
  --steps N                         at most so many steps (default: 200; with lora 50; with inner_loop its own)
  --lr VALUE                        learning rate of head and lora (default: 0.01 and 0.001)
  --rank N                          of the adapter (default: 8)

the report:
  --test FILE                       a table of further examples to be judged by (default: those that are left)
  --shots N[,N...]                  how many examples of each label (default: 1,2,5,10,... as far as there are); none:
                                    no report
  --draws N                         how many times they are drawn (default: 10; with lora and inner_loop 3)

  --seed N                          of what is drawn (default: 0)
  --name NAME                       of the run (default: run)
  --trust_classes NAMES             classes or modules, separated by commas, that somebody else's checkpoint may import
"""


def parsed(arguments: Sequence[str]) -> Namespace:
    """The options by name.

    Raises:
        UserError: If one is not understood.
    """
    parser = OptionParser("adapt")
    for name in ("ckpt_path", "task", "data", "output"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("label", "kind", "like", "test", "shots"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--by", default=WAYS[0])
    parser.add_argument("--name", default="run")
    parser.add_argument("--trust_classes", default="")
    for name, default in (("steps", None), ("rank", 8), ("draws", None), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--lr", type=float)
    given = parser.parse_args(list(arguments))
    if given.by not in WAYS:
        raise UserError(f"--by: unknown way '{given.by[:80]}'; {did_you_mean(given.by, WAYS)}")
    for name, least in (("steps", 1), ("rank", 1), ("draws", 2), ("seed", 0)):
        if (value := getattr(given, name)) is not None and value < least:
            raise UserError(f"--{name} must be at least {least}, found {value}")
    if given.lr is not None and not 0 < given.lr < float("inf"):
        raise UserError(f"--lr must be above 0, found {given.lr}")
    if not given.output.endswith(".ckpt") or "://" in given.output:
        raise UserError(f"--output: name a local file that ends in .ckpt, found '{given.output}'")
    for name in ("data", "output", "test"):
        setattr(given, name, getattr(given, name) and expanded(getattr(given, name), f"--{name}"))
    given.shots = _shots(given.shots)
    given.label = given.label or given.task
    is_quick = given.by in ON_FEATURES
    given.draws = given.draws or (10 if is_quick else 3)
    given.lr = given.lr or (0.01 if is_quick else 0.001)
    given.steps = given.steps or {"lora": 50, "inner_loop": None}.get(given.by, 200)
    return given


def _shots(text: str | None) -> list[int] | None:
    """Numbers of examples; null: as many as fit; none: no report."""
    if text is None:
        return None
    if text == "none":
        return []
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UserError(f"--shots: give numbers from 1 on, separated by commas, or none; found '{text[:80]}'")
    return sorted({int(part) for part in parts})
