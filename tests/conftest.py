"""Environment of all tests: no network, no threads that fight for two cores, Weights & Biases offline."""

import atexit
import os
import shutil
import signal
import tempfile
from itertools import count

import garbage
from patience import PATIENCE

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_ERROR_REPORTING"] = "false"
os.environ["WANDB__SERVICE_WAIT"] = os.environ["WANDB_INIT_TIMEOUT"] = str(PATIENCE)
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp(prefix="modules-")  # one each: processes race for a shared one
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("COLUMNS", "120")

import pytest
import real_data
from _pytest.doctest import DoctestModule
from hypothesis import HealthCheck, settings
from order import arranged
from processor_time import ProcessorTime

from mtl_lightning.compare.running.launchers import forking

atexit.register(shutil.rmtree, os.environ["HF_MODULES_CACHE"], ignore_errors=True)
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

forking._PRELOADED.append("lean_forks")

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    # a shell's `&`, or nohup, ignores some
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="session")
def caches(tmp_path_factory):
    """Names of folders, a new one each time; most tests write nothing into theirs, so none is made here."""
    base = tmp_path_factory.mktemp("caches")
    return (base / str(number) for number in count())


@pytest.fixture(autouse=True)
def datasets_cache(caches, monkeypatch):
    """Encoded tables of tests stay out of the user's cache."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", next(caches))


@pytest.fixture
def kept_environ():
    """The environment, put back afterwards. It stays the same object, which libraries keep, rich for one."""
    kept = dict(os.environ)
    yield os.environ
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture
def no_job(kept_environ):
    """The environment of a process that no SLURM job started."""
    for name in [name for name in kept_environ if name.startswith("SLURM_")]:
        del kept_environ[name]
    return kept_environ


@pytest.fixture(autouse=True, scope="session")
def users_folder(tmp_path_factory):
    """The secret that signs the checkpoints of tests is not the user's."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


def pytest_addoption(parser, pluginmanager):
    given = pluginmanager.get_plugin("pytestconfig").known_args_namespace  # of xdist, before it has started any
    if "PYTEST_XDIST_WORKER" in os.environ or not given.numprocesses:
        _import_what_tests_need()
    parser.addoption("--kills", type=int, default=0, help="so many random kills beside those of test_kills.py")
    parser.addoption("--first-kill", type=int, default=0, help="seed of the first random kill; the next ones count on")
    parser.addoption("--write-losses", action="store_true", help="keep the losses of test_losses.py as they are now")
    parser.addoption("--slowest", type=int, help="show so many tests that took the most processor time")


def _import_what_tests_need():
    """Now, while pytest captures: Lightning's log handler keeps the stream that it is born with.

    A process that only hands out tests to others does not, and starts them seconds sooner.
    """
    import lean  # noqa: F401
    import lightning.pytorch  # noqa: F401


def pytest_configure(config):
    if number := config.getoption("--slowest"):
        config.pluginmanager.register(ProcessorTime(number))
    try:
        real_data.folder()
    except NotADirectoryError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(wrapper=True)
def pytest_collect_file():
    """Doctests are the package's: no second look at tests, and none at the scripts beside them."""
    found = yield
    return [each for each in found if not isinstance(each, DoctestModule)]


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    found = yield
    garbage.resume()
    return found


def pytest_collection_modifyitems(items):
    items[:] = arranged(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(real_data.report())
