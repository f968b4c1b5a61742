"""`scripts/demo.py` starts, says where, and ends on Ctrl-C and SIGTERM."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.processes import Begun, Ended

ROOT = Path(__file__).parents[2]


def address(page: Begun) -> str:
    """Where it says that it is."""
    page.await_line("open ")
    found = re.search(r"open (http://127\.0\.0\.1:\d+/)", page.out.read_text())
    assert found, page.end()
    return found[1]


@pytest.mark.skipif(sys.platform == "win32", reason="signals to another process are POSIX's")
@pytest.mark.parametrize(("number", "python"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_the_page_is_there_until_it_is_stopped(
    make_run: Callable[..., Path], begin: Callable[..., Begun], number: int, python: bool
) -> None:
    page = begin("scripts/demo.py", str(make_run()), "--device", "cpu", python=python)
    assert b"enhance" in urlopen(address(page), timeout=60).read()
    page.send(number)
    assert page.end().code == 130


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_proxy", "http://127.0.0.1:9"),
        ("ALL_PROXY", "socks5://127.0.0.1:9"),
        pytest.param(
            "GRADIO_TEMP_DIR", "/proc/none", marks=pytest.mark.skipif(sys.platform != "linux", reason="/proc")
        ),
    ],
)
def test_a_proxy_and_another_place_of_gradios_are_left_out(
    make_run: Callable[..., Path], name: str, value: str
) -> None:
    environment = os.environ | {name: value}
    words = [sys.executable, ROOT / "scripts" / "demo.py", make_run(), "--device", "cpu"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("open http://127.0.0.1:")
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="TMPDIR is POSIX's")
def test_a_place_for_uploads_that_is_none_is_told(make_run: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "gradio").write_text("a file")
    words = [sys.executable, ROOT / "scripts" / "demo.py", make_run(), "--device", "cpu"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    ended = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (ended.returncode, "set TMPDIR to a folder" in ended.stderr) == (2, True), ended.stderr


def test_runs_of_one_name_are_told_apart(
    make_run: Callable[..., Path], begin: Callable[..., Begun], tmp_path: Path
) -> None:
    one = make_run()
    other = tmp_path / "elsewhere" / one.name
    shutil.copytree(one, other)
    page = begin("scripts/demo.py", str(one), str(other), "--device", "cpu")
    config = json.loads(urlopen(f"{address(page)}config", timeout=60).read())
    (choices,) = (part["props"]["choices"] for part in config["components"] if part["props"].get("elem_id") == "model")
    assert [name for name, _ in choices] == [str(run / "checkpoints" / "best.pt") for run in (one, other)]


@pytest.mark.parametrize("words", [("--host", "no.such.host"), ("--host", "::1"), ("--port", "99999")])
def test_a_place_that_cannot_be_listened_at_is_told(
    run_script: Callable[..., Ended], make_run: Callable[..., Path], words: tuple[str, str]
) -> None:
    ended = run_script("scripts/demo.py", make_run(), "--device", "cpu", *words)
    assert ended.code == 2
    assert ended.err.startswith(f"error: {words[0]} {words[1]}")


def test_a_missing_run_is_told(run_script: Callable[..., Ended], tmp_path: Path) -> None:
    ended = run_script("scripts/demo.py", tmp_path / "nowhere")
    assert ended.code == 2
    assert "nowhere: no such file or folder" in ended.err


def test_a_taken_port_is_told(run_script: Callable[..., Ended], make_run: Callable[..., Path]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run_script("scripts/demo.py", make_run(), "--device", "cpu", "--port", str(port))
    assert ended.code == 2
    assert f"--port {port}" in ended.err


def test_memory_out_of_range_is_told(run_script: Callable[..., Ended], make_run: Callable[..., Path]) -> None:
    ended = run_script("scripts/demo.py", make_run(), "--device", "cpu", "--max-memory", "-1")
    assert ended.code == 2
    assert "--max-memory -1 is too small" in ended.err
