"""Runs the ``sh`` blocks of a page by bash, in which ``python`` and ``mtl-lightning`` are asked of this process.

They fork from a process that has imported everything, which saves the seconds of their start. What only sets a machine
up (``pip``, ``git``, …) does nothing.
"""

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory
from typing import Any

import forked

SET_UP = ("apt-get", "git", "make", "pip", "pytest", "sudo")
_ASKED = ("python", "python3", "mtl-lightning", *SET_UP)
_SHIM = """#!{python} -IS
import json, os, socket, sys
asked = socket.socket(socket.AF_UNIX)
asked.connect({address!r})
given = [os.path.basename(sys.argv[0]), sys.argv[1:], os.getcwd(), dict(os.environ), sys.stdin.read()]
asked.sendall(json.dumps(given).encode())
asked.shutdown(socket.SHUT_WR)
status, output, errors = json.loads(b"".join(iter(lambda: asked.recv(65536), b"")))
sys.stdout.write(output)
sys.stderr.write(errors)
sys.exit(status)
"""
_BLOCK = """cd() {{ :; }}
if [ -f {state} ]; then . {state}; fi
trap 'export -p > {state}' EXIT
{text}"""
_SHORT = {"MTL_FIT__TRAINER__MAX_EPOCHS": "1", "MTL_FIT__TRAINER__LIMIT_TRAIN_BATCHES": "8"}
_SHORT |= {f"MTL_FIT__TRAINER__LIMIT_{split}_BATCHES": "4" for split in ("VAL", "TEST")}
_SHORT |= {"MTL_TEST__TRAINER__LIMIT_TEST_BATCHES": "4", "MTL_FIT__WANDB": "off"}
Compare = Callable[[Sequence[str], str, Mapping[str, str]], "CompletedProcess[str]"]


class Shell:
    """A terminal in a folder; what is exported in one block is there in the next.

    Args:
        folder: Where it runs.
        env: Its whole environment.
        compare: Runs ``mtl-lightning compare`` with arguments, in a folder and an environment.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], compare: Compare) -> None:
        self._folder, self._compare = folder, compare
        self._own = TemporaryDirectory()  # its name is short, as that of a socket has to be
        own = Path(self._own.name)
        self._state = own / "state"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(own / "asked"))
        self._listener.listen()
        shim = own / "shim"
        shim.write_text(_SHIM.format(python=sys.executable, address=str(own / "asked")))
        shim.chmod(0o755)
        (own / "bin").mkdir()
        for name in _ASKED:
            (own / "bin" / name).symlink_to(shim)
        self._path = env["PATH"]
        self._env = {**env, "PATH": f"{own / 'bin'}{os.pathsep}{self._path}"}

    def run(self, text: str) -> str | None:
        """Runs a block; what went wrong, or null."""
        ended, inherited = os.pipe()
        script = _BLOCK.format(state=self._state, text=text)
        with (
            TemporaryDirectory() as printed,
            open(f"{printed}/output", "w+") as output,
            subprocess.Popen(
                ["bash", "-e", "-o", "pipefail", "-c", script],
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[inherited],
            ) as bash,
        ):
            os.close(inherited)
            while self._listener in select.select([self._listener, ended], [], [])[0]:
                self._answer()
            os.close(ended)
            status = bash.wait()
            output.seek(0)
            return f"exit status {status}\n{output.read()[-4000:]}" if status else None

    def close(self) -> None:
        """Removes its own files."""
        self._listener.close()
        self._own.cleanup()

    def _answer(self) -> None:
        asked, _ = self._listener.accept()
        with asked:
            name, arguments, folder, env, given = json.loads(b"".join(iter(lambda: asked.recv(65536), b"")))
            env["PATH"] = self._path  # what is run may run `git` in turn
            ran = self._ran(name, arguments, cwd=folder, env=env, input=given)
            asked.sendall(json.dumps([ran.returncode, ran.stdout, ran.stderr]).encode())

    def _ran(self, name: str, arguments: list[str], **options: Any) -> "CompletedProcess[str]":
        match name, arguments:
            case ("mtl-lightning", ["compare", *rest]) | (_, ["-m", "mtl_lightning", "compare", *rest]):
                return self._compare(rest, options["cwd"], options["env"])
            case ("mtl-lightning", rest) | (_, ["-m", "mtl_lightning", *rest]):
                return forked.run(*rest, **{**options, "env": {**_SHORT, **options["env"]}})
            case (_, ["-m", "venv", *_, folder]):
                activate = Path(options["cwd"], folder, "bin", "activate")
                activate.parent.mkdir(parents=True)
                activate.touch()
                return CompletedProcess(arguments, 0, "", "")
            case (_, ["-m", module, *_]) if module in SET_UP:
                return CompletedProcess(arguments, 0, "", "")
            case ("python" | "python3", _):
                return self._python(arguments, **options)
            case _:
                return CompletedProcess(arguments, 0, "", "")

    def _python(self, arguments: list[str], **options: Any) -> "CompletedProcess[str]":
        typed = Path(options["cwd"], ".typed.py")
        match arguments:
            case ["-m", module, *rest]:
                return forked.run(*rest, module=module, **options)
            case ["-c", text, *rest]:
                typed.write_text(text)
                return forked.run(*rest, script=typed, **options)
            case [] | ["-"]:
                typed.write_text(options["input"])
                return forked.run(script=typed, **{**options, "input": ""})
        script, *rest = arguments
        return forked.run(*rest, script=Path(options["cwd"], script), **options)
