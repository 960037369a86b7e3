"""Every snippet of the README, of CONTRIBUTING and of the site works: tests/snippet_pages.py says by which rules.

A page's blocks are run in order, in an empty folder of the page with a copy of ``configs``. ``fit`` trains for one
epoch of 8 batches, evaluates on 4, and leaves Weights & Biases out, unless flags say otherwise.
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
PARSE = f"mtl-lightning fit --config {DEMO} --config .piece.yaml --print_config"


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


@pytest.fixture
def fault(request, scratch):
    """Reads a page as its reader does; the first thing that does not work, or null."""

    def run(block, page):
        if block.language == "python":
            return request.getfixturevalue("python").run(block.text, page, block.line)
        if block.language == "sh":
            return request.getfixturevalue("shell").run(block.text)
        (scratch / ".piece.yaml").write_text(block.text, "utf-8")
        return request.getfixturevalue("shell").run(PARSE)

    def read(page):
        found = blocks(page)
        for number, block in enumerate(found):
            if block.file is not None:
                check_used(page, block, found[number + 1 :])
                (scratch / block.file).parent.mkdir(parents=True, exist_ok=True)
                (scratch / block.file).write_text(block.text, "utf-8")
            elif (error := run(block, page)) is not None:
                return f"{page}:{block.line}: {error}"
        return None

    return read


def check_used(page: Path, file: Block, later: list[Block]) -> None:
    """Nobody would notice if a file did not work that no other block names."""
    stem = Path(file.file or "").stem
    if not any(re.search(rf"\b{re.escape(stem)}\b", block.text) for block in later):
        raise PageError(f"{page}:{file.line}: {file.file} is used by no later block")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_snippet_works(page, fault):
    """Each block does what its language says."""
    if (found := fault(page)) is not None:
        pytest.fail(found, pytrace=False)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param("```python\nx = 1\n```\n\n```python\nx / 0\n```\n", 6, "ZeroDivisionError", id="python"),
        pytest.param("```sh\nls | cat\nls nowhere | cat\n```\n", 2, "exit status 2", id="a pipe"),
        pytest.param("```sh\npip install x && python -c 'import none_such'\n```\n", 2, "none_such", id="a command"),
        pytest.param("```sh\nmtl-lightning fit --nothing 1\n```\n", 2, "--nothing", id="a flag"),
        pytest.param("```yaml\nmodel: {weightin: UPGrad}\n```\n", 2, "weighting", id="a key"),
        pytest.param("```yaml\n# own.yaml\nname: own\n```\n", 2, "used by no later block", id="a file without use"),
    ],
)
def test_what_does_not_work_is_found(fault, tmp_path, text, line, words):
    """The test above can fail."""
    page = tmp_path / "page.md"
    page.write_text(text, "utf-8")
    try:
        found = fault(page) or ""
    except PageError as error:
        found = str(error)
    assert f"page.md:{line}: " in found
    assert words in found
