"""What is said by a process that is ended because another one does not go on."""

import os

from mtl_lightning.callbacks import ProcessWatch


def test_it_says_how_to_resume(monkeypatch, capsys):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    watch = ProcessWatch(on_end=lambda: ended.append("others"), hints=lambda: ["resume with --ckpt_path last.ckpt"])
    watch._end("error: process 1 on vm (4711) has not answered for 30 s\n")
    said = "error: process 1 on vm (4711) has not answered for 30 s; resume with --ckpt_path last.ckpt\n"
    assert (ended, capsys.readouterr().err) == (["others", 1], said)
