"""What is imported at the start is left alone by the garbage collector."""

import gc

import pytest

from mtl_lightning.compare.running.launchers import processes
from mtl_lightning.importing import kept_imports

NEVER = "a module that nobody imports"


def test_the_collector_leaves_what_is_imported_alone():
    before = gc.get_freeze_count()
    with kept_imports(NEVER):
        assert not gc.isenabled()
        made = [[] for _ in range(10)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(made)


def test_what_has_been_imported_before_changes_nothing():
    before = gc.get_freeze_count()
    with kept_imports("gc"):
        assert gc.isenabled()
    assert gc.get_freeze_count() <= before  # some that were at rest may be gone


def test_it_collects_again_after_an_import_that_fails():
    before = gc.get_freeze_count()
    with pytest.raises(ImportError), kept_imports(NEVER):
        raise ImportError
    assert gc.isenabled()
    assert gc.get_freeze_count() <= before  # some that were at rest may be gone


def test_it_stays_at_rest_where_somebody_has_put_it_to_rest():
    gc.disable()
    try:
        with kept_imports(NEVER):
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_runs_of_a_comparison_fork_from_a_process_whose_imports_are_left_alone():
    here, there = processes().Pipe(duplex=False)
    process = processes().Process(target=_tell, args=(there,))
    process.start()
    assert here.recv() == (True, True)
    process.join()


def _tell(connection):
    connection.send((gc.isenabled(), gc.get_freeze_count() > 100_000))
