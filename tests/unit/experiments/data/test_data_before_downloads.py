"""What is said and made sure of before anything is downloaded, and how few connections that takes."""

from collections.abc import Iterator
from pathlib import Path

import made_up_source
import pytest
import requests

from experiments.data.about import listing
from experiments.data.command import make
from mtl_lightning.errors import UserError


@pytest.fixture
def server() -> Iterator[made_up_source.Server]:
    with made_up_source.serving() as server:
        yield server


def test_the_licence_is_said_before_anything_is_downloaded(
    server: made_up_source.Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.status = dict.fromkeys(made_up_source.FILES, 503)
    with pytest.raises(UserError, match="503"):
        make(server.recipe(licence="CC BY-NC: not for commercial use"), tmp_path, None)
    assert "invented: Made up.\n  licence: CC BY-NC: not for commercial use\n" in capsys.readouterr().out


def test_a_library_is_asked_for_before_anything_is_downloaded(server: made_up_source.Server, tmp_path: Path) -> None:
    recipe = server.recipe(needs={"no_such_module": "no-such-package"})
    assert "needs:   no-such-package" in listing([recipe])
    with pytest.raises(UserError, match="this data set needs no-such-package; `pip install no-such-package`"):
        make(recipe, tmp_path, None)
    assert server.asked == []


def test_the_files_of_a_source_come_over_one_connection(
    server: made_up_source.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[requests.Session] = []
    start = requests.Session.__init__

    def counted(self: requests.Session) -> None:
        opened.append(self)
        start(self)

    monkeypatch.setattr(requests.Session, "__init__", counted)
    make(server.recipe(), tmp_path, None)
    assert len(server.asked) == 2 and len(opened) == 1
