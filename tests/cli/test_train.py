"""`python train.py` as a user runs it: two steps of every norm, what a run leaves, resuming, and mistakes."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from enhance.norm.registry import NORMS
from enhance.run import checkpoint
from enhance.run.folder import create_run_folder
from enhance.settings import config
from enhance.training import learner
from tests.processes import ROOT, Begun, Ended

TINY = (
    "model.width=8",
    "model.depth=2",
    "data.crop=32",
    "data.validation_share=0.25",
    "validation.recalibrate_images=3",
)


@pytest.fixture
def train(run_script: Callable[..., Ended], tmp_path: Path, pairs_root: Path) -> Callable[..., Ended]:
    """Train on eight small pairs, by default for two steps; later words override earlier ones."""

    def run(*words: str) -> Ended:
        given = {word.partition("=")[0] for word in words}
        defaults = (
            "data=lol_v1",
            f"data.root={pairs_root}",
            f"runs={tmp_path / 'runs'}",
            "batch_size=4",
            "schedule.steps=2",
            *TINY,
        )
        return run_script("train.py", *(word for word in defaults if word.partition("=")[0] not in given), *words)

    return run


def only_run(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "runs").iterdir()
    return folder


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_trains(train: Callable[..., Ended], tmp_path: Path, norm: str) -> None:
    ended = train(f"norm={norm}")
    assert ended.code == 0, ended.err
    assert "validation at step 2" in ended.out
    kept = checkpoint.load(only_run(tmp_path) / "checkpoints" / "best.pt")
    assert kept.step == 2
    assert all(value.isfinite().all() for value in kept.model.values())


@pytest.mark.parametrize(
    "words",
    [
        ("batch_size=1",),
        ("accumulate=2", "batch_size=2"),
        ("precision=fp32", "channels_last=false", "average_decay=0"),
        ("precision=fp16",),
        ("norm=bn_act", "precision=fp32", "model.activation=elu"),
        ("precision=bf16", "data.workers=2"),
        ("schedule.steps=null", "schedule.epochs=0.7", "optimizer.clip=0", "objective.ssim=0", "deterministic=true"),
        ("data=demo", "data.root=null"),
        ("model.exposure=false", "model.brightened=false", "norm=gn"),
    ],
)
def test_settings_train(train: Callable[..., Ended], tmp_path: Path, words: tuple[str, ...]) -> None:
    ended = train(*words)
    assert ended.code == 0, ended.err
    assert (only_run(tmp_path) / "checkpoints" / "best.pt").is_file()


def test_what_a_run_leaves(train: Callable[..., Ended], tmp_path: Path) -> None:
    ended = train("name=mine", "schedule.steps=4", "validation.every=2")
    folder = only_run(tmp_path)
    assert folder.name.endswith("-mine")
    files = {path.name for path in folder.iterdir() if not path.name.startswith(("events", ".lock"))}
    assert files == {"config.yaml", "provenance.json", "metrics.jsonl", "checkpoints", "validation"}
    assert {path.name for path in (folder / "validation").iterdir()} == {
        "report.json",
        "report.csv",
        "report.md",
        "contact_sheet.png",
    }
    assert config.from_dict(yaml.safe_load((folder / "config.yaml").read_text())).data.crop == 32
    (start,) = json.loads((folder / "provenance.json").read_text())
    assert start["seed"] == 0
    assert start["parameters"] > 0
    assert start["gflops_256x256"] > 0
    assert "name=mine" in start["command"]
    assert f"{start['parameters'] / 1e6:.2f} M parameters" in ended.out
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    scores = [row["validation/psnr"] for row in rows if "validation/psnr" in row]
    assert len(scores) == 2
    assert f"best validation PSNR {max(scores):.2f} dB" in ended.out
    assert [row["step"] for row in rows if "train/loss" in row] == [2, 4]
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()
    for tag in ("train/loss", "train/l1", "train/ssim", "train/lr", "train/grad_norm", "validation/ssim"):
        assert tag in tags["scalars"], tag
    assert {"system/images_per_second", "system/data_wait", "system/peak_memory_gib"} <= set(tags["scalars"])
    assert (
        sum(tag.startswith("train_gap/mean/") for tag in tags["scalars"]) == 10
    )  # two batch norms a block, five blocks
    assert len(tags["images"]) == len(start["validation_images"])
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_kept_statistics_are_recalibrated_and_the_raw_ones_beside_them(
    train: Callable[..., Ended], tmp_path: Path
) -> None:
    train()
    kept = checkpoint.load(only_run(tmp_path) / "checkpoints" / "best.pt")
    assert kept.running_statistics
    differ = [name for name, raw in kept.running_statistics.items() if not torch.equal(raw, kept.model[name])]
    assert any(name.endswith("running_var") for name in differ)


def test_recalibration_can_be_switched_off(train: Callable[..., Ended], tmp_path: Path) -> None:
    ended = train("validation.recalibrate=false")
    assert "recalibrated" not in ended.out
    kept = checkpoint.load(only_run(tmp_path) / "checkpoints" / "best.pt")
    assert all(torch.equal(raw, kept.model[name]) for name, raw in kept.running_statistics.items())


def test_frozen_statistics_stay_and_the_weights_go_on(train: Callable[..., Ended], tmp_path: Path) -> None:
    """Frozen before the first step, two runs keep the same statistics, whatever their weights do."""
    kept = []
    for lr in ("1e-3", "1e-2"):
        # Four steps: what starts at zero lets no gradient through to what comes before it.
        ended = train("schedule.freeze_after=0", "schedule.steps=4", f"optimizer.lr={lr}", f"runs={tmp_path}/{lr}")
        assert "step 0: batch norms recalibrated on 3 whole training images and frozen" in ended.out
        assert "recalibrated in" not in ended.out  # before a validation
        (file,) = (tmp_path / lr).glob("*/checkpoints/last.pt")
        kept.append(checkpoint.load(file))
    assert all(each.frozen for each in kept)
    for key, value in kept[0].model.items():
        is_statistic = key.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert torch.equal(value, kept[1].model[key]) == is_statistic, key
    assert any(value.any() for key, value in kept[0].model.items() if key.endswith("running_mean"))


@pytest.mark.slow
def test_a_compiled_run_learns_the_same(train: Callable[..., Ended], tmp_path: Path) -> None:
    losses = {}
    for compiled in ("true", "false"):
        words = ("schedule.steps=4", "validation.every=2", "model.depth=1", "model.exposure=false")
        ended = train(f"compile={compiled}", f"runs={tmp_path}/{compiled}", *words)
        assert ended.code == 0, ended.err
        (file,) = (tmp_path / compiled).glob("*/metrics.jsonl")
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        losses[compiled] = [row["train/loss"] for row in rows if "train/loss" in row]
    assert losses["true"] == pytest.approx(losses["false"], rel=1e-3)
    assert len(losses["true"]) == 2  # before each of them, a compiled step


def test_without_a_compiler_compile_is_refused(tmp_path: Path, pairs_root: Path) -> None:
    words = ["data=lol_v1", f"data.root={pairs_root}", *TINY, "batch_size=4", "compile=true", f"runs={tmp_path}/runs"]
    environment = os.environ | {"CXX": "/nowhere/g++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    ended = subprocess.run(
        [sys.executable, "train.py", *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 2
    told = ended.stderr.strip().splitlines()[-1]
    assert "compile=true: torch.compile does not work here" in told
    assert "install a C++ compiler (g++), or leave compile=false" in told
    assert not (tmp_path / "runs").exists()


def test_same_seed_same_weights_and_another_seed_others(train: Callable[..., Ended], tmp_path: Path) -> None:
    states = []
    for number, seed in enumerate((5, 5, 6)):
        train(f"seed={seed}", f"runs={tmp_path}/runs-{number}")
        (file,) = (tmp_path / f"runs-{number}").glob("*/checkpoints/best.pt")
        states.append(checkpoint.load(file).model)
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not all(torch.equal(value, states[2][name]) for name, value in states[0].items())


def test_shards_train_as_folders_do(
    train: Callable[..., Ended], run_script: Callable[..., Ended], tmp_path: Path, pairs_root: Path
) -> None:
    """By one split they end in the same weights, and are scored without more words."""
    (tmp_path / "shards").mkdir()
    files = sorted((pairs_root / "our485").glob("*/*.png"))
    with tarfile.open(tmp_path / "shards" / "train.tar", "w") as tar:
        for file in sorted(files, key=lambda file: file.stem):
            tar.add(file, f"{file.stem}.{file.parent.name}.png")
    split = tmp_path / "split.csv"
    split.write_text("name,part\n" + "".join(f"{n},{'validation' if n > 5 else 'training'}\n" for n in range(8)))
    states = []
    for name, root in (("lol_v1", pairs_root), ("shards", tmp_path / "shards")):
        ended = train(f"data={name}", f"data.root={root}", f"data.split={split}", f"runs={tmp_path}/runs-{name}")
        assert ended.code == 0, ended.err
        (file,) = (tmp_path / f"runs-{name}").glob("*/checkpoints/last.pt")
        states.append(checkpoint.load(file).model)
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    scored = run_script("evaluate.py", f"runs={tmp_path}/runs-shards")
    assert (scored.code, "validation: 2 images" in scored.out) == (0, True), scored.err


def test_a_cache_of_decoded_images_changes_no_weight(train: Callable[..., Ended], tmp_path: Path) -> None:
    """Without one, with one that is filled and shared by workers, and with the one that is there."""
    states = []
    for number, words in enumerate(((), ("data.workers=2",), ())):
        cache = f"data.cache={tmp_path}/decoded" if number else "data.cache=null"
        ended = train(cache, *words, f"runs={tmp_path}/runs-{number}")
        assert ended.code == 0, ended.err
        (file,) = (tmp_path / f"runs-{number}").glob("*/checkpoints/last.pt")
        states.append(checkpoint.load(file).model)
    assert len(list((tmp_path / "decoded").glob("*/*"))) == 16
    for state in states[1:]:
        assert all(torch.equal(value, states[0][name]) for name, value in state.items())


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT to another process is POSIX's")
@pytest.mark.parametrize(
    ("words", "python"),
    [
        (("norm=brn", "model.exposure=false"), True),
        (("schedule.freeze_after=0.05", "model.exposure=false"), False),
        (("schedule.freeze_after=0.9", "model.exposure=false"), False),
        (("data.exposure_epochs=20", "data.exposure_crops=1"), False),  # the second U-Net learns for 30 of the 60 steps
        (("data.exposure_epochs=0.1", "data.exposure_crops=1", "checkpoint_activations=true"), False),
    ],
)
def test_ctrl_c_saves_and_the_resumed_run_ends_in_the_same_weights(
    train: Callable[..., Ended],
    begin: Callable[..., Begun],
    tmp_path: Path,
    pairs_root: Path,
    words: tuple[str, ...],
    python: bool,
) -> None:
    words = (*words, "schedule.steps=60", "validation.every=20", "accumulate=2", "batch_size=2", "threads=1")
    common = ["data=lol_v1", f"data.root={pairs_root}", *TINY, *words]
    process = begin("train.py", *common, f"runs={tmp_path}/stopped", python=python)
    process.await_line("step ")
    process.send(signal.SIGINT)
    ended = process.end()
    assert ended.code == 130
    (stopped,) = (tmp_path / "stopped").iterdir()
    assert f"python train.py resume={stopped}" in ended.out
    assert 0 < checkpoint.load(stopped / "checkpoints" / "last.pt").step < 60
    assert begin("train.py", f"resume={stopped}", python=python).end().code == 0
    assert train(*words, f"runs={tmp_path}/straight").code == 0
    (straight,) = (tmp_path / "straight").iterdir()
    for name in ("last", "best"):
        resumed, undisturbed = (checkpoint.load(run / "checkpoints" / f"{name}.pt") for run in (stopped, straight))
        assert resumed.step == undisturbed.step
        assert all(torch.equal(value, resumed.model[key]) for key, value in undisturbed.model.items())
        assert all(torch.equal(v, resumed.running_statistics[k]) for k, v in undisturbed.running_statistics.items())
    steps = [json.loads(line)["step"] for line in (stopped / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert len(json.loads((stopped / "provenance.json").read_text())) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of POSIX")
def test_a_closed_terminal_saves(tmp_path: Path, pairs_root: Path) -> None:
    import fcntl
    import pty
    import termios

    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 100))  # room for all that the bar says
    words = ["data=lol_v1", f"data.root={pairs_root}", *TINY, "batch_size=2", "schedule.steps=4000", "threads=1"]
    command = [sys.executable, "train.py", *words, f"runs={tmp_path}/runs"]

    def terminal_of_its_own() -> None:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup, under which the tests may run, hands its own way down
        fcntl.ioctl(its, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(command, cwd=ROOT, stdin=its, stdout=its, stderr=its, preexec_fn=terminal_of_its_own)
    os.close(its)
    said = b""
    while b"loss " not in said:
        said += os.read(ours, 1000)
    os.close(ours)  # the system sends SIGHUP, and what is printed from now on fails
    assert process.wait(timeout=60) == 143
    (run,) = (tmp_path / "runs").iterdir()
    assert 0 < checkpoint.load(run / "checkpoints" / "last.pt").step < 4000


@pytest.mark.parametrize(
    ("words", "warned"),
    [
        (("norm=bn", "accumulate=2"), True),
        (("norm=brn", "accumulate=2"), True),
        (("norm=sync_bn", "accumulate=2"), True),
        (("norm=bn", "accumulate=1"), False),
        (("norm=bn_ghost", "accumulate=2"), False),
        (("norm=bn_frozen", "accumulate=2"), False),
        (("norm=gn", "accumulate=2"), False),
    ],
)
def test_accumulation_is_not_taken_for_a_larger_batch(
    train: Callable[..., Ended], words: tuple[str, ...], warned: bool
) -> None:
    ended = train(*words, "batch_size=3")
    assert ended.code == 0, ended.err
    told = f"does not enlarge the batch of {words[0]}, which takes its statistics of batch_size=3"
    assert ended.out.count(told) == warned


@pytest.mark.parametrize(
    ("words", "warned"),
    [
        (("norm=bn", "batch_size=1"), True),
        (("norm=bn_ghost", "batch_size=1"), True),
        (("norm=bn", "batch_size=2"), False),
        (("norm=bn_frozen", "batch_size=1"), False),
        (("norm=gn", "batch_size=1"), False),
    ],
)
def test_batch_norm_of_one_image_is_warned_of(
    train: Callable[..., Ended], words: tuple[str, ...], warned: bool
) -> None:
    ended = train(*words)
    assert ended.code == 0, ended.err
    assert ended.out.count(f"warning: {words[0]} at batch_size=1 takes its statistics of one crop") == warned


def test_batch_renorm_hears_of_the_progress(train: Callable[..., Ended], tmp_path: Path) -> None:
    for name, words in {"open": (), "closed": ("norm.r_max=1", "norm.d_max=0")}.items():
        assert train("norm=brn", "schedule.steps=4", f"runs={tmp_path}/{name}", *words).code == 0
    models = [
        checkpoint.load(file).model
        for name in ("open", "closed")
        for file in (tmp_path / name).glob("*/checkpoints/best.pt")
    ]
    assert not all(torch.equal(value, models[1][key]) for key, value in models[0].items())


def test_what_cannot_be_resumed(train: Callable[..., Ended], tmp_path: Path, run_script: Callable[..., Ended]) -> None:
    train()
    run = only_run(tmp_path)
    complete = run_script("train.py", f"resume={run}")
    assert (complete.code, "is complete" in complete.err) == (2, True)
    changed = run_script("train.py", f"resume={run}", "norm=gn")
    assert (changed.code, "drop norm=gn" in changed.err) == (2, True)
    best = run_script("train.py", f"resume={run}/checkpoints/best.pt")
    assert (best.code, "give the run folder" in best.err) == (2, True)
    missing = run_script("train.py", f"resume={tmp_path}/nowhere")
    assert (missing.code, "nowhere" in missing.err) == (2, True)
    shutil.copy(run / "checkpoints" / "last.pt", tmp_path / "loose.pt")
    loose = run_script("train.py", f"resume={tmp_path}/loose.pt")
    assert (loose.code, "lies in no run folder" in loose.err) == (2, True)


@pytest.fixture
def interrupted(train: Callable[..., Ended], tmp_path: Path) -> Path:
    """A run whose last checkpoint says that it has steps to go."""
    train("schedule.steps=2")
    run = only_run(tmp_path)
    last = run / "checkpoints" / "last.pt"
    kept = checkpoint.load(last)
    kept.settings.schedule.steps = 4
    checkpoint.save(kept, last)
    return run


def test_changed_data_are_not_trained_on_in_silence(
    interrupted: Path, pairs_root: Path, run_script: Callable[..., Ended]
) -> None:
    for side in ("low", "high"):
        (pairs_root / "our485" / side / "2.png").unlink()
    ended = run_script("train.py", f"resume={interrupted}")
    assert (ended.code, "the images are not those of the run" in ended.err) == (2, True)


def test_a_run_goes_on_with_moved_data_and_from_another_folder(
    interrupted: Path,
    pairs_root: Path,
    tmp_path: Path,
    run_script: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs_root.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    ended = run_script("train.py", f"resume={interrupted}", "data.root=moved")
    assert ended.code == 0, ended.err
    kept = checkpoint.load(interrupted / "checkpoints" / "last.pt")
    assert (kept.step, kept.settings.data.root) == (4, str(tmp_path / "moved"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("norm=batch",), "norm=batch is unknown: choose one of bn, bn_"),
        (("model=huge",), "model=huge is unknown: choose one of unet, unet_exposed, unet_small, unet_tiny"),
        (("batchsize=4",), "batchsize is no setting: did you mean batch_size?"),
        (("+batchsize=4",), "batchsize is no setting: did you mean batch_size?"),
        (("++data.validation_shar=0.5",), "data.validation_shar is no setting: did you mean data.validation_share?"),
        (("~norm",), "~norm: a setting cannot be deleted; give it a value"),
        (("norm=bn", "norm.num_groups=4"), "norm.num_groups=4 is no option of norm=bn: it has "),
        (("norm=gn", "norm.num_groups=3"), "norm.num_groups=3 does not divide"),
        (("norm=bn_act", "model.activation=gelu"), "model.activation=gelu does not work with norm=bn_act: choose"),
        (("batch_size=0",), "batch_size=0 is too small"),
        (("optimizer.lr=fast",), "optimizer.lr: Value 'fast'"),
        (("precision=int8",), "precision=int8 is unknown: choose one of auto, fp32, bf16, fp16"),
        (("device=tpu",), "device=tpu"),
        (("schedule.epochs=3",), "schedule.steps and schedule.epochs"),
        (("batch_size=32",), "batch_size=32 is larger than the training set of 6 images"),
        (("batch_size=1", "data.crop=16", "model.depth=3"), "batch norm of 64 channels sees 1 value per channel"),
        (("data.crop=41",), "data.crop=41 is larger than 6 of 6 training images: 0 56x40"),
        (("data.root=/nowhere",), "/nowhere"),
        (("data.root=/a,b",), "data.root='/a,b'"),
        (("data.root=null",), "data.root=DIR"),
        (
            ("norm.track_running_stats=false", "schedule.freeze_after=0.8"),
            "schedule.freeze_after=0.8: norm=bn keeps no running",
        ),
        (("norm=gn", "schedule.freeze_after=0.8"), "schedule.freeze_after=0.8: norm=gn keeps no running"),
        (("schedule.freeze_after=1.5",), "schedule.freeze_after=1.5 is too large: it is at most 1"),
        (("norm=bn_ghost", "norm.virtual_batch=0"), "norm.virtual_batch=0 is too small: it is at least 1"),
        (("norm=brn", "norm.r_max=0.5"), "norm.r_max=0.5 is too small: it is at least 1"),
        (("norm.momentum=1.5",), "norm.momentum=1.5 is too large: it is at most 1"),
        (("optimizer.lr=nan",), "optimizer.lr=nan is not a finite number"),
        (("data.cache_gib=inf",), "data.cache_gib=inf is not a finite number"),
        (("schedule.steps=null", "schedule.epochs=0"), "schedule.epochs=0"),
        (("seed=99999999999999999999",), "seed"),
        (("name=a/b",), "name=a/b"),
        (("objective.l1=0", "objective.ssim=0"), "every weight of objective is 0"),
        (("schedule.warmup=2",), "schedule.warmup=2.0 is too large: it is at most 1"),
        (("compile=true", "checkpoint_activations=true"), "checkpoint_activations=true does not go with compile=true"),
        (("objective.l1=-1",), "objective.l1=-1.0 is too small"),
        (("objective.perceptual=1", "objective.vgg=nowhere.pth"), "nowhere.pth is missing: get it from https://"),
        (("data=photos", "data.root=tests", "data.val_root=tests"), "are one folder"),
        (("data=pairs", "data.root=null", "data.low=tests", "data.normal=tests"), "are one folder"),
    ],
)
def test_mistakes_are_told_before_the_first_step(
    train: Callable[..., Ended], tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    ended = train(*words)
    assert ended.code == 2
    assert told in ended.err
    assert len(ended.err.strip().splitlines()) <= 2, ended.err
    assert not (tmp_path / "runs").exists()


def test_a_start_does_not_wait_for_what_it_may_not_need() -> None:
    """Each takes a fifth of a second, or more, before the first word of a run or of a mistake."""
    told = (
        "import sys, train; print({'scipy.stats', 'skimage', 'pandas', 'matplotlib', 'torchvision'} & {*sys.modules})"
    )
    ended = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout == "set()\n", ended.stderr


def test_truncated_image_is_named(train: Callable[..., Ended], tmp_path: Path, pairs_root: Path) -> None:
    file = pairs_root / "our485" / "low" / "3.png"
    file.write_bytes(file.read_bytes()[:-200])
    ended = train()
    assert (ended.code, str(file) in ended.err) == (2, True)
    assert not (tmp_path / "runs").exists()


def test_pair_of_two_sizes_is_named(train: Callable[..., Ended], pairs_root: Path) -> None:
    file = pairs_root / "our485" / "low" / "3.png"
    Image.open(file).resize((40, 40)).save(file)
    ended = train()
    assert (ended.code, "3" in ended.err) == (2, True)


@pytest.mark.skipif(os.name == "nt", reason="POSIX file permissions")
def test_unwritable_run_folder(train: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = train(f"runs={tmp_path}/file/runs")
    assert ended.code == 2
    assert "cannot write a run folder" in ended.err


def test_diverging_run_is_told_and_keeps_its_checkpoints(train: Callable[..., Ended]) -> None:
    ended = train("optimizer.lr=1e30", "optimizer.clip=0", "schedule.steps=60", "schedule.warmup=0", "norm=none")
    assert ended.code == 2
    assert "lower optimizer.lr" in ended.err
    assert "checkpoints" not in ended.err  # none was written yet


def test_broken_images_are_refused_or_left_out_and_counted(
    train: Callable[..., Ended], tmp_path: Path, pairs_root: Path, run_script: Callable[..., Ended]
) -> None:
    broken = pairs_root / "our485" / "low" / "3.png"
    broken.write_bytes(broken.read_bytes()[:100])
    refused = train()
    assert (refused.code, refused.err.startswith(f"error: {broken}: ")) == (2, True)
    assert not (tmp_path / "runs").exists()
    ended = train("data.on_error=skip")
    assert ended.code == 0, ended.err
    assert f"1 image is left out: {broken}: " in ended.out
    run = only_run(tmp_path)
    names = json.loads((run / "validation" / "report.json").read_text())
    assert "1 image is left out" in names["warnings"][0]
    (provenance,) = json.loads((run / "provenance.json").read_text())
    assert provenance["training_images"] + len(provenance["validation_images"]) == 7
    assert "1 image is left out" in run_script("evaluate.py", f"checkpoint={run}").out
    for file in (pairs_root / "our485" / "low").iterdir():
        file.write_bytes(b"")
    none = train("data.on_error=skip")
    assert (none.code, "none of the images can be used" in none.err) == (2, True)


def test_resume_auto_goes_on_with_the_run_of_the_same_settings(
    train: Callable[..., Ended], tmp_path: Path, interrupted: Path
) -> None:
    """`interrupted` has two of four steps done."""
    (interrupted / "config.yaml").write_text(
        (interrupted / "config.yaml").read_text().replace("\n  steps: 2\n", "\n  steps: 4\n")
    )
    other = train("schedule.steps=4", "seed=1", "resume=auto")
    assert other.code == 0, other.err
    assert len(list((tmp_path / "runs").iterdir())) == 2
    ended = train("schedule.steps=4", "resume=auto")
    assert ended.code == 0, ended.err
    assert f"run folder {interrupted}" in ended.out
    assert checkpoint.load(interrupted / "checkpoints" / "last.pt").step == 4
    again = train("schedule.steps=4", "resume=auto")
    assert (again.code, "this run is complete" in again.out) == (0, True)
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_full_disk_can_be_gone_on_with(
    train: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first checkpoint finds a folder in its place, which no file can replace; the later ones find room."""

    def begun(settings: object, folder: Path | None = None) -> Path:
        made = create_run_folder(settings, folder)  # type: ignore[arg-type]
        (made / "checkpoints" / "best.pt").mkdir()
        return made

    monkeypatch.setattr("enhance.run.record.create_run_folder", begun)
    stopped = train("schedule.steps=4", "validation.every=2")
    assert (stopped.code, "best.pt: cannot be written" in stopped.err) == (2, True)
    shutil.rmtree(tmp_path / "runs")
    ended = train("schedule.steps=4", "validation.every=2", "on_full_disk=go_on")
    assert ended.code == 0, ended.err
    assert "warning: " in ended.out
    assert "best.pt could not be written" in ended.out
    kept = checkpoint.load(only_run(tmp_path) / "checkpoints" / "last.pt")
    assert kept.step == 4
    assert kept.trainer is not None
    assert kept.trainer["best"] == -math.inf  # of what best.pt holds, so that a run that goes on writes one


@pytest.mark.parametrize(
    ("precision", "told"),
    [("fp32", "the gradient of the last 20 steps is not finite at step"), ("fp16", "however small its scale, at step")],
)
def test_gradients_that_are_never_finite_end_the_run(
    train: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, precision: str, told: str
) -> None:
    """Of finite losses: in fp16 the scaler lowers its scale first, which here does not help."""
    true_loss = learner.training_loss

    def spoiled(*words: Any) -> Any:
        loss = true_loss(*words)

        def of_batch(low: torch.Tensor, normal: torch.Tensor) -> Any:
            found, parts = loss(low, normal)
            return found + (found - found.detach()).sqrt(), parts  # the slope of a root at 0

        return of_batch

    monkeypatch.setattr(learner, "training_loss", spoiled)
    ended = train(f"precision={precision}", "schedule.steps=60", "validation.every=60")
    assert ended.code == 2, ended.out
    assert told in ended.err
