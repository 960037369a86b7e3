"""``serve`` as a user runs it: without torch, in a browser, and stopped amid requests."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny_onnx
from patience import PATIENCE
from playwright.sync_api import expect

from mtl_lightning.serve.options import parsed

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
INSTALLED = set(re.findall(r'"(\w+[^"]*)"', re.search(r"RUN pip install .*", DOCKERFILE)[0]))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MODULES = {"scikit-learn": "sklearn", "pyyaml": "yaml"}
"""By the name of a package, where the module has another one."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_onnx.write(tmp_path_factory.mktemp("served") / "tiny")


@contextmanager
def serving(folder, *options, **variables):
    """A server in which nothing heavy can be imported, and its address."""
    for name in absent():
        (folder.parent / "absent").mkdir(exist_ok=True)
        (folder.parent / "absent" / f"{name}.py").write_text(f"raise ImportError('{name} is absent')\n")
    environment = {**os.environ, **variables}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder.parent / "absent"), *filter(None, sys.path)])
    command = [sys.executable, "-m", "mtl_lightning", "serve", str(folder), "--port", "0", "--threads", "1", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=folder.parent, env={**environment, "PYTHONUNBUFFERED": "1"}, **pipes)
    try:
        found = re.fullmatch(r"Serving mood, stars of .* on (http://127\.0\.0\.1:\d+)\n", process.stdout.readline())
        assert found, process.communicate(timeout=PATIENCE)
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=PATIENCE)


def absent():
    """Modules that the image lacks: of the package's own dependencies, those that the Dockerfile does not install."""
    names = {re.match(r"[\w-]+", each)[0] for each in set(PROJECT["dependencies"]) - INSTALLED}
    return {MODULES.get(name, name) for name in names} - {"yaml"} | {"pytorch_lightning", "pandas"}  # uvicorn has yaml


def asked(url, body=None, key=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=PATIENCE) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def address(folder):
    with serving(folder, MTL_API_KEY="secret") as (_, found):
        yield found


def test_an_exported_folder_is_served_without_torch(address):
    assert asked(f"{address}/health") == "ok"
    with urllib.request.urlopen(urllib.request.Request(f"{address}/health", method="HEAD"), timeout=60) as answer:
        assert answer.status == 200
    found = json.loads(asked(f"{address}/predict", {"text": ["sad", "glad"], "tasks": ["mood"]}, "secret"))
    assert [each["mood"]["label"] for each in found["predictions"]] == ["sad", "glad"]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        asked(f"{address}/predict", {"text": "sad"})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_predicts_and_says_what_is_wrong(address, browser, scheme, tmp_path):
    page = browser.new_page(color_scheme=scheme, viewport={"width": 700, "height": 620})
    page.set_default_timeout(PATIENCE * 1000)
    requested, said = [], []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text("has no key", timeout=PATIENCE * 1000)
    page.get_by_label("Key").fill("secret")
    page.get_by_label("Text").fill("glad day")
    page.get_by_role("button").click()
    row = page.get_by_role("row", name="mood")
    expect(row).to_contain_text("glad 88.1 %", timeout=PATIENCE * 1000)
    expect(page.get_by_role("row")).to_have_count(2)
    page.screenshot(path=os.environ.get("MTL_SCREENSHOT", str(tmp_path / "page")) + f"-{scheme}.png")
    page.get_by_label("stars").uncheck()
    page.get_by_role("button").click()
    expect(page.get_by_role("row")).to_have_count(1, timeout=PATIENCE * 1000)
    page.get_by_label("Text").fill(" ")
    page.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("text: input 'text': the text is empty", timeout=PATIENCE * 1000)
    assert all(url.startswith((address, "data:")) for url in requested)
    assert [line for line in said if "status of 4" not in line] == []  # which are refusals
    page.close()


def test_sigterm_answers_what_was_accepted_and_refuses_what_comes_then(folder):
    with serving(folder, "--batch_wait", "900", "--timeout", "1000") as (process, address):
        line = ["curl", "-s", f"{address}/predict", "-d", '{"text": "glad"}']
        asking = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        while "mtl_waiting_requests 1.0" not in asked(f"{address}/metrics"):
            assert asking.poll() is None or pytest.fail("it was answered before it had waited")
        process.send_signal(signal.SIGTERM)
        printed, errors = process.communicate(timeout=PATIENCE)
        assert json.loads(asking.communicate(timeout=PATIENCE)[0])["predictions"]["mood"]["label"] == "glad"
        assert process.returncode == 0 and errors == ""
        assert printed == "Stopped; 1 of 1 accepted requests were answered\n"
        with pytest.raises(urllib.error.URLError, match="refused"):
            asked(f"{address}/health")


def test_a_folder_that_is_not_whole_is_refused_in_one_line(folder, tmp_path, command):
    broken = tiny_onnx.write(tmp_path / "tiny")
    (broken / "text.onnx").write_bytes(b"other")
    done = command("serve", str(broken), "--port", "0", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"error: .*text\.onnx is not what was exported.*\n", done.stderr)


@pytest.mark.parametrize("which", ["spawn_main", "mtl_lightning serve"], ids=["computes", "queue"])
def test_the_server_ends_with_each_of_its_processes(folder, which):
    psutil = pytest.importorskip("psutil")
    with serving(folder) as (process, _):
        children = psutil.Process(process.pid).children()
        (one,) = (each for each in children if which in " ".join(each.cmdline()))
        one.kill()
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        said = "error: a process of the server has ended, out of memory perhaps; start again\n"
        assert errors == said or (which != "spawn_main" and errors.endswith(said))  # who waits for the queue complains
    assert not psutil.wait_procs(children, timeout=PATIENCE)[1]


def test_the_image_installs_what_the_extra_names_and_starts_a_command_that_is_tested_here():
    assert set(PROJECT["optional-dependencies"]["serve"]) <= INSTALLED
    assert INSTALLED - set(PROJECT["optional-dependencies"]["serve"]) <= set(PROJECT["dependencies"])
    assert "torch" in absent() and "rich" in absent()
    copied = [word for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()]
    assert {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], "mtl_lightning"} == set(copied)
    assert all((ROOT / name).exists() for name in copied)
    program, *arguments = json.loads(re.search(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)[1])
    assert program in PROJECT["scripts"] and arguments[0] == "serve"
    options = parsed(arguments[1:])
    assert (options.model, options.host, f"EXPOSE {options.port}") == ("/model", "0.0.0.0", "EXPOSE 8000")
    assert re.search(r"^USER serve$", DOCKERFILE, re.MULTILINE) and "useradd --system --uid 10001 serve" in DOCKERFILE
    python, flag, check = json.loads(re.search(r"^HEALTHCHECK .* CMD (.*)$", DOCKERFILE, re.MULTILINE)[1])
    assert (python, flag) == ("python", "-c") and f"127.0.0.1:{options.port}/health" in check
    ast.parse(check)


def test_the_page_is_in_the_package():
    from mtl_lightning.serve.page import PAGE, PAGE_HEADERS

    assert Path(__file__).parents[2].joinpath("mtl_lightning/serve/page.html").read_text("utf-8") == PAGE
    assert "http" not in re.sub(r"<!doctype.*?>", "", PAGE) and "default-src 'none'" in str(PAGE_HEADERS)
