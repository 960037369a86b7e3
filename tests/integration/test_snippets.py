"""Every snippet of the README, of CONTRIBUTING and of the site works: tests/snippet_pages.py says by which rules.

A page's blocks are run in order, in an empty folder of the page with a copy of ``configs``. ``fit`` trains for one
epoch unless a flag says otherwise.
"""

import os
import re
import shutil
from pathlib import Path
from unittest.mock import patch

import pytest
from snippet_pages import Block, PageError, blocks
from snippet_python import Interpreter
from snippet_shell import Shell

from mtl_lightning.demo import DEMO

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if "generated" not in page.parts),
]


@pytest.fixture
def scratch(tmp_path):
    """The folder in which a page's reader works."""
    shutil.copytree(ROOT / "configs", tmp_path / "scratch" / "configs")
    return tmp_path / "scratch"


@pytest.fixture
def env(tmp_path):
    """What a page's reader has in the environment."""
    own = {"HF_DATASETS_CACHE": str(tmp_path / "cache"), "MPLBACKEND": "Agg"}
    return {**os.environ, **own}


@pytest.fixture
def python(scratch, env, tmp_path):
    interpreter = Interpreter(scratch, env, tmp_path / "printed")
    yield interpreter
    interpreter.close()


@pytest.fixture
def shell(scratch, env, compare):
    def compare_there(arguments, folder, environment):
        with patch.dict(os.environ, environment, clear=True):
            return compare(*arguments, cwd=folder)

    shell = Shell(scratch, env, compare_there)
    yield shell
    shell.close()


def check_used(page: Path, file: Block, later: list[Block]) -> None:
    """Nobody would notice if a file did not work that no other block names."""
    stem = Path(file.file or "").stem
    if not any(re.search(rf"\b{re.escape(stem)}\b", block.text) for block in later):
        raise PageError(f"{page}:{file.line}: {file.file} is used by no later block")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_snippet_works(page, request, scratch):
    """Each block does what its language says."""
    found = blocks(page)
    for number, block in enumerate(found):
        if block.file is not None:
            check_used(page, block, found[number + 1 :])
            (scratch / block.file).parent.mkdir(parents=True, exist_ok=True)
            (scratch / block.file).write_text(block.text, "utf-8")
            continue
        if block.language == "python":
            error = request.getfixturevalue("python").run(block.text, page, block.line)
        elif block.language == "sh":
            error = request.getfixturevalue("shell").run(block.text)
        else:
            (scratch / ".piece.yaml").write_text(block.text, "utf-8")
            error = request.getfixturevalue("shell").run(
                f"mtl-lightning fit --config {DEMO} --config .piece.yaml --print_config"
            )
        if error is not None:
            pytest.fail(f"{page.relative_to(ROOT)}:{block.line}: {error}", pytrace=False)
