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
from enhance.run.checkpoint import BEST, LAST
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


def rates(folder: Path) -> dict[int, float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["train/lr"] for line in lines if "train/lr" in line}


def test_a_finished_run_goes_on_with_more_steps(
    run_script: Callable[..., Ended], command: list[str], tmp_path: Path
) -> None:
    words = (*command, "validation.every=1", "schedule.warmup=0", "schedule.floor=0.5", "optimizer.lr=1e-3")
    assert run_script("train.py", *words).code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    ended = run_script("train.py", f"resume={folder}")
    assert ended.code == 2
    assert f"train on with resume={folder} schedule.steps=MORE" in ended.err
    ended = run_script("train.py", f"resume={folder}", "schedule.steps=8")
    assert ended.code == 0, ended.err
    # the cosine of 8 steps from 1e-3 to 5e-4 is half way down at step 4
    assert "schedule.steps=8, before 4 steps: from step 4 the learning rate goes on at 0.00075" in ended.out
    assert "falls to 0.0005" in ended.out
    assert checkpoint.load(folder / LAST).step == 8
    assert rates(folder)[8] == pytest.approx(5e-4, rel=0.05)
    assert rates(folder)[5] > rates(folder)[4]  # it rose from where 4 steps had ended
    again = run_script("train.py", f"resume={folder}", "schedule.steps=8")
    assert (again.code, "complete (8 of 8 steps)" in again.err) == (2, True)
    assert "has done 8 steps" in run_script("train.py", f"resume={folder}", "schedule.steps=6").err
    # it is neither the run of 4 steps any more, nor one of 8
    for steps in (4, 8):
        ended = run_script("train.py", *words, f"schedule.steps={steps}", "resume=auto")
        assert f"run folder {folder}" not in ended.out + ended.err
        assert ended.code == 0, ended.err


def test_a_run_begins_with_the_weights_of_another(
    run: Path, run_script: Callable[..., Ended], command: list[str], tmp_path: Path
) -> None:
    """With a learning rate that moves nothing, they are what is saved."""
    words = (*command, f"init_from={run}", "norm=bn_act", "optimizer.lr=1e-12", "name=tuned", "seed=5")
    ended = run_script("train.py", *words)
    assert ended.code == 0, ended.err
    assert f"init_from={run / BEST}: begins with the averaged weights" in ended.out
    (tuned,) = (tmp_path / "runs").glob("*-tuned")
    first, last = (checkpoint.load(folder / BEST).model for folder in (run, tuned))
    weights = [name for name in first if name.endswith("weight")]
    assert weights
    assert all((first[name] - last[name]).abs().max() < 1e-8 for name in weights)
    shutil.rmtree(run)  # to go on, it takes the weights of its own checkpoint
    ended = run_script("train.py", f"resume={tuned}", "schedule.steps=5")
    assert ended.code == 0, ended.err
