"""Going on with a run where its folder was damaged, is in use, or came to another machine."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from enhance.run import checkpoint
from enhance.run.checkpoint import LAST
from tests.processes import ROOT, Begun, Ended
from tests.small_data import SMALL


@pytest.fixture
def command(tmp_path: Path, pairs_root: Path) -> list[str]:
    return [*SMALL, "schedule.steps=4", f"data.root={pairs_root}", f"runs={tmp_path / 'runs'}"]


@pytest.fixture
def run(run_script: Callable[..., Ended], command: list[str], tmp_path: Path) -> Path:
    """Complete, but for its last checkpoint, which is of step 2 of 4."""
    assert run_script("train.py", *command, "schedule.steps=2").code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    kept = checkpoint.load(folder / LAST)
    kept.settings.schedule.steps = 4
    checkpoint.save(kept, folder / LAST)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("\n  steps: 2\n", "\n  steps: 4\n"))
    return folder


def test_a_damaged_provenance_keeps_no_run_from_going_on(run: Path, run_script: Callable[..., Ended]) -> None:
    (run / "provenance.json").write_text("")
    assert run_script("train.py", f"resume={run}").code == 0
    assert checkpoint.load(run / LAST).step == 4


@pytest.mark.parametrize("content", [b"a: [b", b"\xff\xfe\x00", b"- 1\n", b"a: !!python/object/apply:os.getcwd []\n"])
def test_auto_passes_over_a_damaged_configuration(
    run: Path, command: list[str], run_script: Callable[..., Ended], content: bytes
) -> None:
    shutil.copytree(run, run.with_name("damaged"))
    (run.with_name("damaged") / "config.yaml").write_bytes(content)  # the newest
    ended = run_script("train.py", *command, "resume=auto")
    assert ended.code == 0, ended.err
    assert f"run folder {run}\n" in ended.out


def test_what_makes_no_other_result_may_change(run: Path, command: list[str], run_script: Callable[..., Ended]) -> None:
    """As the message of a full /dev/shm asks for it."""
    words = ("data.workers=1", "data.cache_gib=0.5", "threads=1", "on_full_disk=go_on")
    copy = shutil.copytree(run, run.parents[1] / "copy")
    assert run_script("train.py", f"resume={copy}", *words).code == 0
    kept = checkpoint.load(copy / LAST)
    assert (kept.step, kept.settings.data.workers, kept.settings.on_full_disk) == (4, 1, "go_on")
    assert f"run folder {run}\n" in run_script("train.py", *command, *words, "resume=auto").out


def test_a_folder_in_use_is_left_as_it_is(run: Path, begin: Callable[..., Begun]) -> None:
    """Its checkpoint is read only once it is one's own: until then another process may write a later one."""
    (run / LAST).write_bytes(b"damaged")
    shutil.copy(run / "checkpoints" / "best.pt", run / "checkpoints" / "previous.pt")
    with FileLock(run / ".lock"):
        ended = begin("train.py", f"resume={run}").end()
    assert (ended.code, "another process is training in it" in ended.err) == (2, True)
    assert (run / LAST).read_bytes() == b"damaged"


def test_auto_goes_on_where_the_same_data_lie_elsewhere(
    run: Path, command: list[str], run_script: Callable[..., Ended], pairs_root: Path, tmp_path: Path
) -> None:
    moved = pairs_root.rename(tmp_path / "moved")
    ended = run_script("train.py", *command, f"data.root={moved}", "resume=auto")
    assert ended.code == 0, ended.err
    assert f"run folder {run}\n" in ended.out
    assert checkpoint.load(run / LAST).settings.data.root == str(moved)


def test_other_images_of_the_same_names_are_refused(
    run: Path, run_script: Callable[..., Ended], pairs_root: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(pairs_root, tmp_path / "other")
    for file in other.rglob("*.png"):
        Image.open(file).resize((32, 32)).save(file)
    ended = run_script("train.py", f"resume={run}", f"data.root={other}")
    assert (ended.code, "the images are not those of the run, by name and size" in ended.err) == (2, True)


@pytest.mark.parametrize("part", ["training", "validation"])
def test_the_steps_before_an_image_went_away_are_kept(
    begin: Callable[..., Begun], command: list[str], tmp_path: Path, part: str
) -> None:
    words = ["schedule.steps=400", "validation.every=200", "data.cache_gib=0", "threads=1"]
    process = begin("train.py", *command, *words)
    process.await_line("step 20/")
    (file,) = (tmp_path / "runs").glob("*/provenance.json")
    held = set(json.loads(file.read_text())[0]["validation_images"])
    names = {path.stem for path in (tmp_path / "pairs" / "our485" / "low").iterdir()}
    name = sorted(held if part == "validation" else names - held)[0]
    (tmp_path / "pairs" / "our485" / "low" / f"{name}.png").unlink()
    ended = process.end()
    assert (ended.code, f"{name}.png: no such image file" in ended.err) == (2, True), ended.err
    kept = checkpoint.load(file.parent / LAST)
    assert (kept.step == 200) if part == "validation" else (20 <= kept.step < 200)


def test_a_report_that_finds_no_room_is_told(make_run: Callable[..., Path]) -> None:
    resource = pytest.importorskip("resource", reason="a limit of the size of files is POSIX's")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # noqa: E731
    ended = subprocess.run(
        [sys.executable, "evaluate.py", f"checkpoint={make_run()}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "cannot be written (File too large); give out=FOLDER" in ended.stderr
