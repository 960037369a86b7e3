"""What a server answers: predictions of what is asked for, and refusals that say the field and the cure."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from in_process import InProcess

from mtl_lightning.__main__ import main
from mtl_lightning.errors import UserError
from mtl_lightning.exported.graph import NotComputedError
from mtl_lightning.serve.batches import AHEAD
from mtl_lightning.serve.models import opened
from mtl_lightning.serve.options import Options
from mtl_lightning.serve.outcomes import outcomes


@pytest.fixture
def server(folder: Path) -> InProcess:
    return InProcess(folder, batch_size=8, batch_wait=0.0, max_text=40, max_bytes=2_000)


def test_what_is_asked_for_is_computed_and_nothing_else(server: InProcess) -> None:
    everything = server.predict(text="glad day")
    assert everything.status_code == 200
    assert everything.json()["predictions"]["mood"]["label"] == "glad"
    assert everything.json()["predictions"]["stars"] == {"value": pytest.approx(4.0)}
    one = server.predict(inputs={"text": "sad"}, tasks=["mood"])
    assert list(one.json()["predictions"]) == ["mood"] and server.jobs[-1].tasks == ("mood",)


def test_a_list_is_answered_with_a_list(server: InProcess) -> None:
    found = server.predict(text=["sad", "glad"], tasks=["mood"]).json()["predictions"]
    assert [each["mood"]["label"] for each in found] == ["sad", "glad"]
    assert server.predict(text=["sad"], tasks=["mood"]).json()["predictions"] == found[:1]
    pairs = server.predict(inputs=[{"text": "sad", "text_pair": "x"}])
    assert [list(each) for each in pairs.json()["predictions"]] == [["mood"]]


REFUSED: dict[str, tuple[Any, int, str | None, str]] = {
    "no-json": (b'{"text": ', 400, None, "no JSON"),
    "not-utf-8": (b'{"text": "\xff"}', 400, None, "UTF-8"),
    "nan": (b'{"text": NaN}', 400, None, "NaN is no number of JSON"),
    "deep": (b"[" * 1_900, 400, None, "no JSON"),
    "deep-but-read": (b'{"inputs": %s1%s}' % (b"[" * 100, b"]" * 100), 400, None, "nested too deeply"),
    "long-number": (b'{"text": 1%s}' % (b"0" * 1_900), 422, "text", "must be a text"),
    "no-object": ([1], 422, None, "must be an object"),
    "empty": ({}, 422, "text", "found neither"),
    "both": ({"text": "a", "inputs": {}}, 422, "text", "found both"),
    "unknown-key": ({"text": "a", "task": []}, 422, "task", "did you mean 'tasks'"),
    "text-type": ({"text": 1}, 422, "text", "must be a text, found 1"),
    "text-null": ({"text": None}, 422, "text", "must be a text"),
    "text-empty": ({"text": " "}, 422, "text", "the text is empty"),
    "text-half-a-character": (b'{"text": "\\ud800"}', 422, "text", "surrogate"),
    "text-long": ({"text": "a" * 41}, 422, "text", r"41 characters, at most 40 .*--max_text"),
    "list-empty": ({"text": []}, 422, "text", "empty list"),
    "list-long": ({"text": ["a"] * 9}, 422, "text", "--batch_size"),
    "list-one-wrong": ({"text": ["a", 2]}, 422, "text[1]", "must be a text"),
    "list-one-empty": ({"text": ["a", ""]}, 422, "text[1]", "the text is empty"),
    "list-mixed": ({"inputs": [{"text": "a"}, {"text": "a", "text_pair": "b"}]}, 422, "inputs[1]", "the first one"),
    "inputs-type": ({"inputs": "a"}, 422, "inputs", "must be an object"),
    "inputs-unknown": ({"inputs": {"txt": "a"}}, 422, "inputs.txt", "did you mean 'text'"),
    "inputs-missing": ({"inputs": {"text_pair": "a"}}, 422, "inputs", "the model reads"),
    "inputs-none": ({"inputs": {}}, 422, "inputs", "found nothing"),
    "inputs-null": ({"inputs": {"text": None}}, 422, "inputs.text", "is null"),
    "inputs-long": ({"inputs": {"text": ["a" * 30, {"b": "c" * 11}]}}, 422, "inputs.text", "--max_text"),
    "inputs-value": ({"inputs": {"text": [1]}}, 422, "inputs", "expected a text"),
    "tasks-type": ({"text": "a", "tasks": "mood"}, 422, "tasks", "must be a list"),
    "tasks-empty": ({"text": "a", "tasks": []}, 422, "tasks", "choose from mood, stars"),
    "task-type": ({"text": "a", "tasks": [{}]}, 422, "tasks[0]", "must be a text"),
    "task-unknown": ({"text": "a", "tasks": ["mood", "star"]}, 422, "tasks[1]", "did you mean 'stars'"),
    "task-of-others": (
        {"inputs": {"text": "a", "text_pair": "b"}, "tasks": ["stars"]},
        422,
        "inputs",
        "'stars' is not predicted of text, text_pair",
    ),
    "too-large": ({"text": "a" * 2_000}, 413, None, "--max_bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_refused_with_its_field_and_the_cure(server: InProcess, name: str) -> None:
    body, status, field, said = REFUSED[name]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    (answer,) = server.ask(("POST", "/predict", {"content": content}))
    assert answer.status_code == status
    assert answer.json().get("field") == field
    assert re.search(said, answer.json()["error"])


def test_where_the_model_fails_it_is_its_fault() -> None:
    class Failing:
        def predict(self, columns: Any, *_: Any) -> list[dict[str, Any]]:
            if "long" in columns["text"]:
                raise NotComputedError("model.onnx cannot be computed on these inputs: out of memory")
            return [{"mood": {"label": "glad"}} for _ in columns["text"]]

    found = outcomes(Failing(), {"text": ["a", "long", "b"]}, None)
    assert [outcome.status for outcome in found] == [200, 500, 200] and "out of memory" in found[1].text


def test_unknown_paths_and_methods_are_refused(server: InProcess) -> None:
    nowhere, wrong, gone, put, slash = server.ask(
        ("GET", "/predictt", {}),
        ("GET", "/predict", {}),
        ("GET", "/docs", {}),
        ("PUT", "/", {}),
        ("POST", "/predict/", {}),
    )
    assert slash.status_code == 404 and "did you mean '/predict'" in slash.json()["error"]
    assert nowhere.status_code == gone.status_code == 404 and "/predict" in nowhere.json()["error"]
    assert wrong.status_code == put.status_code == 405 and "takes POST" in wrong.json()["error"]


def test_a_key_is_asked_for_where_there_is_one(folder: Path) -> None:
    server = InProcess(folder, key="secret")
    body = {"json": {"text": "sad"}}
    keys = ["", "Bearer other", "Basic secret", "Bearer séc", "Bearer secret"]
    headers = [{"Authorization": key.encode()} if key else {} for key in keys]
    answers = server.ask(*(("POST", "/predict", {**body, "headers": each}) for each in headers))
    assert [answer.status_code for answer in answers] == [401, 401, 401, 401, 200]
    assert "MTL_API_KEY" in answers[0].json()["error"] and answers[0].headers["WWW-Authenticate"] == "Bearer"
    found = server.ask(("GET", "/", {}), ("GET", "/tasks", {}), ("GET", "/metrics", {}))
    assert [answer.status_code for answer in found] == [200, 401, 401]


def test_requests_for_the_same_are_computed_together_and_a_bad_one_fails_alone(folder: Path) -> None:
    server = InProcess(folder, batch_size=5, batch_wait=900.0, timeout=1_000.0)
    texts = ["sad", "glad", "", "day", "sad"]
    bodies = [{"text": text, "tasks": ["mood"]} for text in texts] + [
        {"text": texts[:2] * 2 + ["day"], "tasks": ["stars"]}
    ]
    answers = server.ask(*(("POST", "/predict", {"json": body}) for body in bodies))
    assert [answer.status_code for answer in answers] == [200, 200, 422, 200, 200, 200]
    labels = [answers[place].json()["predictions"]["mood"]["label"] for place in (0, 1, 4)]
    assert labels == ["sad", "glad", "sad"]
    assert sorted(len(job.columns["text"]) for job in server.jobs) == [5, 5]
    alone = server.predict(text=["sad"] * 5, tasks=["mood"]).json()["predictions"]
    assert alone[0] == answers[0].json()["predictions"]


def test_inputs_of_similar_length_are_computed_at_once(folder: Path) -> None:
    passes: list[list[str]] = []

    class Model:
        def predict(self, columns: Any, batch_size: int = 64, tasks: Any = None) -> list[dict[str, Any]]:
            passes.append(columns["text"])
            if "" in columns["text"]:
                raise UserError("empty")
            return [{"mood": text} for text in columns["text"]]

    texts = ["a" * 30, "b", "c" * 31, "", "d"]
    found = outcomes(Model(), {"text": texts}, None, at_once=3)
    assert [outcome.text for outcome in found] == ["empty" if not text else f'{{"mood": "{text}"}}' for text in texts]
    assert passes == [["", "b", "d"], [""], ["b", "d"], ["a" * 30, "c" * 31]]


def test_who_finds_the_queue_full_is_told_when_to_come_back(folder: Path) -> None:
    server = InProcess(folder, batch_size=1, batch_wait=0.0, max_waiting=2)
    server.hold = True

    async def crowd() -> httpx.Response:
        async with server.client() as client:
            asking = []
            for number in range(AHEAD + 2):
                asking.append(asyncio.create_task(client.post("/predict", json={"text": "sad"})))
                while len(server.jobs) + len(server.spec.batches) <= number:
                    await asyncio.sleep(0)
            found = await client.post("/predict", json={"text": "sad"})
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)
            assert len(server.spec.batches) == 0
            return found

    answer = asyncio.run(crowd())
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0
    assert "2 requests wait already (--max_waiting)" in answer.json()["error"]


def test_a_request_is_not_waited_for_forever(folder: Path) -> None:
    server = InProcess(folder, batch_wait=0.0, timeout=0.05)
    server.hold = True
    answer = server.predict(text="sad")
    assert answer.status_code == 504 and "no prediction within 0.05 s (--timeout)" in answer.json()["error"]


def test_a_body_that_does_not_come_is_not_waited_for(folder: Path) -> None:
    server = InProcess(folder, timeout=0.05, batch_wait=0.0)

    async def half() -> Any:
        yield b'{"text"'
        await asyncio.sleep(60)

    (answer,) = server.ask(("POST", "/predict", {"content": half()}))
    assert answer.status_code == 408 and "the body did not come" in answer.json()["error"]


def test_tasks_and_counts_are_told(server: InProcess) -> None:
    server.predict(text="sad")
    server.predict(text=1)
    tasks, counts = server.ask(("GET", "/tasks", {}), ("GET", "/metrics", {}))
    both = [["text", "text_pair"], ["text"]]
    assert tasks.json() == {
        "text": "text",
        "tasks": {
            "mood": {"predicts": "Label", "labels": ["sad", "glad"], "inputs": both},
            "stars": {"predicts": "Number", "inputs": [["text"]]},
        },
    }
    lines = counts.text.splitlines()
    assert 'mtl_requests_total{path="/predict",status="200"} 1.0' in lines
    assert 'mtl_requests_total{path="/predict",status="422"} 1.0' in lines
    assert "mtl_batch_size_count 1.0" in lines and "mtl_waiting_requests 0.0" in lines
    assert any(line.startswith('mtl_request_seconds_bucket{le="0.005"') for line in lines)


def test_a_fault_of_the_model_is_said_once_and_passes(server: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    from litserve.utils import LitAPIStatus

    def broken(message: Any) -> None:
        item = server.spec.response_buffer[message[1]]
        item.response = (b"", LitAPIStatus.ERROR)
        item.event.set()

    with monkeypatch.context() as patch:
        patch.setattr(server, "put", broken)
        assert server.predict(text="sad").status_code == 500
    assert server.predict(text="sad").status_code == 200 and not server.spec.response_buffer


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "70000"], "--port must be from 0 to 65535, found 70000"),
        (["--batch_size", "0"], "--batch_size must be at least 1, found 0"),
        (["--timeout", "nan"], "--timeout must be more than 0 seconds"),
        (["--batch_wait", "40"], "less than --timeout (30), found 40"),
        (["--host", "256.0.0.1"], "cannot listen on 256.0.0.1"),
        (["--prot", "1"], "--prot"),
    ],
)
def test_wrong_options_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["serve", str(folder), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_model_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: no file or folder nowhere; give one that")


def test_a_checkpoint_without_torch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="a checkpoint needs torch, which is not installed"):
        opened(Options(str(tmp_path)), "cpu")


def test_a_key_with_odd_characters_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_API_KEY", "two\nlines")
    assert main(["serve", "nowhere"]) == 2


def test_a_key_of_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MTL_API_KEY", "")
    assert main(["serve", "nowhere"]) == 2
    assert capsys.readouterr().err == (
        "error: MTL_API_KEY is set to nothing, so that anybody could ask; give it a key, or unset it\n"
    )
