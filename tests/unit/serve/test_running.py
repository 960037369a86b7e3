"""The process that computes says what it has read, or is known to have ended."""

import os
from multiprocessing import Pipe

import pytest

from mtl_lightning.errors import UserError
from mtl_lightning.serve.catalogue import Catalogue
from mtl_lightning.serve.running import _reported


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "open-elsewhere"])
def test_a_process_that_ends_while_it_reads_the_model_is_not_waited_for(is_closed: bool) -> None:
    reads, writes = Pipe(duplex=False)
    sentinel, alive = os.pipe()
    os.close(alive)
    if is_closed:
        writes.close()
    with pytest.raises(UserError, match="ended before it had read the model"):
        _reported(reads, sentinel)
    os.close(sentinel)


def test_what_is_reported_counts_also_if_the_process_has_ended() -> None:
    reads, writes = Pipe(duplex=False)
    sentinel, alive = os.pipe()
    os.close(alive)
    for said in (Catalogue({}, []), "no such model"):
        writes.send(said)
    assert _reported(reads, sentinel) == Catalogue({}, [])
    with pytest.raises(UserError, match="no such model"):
        _reported(reads, sentinel)
    os.close(sentinel)
