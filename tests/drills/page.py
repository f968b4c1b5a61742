"""The web page, asked for what is not its own, and given files that are no photographs."""

import importlib.util
import json
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from urllib.parse import quote, urlsplit

from PIL import Image

from tests.drills.hostile import SECRET
from tests.drills.images import png_bomb
from tests.drills.small_run import HOME, Outcome, SmallRun, start, wait
from tests.small_data import draw_scene

_MOST_SECONDS = 60.0
_BOUNDARY = "a-boundary"


class Visitor:
    """Speaks with the page as a browser does, without a browser's care."""

    def __init__(self, address: str) -> None:
        self.place = urlsplit(address).netloc
        self.sessions = 0

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, str]:
        """Status and content; the path is sent as it is."""
        connection = HTTPConnection(self.place, timeout=_MOST_SECONDS)
        connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")

    def upload(self, name: str, content: bytes) -> tuple[int, str]:
        """The status, and the place on the server, or the answer in its place."""
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()
        status, answer = self.ask("POST", "/gradio_api/upload", body, f"multipart/form-data; boundary={_BOUNDARY}")
        return status, json.loads(answer)[0] if status == 200 else answer

    def enhance(self, path: str, model: str) -> tuple[bool, str]:
        """Whether the page enhances the file at a place on the server, and its whole answer."""
        self.sessions += 1
        session = f"session{self.sessions}"
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        call = {"data": [None, file, model, 0, 1], "fn_index": 0, "session_hash": session}
        status, answer = self.ask("POST", "/gradio_api/queue/join", json.dumps(call).encode(), "application/json")
        if status != 200:
            return False, answer
        _, answer = self.ask("GET", f"/gradio_api/queue/data?session_hash={session}")
        return '"process_completed"' in answer and '"success":true' in answer, answer


def asked_and_given(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """Paths that leave its folder, in many spellings, and files that are large, strange or no images: nothing else is
    served, each file is refused with a message that names no place on the server, and the page stays up."""
    name = "web page: paths and files"
    if importlib.util.find_spec("gradio") is None:
        return Outcome(name, 0, 0, 0, "skipped: gradio is not installed")
    folder = SmallRun(root, work / "run").stop_at(10)
    log = work / "page.log"
    log.touch()
    hidden = work / "hidden"
    hidden.mkdir()
    (hidden / "secret.txt").write_text(SECRET)
    Image.fromarray(draw_scene(1)).save(hidden / "secret.png")
    child = start(HOME / "scripts" / "demo.py", [str(folder), "--device=cpu"], log)
    handler = partial(SimpleHTTPRequestHandler, directory=str(hidden))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as neighbour:
        threading.Thread(target=neighbour.serve_forever, daemon=True).start()
        try:
            visitor = Visitor(_address(child, log))
            outcome = _visit(visitor, folder.name, hidden, neighbour.server_port, tries, rng, name)
        finally:
            os.kill(child, signal.SIGTERM)
            wait(child)
            neighbour.shutdown()
    return outcome


def _address(child: int, log: Path) -> str:
    began = time.monotonic()
    while time.monotonic() - began < _MOST_SECONDS:
        if match := re.search(r"open (http://\S+)", log.read_text()):
            return match[1]
        time.sleep(0.1)
    raise RuntimeError(f"the page did not open: {log}")


def _visit(visitor: Visitor, model: str, hidden: Path, port: int, tries: int, rng: random.Random, name: str) -> Outcome:
    outcome = Outcome(name, tries, 0, 0)
    whole = _png()
    status, good = visitor.upload("night.png", whole)
    served, answer = visitor.enhance(good, model)
    if not served:
        raise RuntimeError(f"the page does not enhance a whole photograph: {status} {answer}")
    home = str(Path(good).parents[1])
    secret = hidden / "secret.png"
    elsewhere = [str(secret), f"{Path(good).parent}{'/..' * 12}{secret}", f"http://127.0.0.1:{port}/secret.png"]
    paths, files = _paths(hidden, Path(good).parent, port), _files(whole, hidden)
    for number in range(tries):
        if number % 2:
            file_name, content = files[number // 2 % len(files)]
            status, place = visitor.upload(file_name, content)
            if status == 200:
                inside = place.startswith(home)
                _, answer = visitor.enhance(place, model)
                named = home in re.sub(r'"(path|url)":\s*"[^"]*"', "", answer)
                outcome.count(inside and not named)
            else:
                outcome.count(status in (400, 413))
        elif rng.random() < 0.2:
            given = rng.choice(elsewhere)
            outcome.count(not visitor.enhance(given, model)[0])
        else:
            outcome.count(SECRET not in visitor.ask("GET", rng.choice(paths))[1])
    outcome.survived = outcome.survived if visitor.enhance(good, model)[0] else 0  # it is still there
    return outcome


def _paths(hidden: Path, own: Path, port: int) -> list[str]:
    """Ways to ask for a file that is not the page's."""
    secret = hidden / "secret.txt"
    up = "../" * 12
    places = [
        str(secret),
        f"{up}{secret}",
        f"{own}/{up}{secret}",
        f"file://{secret}",
        f"{secret}\0.png",
        f"http://127.0.0.1:{port}/secret.txt",
        f"http://localhost:{port}/secret.txt",
        f"http://0.0.0.0:{port}/secret.txt",
        f"HTTP://[::ffff:127.0.0.1]:{port}/secret.txt",
    ]
    routes = [
        "/gradio_api/file=",
        "/file=",
        "/gradio_api/file/",
        "/gradio_api/proxy=",
        "/static/",
        "/assets/",
        "/svelte/",
    ]
    written: list[Callable[[str], str]] = [
        partial(quote, safe="/:=[]"),
        partial(quote, safe=""),
        lambda place: quote(quote(place, safe=""), safe=""),
        lambda place: quote(place, safe="/:=[]").replace("..", "%2e%2e"),
    ]
    return [route + spelt(place) for route in routes for place in places for spelt in written]


def _files(whole: bytes, hidden: Path) -> list[tuple[str, bytes]]:
    """Names and contents that are no photograph, or more than one may be."""
    return [
        ("text.png", b"no image"),
        ("empty.png", b""),
        ("cut.png", whole[: len(whole) // 2]),
        ("page.html", whole),
        ("picture.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"),
        ("bomb.png", png_bomb()),
        (f"../../../..{hidden}/planted.png", b"no image"),
        ("..", b"no image"),
        ("<img src=x onerror=alert(1)>.png", b"no image"),
        ("n" * 400 + ".png", whole),
        ("large.png", whole + bytes(101 * 2**20)),
    ]


def _png() -> bytes:
    file = BytesIO()
    Image.fromarray(draw_scene(0)).save(file, "PNG")
    return file.getvalue()
