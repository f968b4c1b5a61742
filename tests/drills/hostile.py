"""Files that were made to do harm: checkpoints that carry code, configurations that name it, archives that leave their
folder. Each is refused by name; what it would do is not done."""

import contextlib
import importlib.util
import io
import os
import pickle
import random
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from enhance.run.checkpoint import BEST, LAST, PREVIOUS
from tests.drills.small_run import HOME, TRAIN, Outcome, SmallRun, start, wait

SECRET = "a-secret-of-the-environment"


class WritesAFile:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "run")


def _zipped(values: Any) -> bytes:
    file = io.BytesIO()
    torch.save(values, file)
    return file.getvalue()


_FORMATS: list[Callable[[Any], bytes]] = [pickle.dumps, _zipped]


def _commands(run: SmallRun, folder: Path, root: Path, work: Path) -> list[tuple[Path, list[str]]]:
    """Those that read a checkpoint."""
    scripts = HOME / "scripts"
    commands = [
        (TRAIN, [f"resume={folder}"]),
        (TRAIN, run.overrides),
        (HOME / "evaluate.py", [f"checkpoint={folder}", "device=cpu"]),
        (scripts / "enhance_photos.py", [str(folder), str(root / "our485" / "low"), str(work / "out"), "--device=cpu"]),
    ]
    if importlib.util.find_spec("onnxruntime") is not None:
        commands.append((scripts / "export_onnx.py", [str(folder), str(work / "model.onnx")]))
    return commands


def checkpoints(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """A pickle that writes a file, by itself and in torch's zip with its checksum, in whole checkpoints otherwise: no
    command that reads them runs it."""
    run = SmallRun(root, work / "run")
    folder = run.stop_at(5)
    whole = torch.load(folder / LAST, weights_only=True)
    commands = _commands(run, folder, root, work)
    outcome = Outcome("checkpoints that carry code", tries, 0, 0, f"{len(commands)} commands")
    for number in range(tries):
        written, log = work / f"written-{number}", work / f"hostile-{number}.log"
        place = rng.choice(["validation", "model", "settings", "trainer"])
        content = _FORMATS[number % 2](whole | {place: {"planted": WritesAFile(written)}})
        with contextlib.suppress(Exception):
            torch.load(io.BytesIO(content), weights_only=False)  # careless
        harmful = written.exists()
        written.unlink(missing_ok=True)
        for name in (LAST, PREVIOUS, BEST):
            (folder / name).write_bytes(content)
        code = wait(start(*commands[number // 2 % len(commands)], log))
        message = log.read_text().splitlines()[-1]
        outcome.count(harmful and not written.exists() and code == 2 and f"{folder}/checkpoints/" in message)
    return outcome


def _targets(path: Path) -> dict[str, Any]:
    return {"_target_": "pathlib.Path.write_text", "_args_": [str(path), "run"]}


_PLANTED: list[Callable[[Path], dict[str, Any]]] = [
    _targets,
    lambda path: {"data": _targets(path)},
    lambda path: {"name": "${oc.env:DRILL_SECRET}"},
    lambda path: {"data": {"root": "${oc.env:DRILL_SECRET}"}},
    lambda path: {"data": {"other_cameras": {"one": ["${oc.env:DRILL_SECRET}"]}}},
    lambda path: {"hydra": {"launcher": _targets(path)}},
    lambda path: {"hydra/launcher": "submitit_slurm"},
    lambda path: {"defaults": [{"override hydra/launcher": "submitit_slurm"}]},
]


def configurations(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """`_target_`, `${oc.env:...}` and Hydra's own keys, in the settings of a checkpoint and in a run folder's
    config.yaml, and YAML that names Python: nothing is called, and no variable's value is printed."""
    os.environ["DRILL_SECRET"] = SECRET
    outcome = Outcome("configurations that name code", tries, 0, 0)
    for number in range(tries):
        run = SmallRun(root, work / f"run-{number}")
        folder, written, log = run.stop_at(5), work / f"written-{number}", work / f"hostile-{number}.log"
        planted = _PLANTED[number // 2 % len(_PLANTED)](written)
        if number % 2:
            values = torch.load(folder / LAST, weights_only=True)
            _merge(values["settings"], planted)
            for name in (LAST, PREVIOUS, BEST):
                (folder / name).write_bytes(_zipped(values))
            command = rng.choice(_commands(run, folder, root, work))
            good = wait(start(*command, log)) == 2 and "its settings do not fit" in log.read_text()
        else:  # resume=auto looks for a run with its settings, finds none, and begins one
            settings = yaml.safe_load((folder / "config.yaml").read_text())
            _merge(settings, planted)
            tag = (
                f"harm: !!python/object/apply:pathlib.Path.write_text [{written}, run]\n" if rng.random() < 0.5 else ""
            )
            (folder / "config.yaml").write_text(yaml.safe_dump(settings) + tag)
            good = wait(start(TRAIN, run.overrides, log)) == 0 and f"run folder {folder}\n" not in log.read_text()
        outcome.count(good and not written.exists() and SECRET not in log.read_text())
    return outcome


def _merge(values: dict[str, Any], planted: dict[str, Any]) -> None:
    for key, value in planted.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def archives(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """Entries of an archive for `prepare_lol.py` that leave its folder: nothing is unpacked."""
    outcome = Outcome("archives that leave their folder", tries, 0, 0)
    for number in range(tries):
        archive, out, log = work / f"{number}.zip", work / "out", root / f"archive-{number}.log"
        up = "../" * rng.randrange(1, 4)
        names = (f"{up}evil.png", f"a/{up}{up}our485/low/evil.png", f"{up}evil".replace("/", "\\"), f"{work}/evil")
        name = names[number % 4]
        entry = zipfile.ZipInfo(name)
        if number % 5 == 4:
            entry = zipfile.ZipInfo("our485/low/link.png")
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr(entry, "/etc/passwd")
        before = sorted(work.iterdir())
        code = wait(start(HOME / "scripts" / "prepare_lol.py", [str(archive), str(out)], log))
        outcome.count(code == 2 and "leaves the folder" in log.read_text() and sorted(work.iterdir()) == before)
    return outcome
