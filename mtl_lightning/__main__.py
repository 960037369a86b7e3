"""``python -m mtl_lightning`` and ``mtl-lightning``: the light front of the command line.

Nothing heavy is imported here: ``--help`` answers at once, and each command imports what it needs.
"""

import os
import select
import sys
from collections.abc import Callable, Sequence

from mtl_lightning.errors import did_you_mean, with_notes
from mtl_lightning.importing import kept_imports
from mtl_lightning.stopping import SIGNALS, Interrupted, name_of
from mtl_lightning.terminal import say
from mtl_lightning.version import __version__

USAGE = """\
usage: mtl-lightning COMMAND [--config FILE ...] [--KEY VALUE ...]      (or: python -m mtl_lightning ...)

Train one encoder with a head per task on several data sets.

commands:
  fit        train a model; without --config, an embedded demo (three tasks on pairs of handwritten digits)
  validate   evaluate on the validation split
  test       evaluate on the test split, with a report per label
  predict    write one JSON line per input, with the predictions of all heads
  compare    train weightings, or other variants of a config, over several seeds: which is better, by how much,
             and at what cost
  submit     submit a training run, or several, to a SLURM cluster; or print a script for it, torchrun or SkyPilot
  show-batch print what a training step really sees: tokens, images, labels, weights; --html writes a page
  adapt      teach a trained model a new task, or new labels, from a few examples
  convert    make one file of a checkpoint whose parts several processes have written, or the other way round
  export     write a trained model into a folder that other programs read
  serve      answer requests for predictions over HTTP, in batches

COMMAND --help lists the options of a command; --version prints the version.
"""

_COMMON = """\
configuration (flags win over environment variables, MTL_<COMMAND>__<KEY> with dots as '__', and these over files):
  --config FILE                     a YAML file; may be given several times: later ones add tasks, data sets and other
                                    entries, null removes one; a different class drops the arguments of the first
  --print_config                    print the resolved configuration and exit
  --seed_everything N               seed of all random numbers
  --trust_classes NAMES             classes or modules, separated by commas, that somebody else's checkpoint may import
  --name NAME                       name of the run; its files are in runs/NAME/<time>
  --model.encoder CLASS             TransformerEncoder, VisionEncoder, UNetEncoder, TablePerceptron, ..., or
                                    your.module.Class
  --model.tasks.NAME CLASS          SequenceClassification, MultiLabelClassification, TokenClassification,
                                    TokenMultiLabelClassification, RelationClassification, DependencyParsing,
                                    SpanQuestionAnswering, MultipleChoice, Ranking, Regression, SimilarityRegression,
                                    Seq2Seq, CausalLM, SemanticSegmentation, DepthEstimation, SurfaceNormals,
                                    DenseBinary, PrototypicalClassification, FewShotClassification
  --model.sharing CLASS             HardSharing (default), HybridSharing, MMoE, PLE, CrossStitch, TaskEmbedding, LoRA,
                                    ...; --model.sharing.help names all
  --model.weighting CLASS           EqualWeighting, FixedWeighting, UncertaintyWeighting, UPGrad, ...;
                                    --model.weighting.help names all
  --model.inner_loop CLASS          MAML, FOMAML, ANIL, MetaSGD, MLDG, Reptile, on the episodes of --data.episodes
  --model.optimizer CLASS           any of torch.optim; --model.optimizer.lr VALUE sets the learning rate
  --model.lr_scheduler CLASS        WarmupDecay, or any of torch.optim.lr_scheduler
  --data.datasets.NAME CLASS        FileSource, HubSource, FolderSource, NpzSource, NpyFolderSource, DigitPairs, ...
  --data.batch_size N               examples per step, data set and process
  --data.schedule CLASS             RoundRobin (default), Alternating, Proportional, Uniform, Temperature, Annealed,
                                    FixedProbabilities, ValidationDriven, LearningProgress
  --rank_timeout SECONDS            how long one of several processes may keep the others waiting (default: 1800)
  --trainer.KEY VALUE               anything that Lightning's Trainer takes: max_epochs, devices, precision, ...
"""

_OPTIONS = {
    "fit": """\
  --print_model                     print which parameters serve which tasks, and a forward pass's cost, and exit
  --plan_ranks N                    print what each of N processes would hold, send and wait for, and exit
  --ckpt_path FILE|FOLDER|last      resume from a checkpoint, a run's folder, or the last run of --name; auto: the
                                    run in --trainer.default_root_dir, which is started if it has no checkpoint yet
  --init_from FILE|FOLDER|best      start a new run from a trained model: its encoder, and heads whose labels fit
  --evaluate val|test|none          split on which the best checkpoint is evaluated at the end (default: val)
  --json FILE                       also write those metrics as JSON
  --wandb auto|online|offline|off   auto: online when logged in, otherwise offline
  --tensorboard true                also log to TensorBoard
  --save_every_n_steps N            also write last.ckpt every N optimizer steps, not only after each epoch
  --save_every_n_minutes N          also write last.ckpt N minutes after it was last written
  --requeue never                   keep a SLURM job from requeueing itself when preempted or at its time limit
""",
    "validate": """\
  --ckpt_path FILE|FOLDER|best      a checkpoint (nothing else is needed), a run's folder, or the last run of --name
  --json FILE                       also write the metrics as JSON
""",
    "test": """\
  --ckpt_path FILE|FOLDER|best      a checkpoint (nothing else is needed), a run's folder, or the last run of --name
  --json FILE                       also write the metrics as JSON
""",
    "predict": """\
  --ckpt_path FILE|FOLDER|best      a checkpoint (nothing else is needed), a run's folder, or the last run of --name
  --input FILE                      texts, one per line, or a .jsonl, .json, .csv, .tsv or .parquet file (also .gz) with
                                    the columns of the training data; '-' (default) reads texts from standard input
  --output FILE                     where to write the JSON lines; '-' (default) is standard output
  --model FOLDER                    instead of --ckpt_path: a model that `export --format onnx` wrote; needs no torch
  --tasks NAME[,NAME...]            predict these tasks alone, and compute nothing else (default: all)
""",
}

_WITH_HELP_OF_THEIR_OWN = ("compare", "submit", "show-batch", "adapt", "convert", "export", "serve")

_NEEDS = "`pip install mtl-lightning` brings all; `predict --model` and `serve` of an exported model need no torch"
_ANOTHER_TORCH = (
    "the torchvision that is installed was built for another torch, so that no library here can be imported; install "
    "the one of your torch (for the CPU: `pip install torchvision --index-url https://download.pytorch.org/whl/cpu`), "
    "or `pip uninstall torchvision`"
)

_READER_LEFT = 128 + 13
"""Exit status of a program that SIGPIPE ends."""


def command_help(command: str) -> str:
    """The text of ``COMMAND --help``."""
    return (
        f"usage: mtl-lightning {command} [--config FILE ...] [--KEY VALUE ...]\n\n"
        f"options of {command}:\n{_OPTIONS[command]}\n{_COMMON}\n"
        f"Every key with its type and default: mtl-lightning {command} --help_all\n"
        f"The arguments of a class:           mtl-lightning {command} --model.encoder.help TransformerEncoder\n"
        f"                                    mtl-lightning {command} --data.datasets.NAME.help FileSource\n"
        "The classes to choose from:         the same without the class"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: Arguments after the program's name; null: those of the process.

    Returns:
        The exit status: 0; 2 for a mistake in the input; 1 where another process died that is needed; 128 and the
        number of the signal if the command was asked to stop; 141 where the reader of standard output has left, as in
        ``predict ... | head``, which is what a shell says of any program then.
    """
    with SIGNALS.listening():
        return _main(list(sys.argv[1:] if argv is None else argv))


def _main(arguments: list[str]) -> int:
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except Interrupted as stopped:
        if not stopped.said:
            say(with_notes(f"Stopped by {name_of(stopped.code - 128)}", stopped), error=True)
        return stopped.code
    except BrokenPipeError:
        if not _reader_left():
            raise
    except SystemExit as ended:  # which is what rich makes of it
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
    return _READER_LEFT


def _run(arguments: list[str]) -> int:
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # or a C++ stack wherever a process has lost another one
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", "30")  # bars of libraries: few lines in a file,
        os.environ.setdefault("TQDM_DELAY", "10")  # and none for what takes no time
    command, options = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    exported = command == "predict" and any(word == "--model" or word.startswith("--model=") for word in options)
    if command in ("--help", "-h", "help"):
        say(USAGE.rstrip("\n"))
        return 0
    if command == "--version":
        say(f"mtl-lightning {__version__}")
        return 0
    if command not in (*_OPTIONS, *_WITH_HELP_OF_THEIR_OWN):
        hint = did_you_mean(command, [*_OPTIONS, *_WITH_HELP_OF_THEIR_OWN])
        say(f"error: unknown command '{command}'; {hint}", error=True)
        return 2
    if command in _OPTIONS and not exported and {"--help", "-h"} & set(options):
        say(command_help(command))
        return 0
    try:
        with SIGNALS.nothing_to_lose(), kept_imports():
            run = _imported("predict --model" if exported else command)
    except (ImportError, RuntimeError) as error:
        if os.environ.get("MTL_TRACEBACK"):
            raise
        if _is_of_another_torch(error):
            say(f"error: {_ANOTHER_TORCH}", error=True)
            return 2
        if not isinstance(error, ModuleNotFoundError) or (error.name or "").startswith(f"{__package__}."):
            raise
        say(f"error: {command} needs {error.name}, which is not installed; {_NEEDS}", error=True)
        return 2
    if not exported and command != "convert":  # which make nothing of a configuration
        _find_own_classes()
    return run(options if exported or command not in _OPTIONS else arguments)


def _imported(command: str) -> Callable[[list[str]], int]:
    """What runs a command, which it alone imports."""
    if command == "compare":
        from mtl_lightning.compare.command import run
    elif command == "submit":
        from mtl_lightning.submit.command import run
    elif command == "show-batch":
        from mtl_lightning.show_batch.command import run
    elif command == "adapt":
        from mtl_lightning.adapt.command import run
    elif command == "convert":
        from mtl_lightning.cli.convert import run
    elif command == "export":
        from mtl_lightning.export.command import run
    elif command == "serve":
        from mtl_lightning.serve.command import run
    elif command == "predict --model":
        from mtl_lightning.exported.command import run
    else:
        from mtl_lightning.cli.command import run
    return run


def _is_of_another_torch(error: BaseException | None) -> bool:
    """Whether an import failed because torch has no operators of the torchvision that is installed."""
    while error is not None:
        if "torchvision::" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _reader_left() -> bool:
    """Whether nobody reads standard output any more; what is left for it is dropped."""
    output = select.poll()
    output.register(sys.stdout, 0)  # errors alone
    left = bool(output.poll(0))
    if left:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return left


def _find_own_classes() -> None:
    """Lets classes in the working directory be named in a config; files there never hide an installed package."""
    sys.path[:] = [*(folder for folder in sys.path if folder not in ("", os.getcwd())), os.getcwd()]


if __name__ == "__main__":
    sys.exit(main())
