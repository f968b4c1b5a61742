"""Decoded images in a folder: the same pixels, read again, never stale, never half-written."""

import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance.data import cache as cache_module
from enhance.data.batches import training_batches
from enhance.data.cache import DecodedFolder, OpenedImage, open_images
from enhance.data.images import list_images, read_image
from enhance.data.open import open_data
from enhance.data.scenes import perceptual_hash
from enhance.settings.schema import DataSettings

WriteFolder = Callable[..., Path]
Start = Callable[..., BaseProcess]
# A forked process has imported torch already; Windows has none.
FORK = multiprocessing.get_context("spawn" if sys.platform == "win32" else "fork")
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def photos(write_folder: WriteFolder) -> list[Path]:
    return list_images(write_folder("photos", [f"{number}.png" for number in range(6)]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "decoded"


def opened(photos: list[Path], folder: Path, gib: float = 0.0) -> list[OpenedImage]:
    return list(open_images(photos, gib, str(folder)).values())


def decoded_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.npy"))


def check(images: list[OpenedImage], photos: list[Path]) -> None:
    """They are what decoding gives."""
    assert [image.name for image in images] == [photo.name for photo in photos]
    for image, photo in zip(images, photos, strict=True):
        pixels = read_image(photo)
        np.testing.assert_array_equal(image.pixels(), pixels)
        np.testing.assert_array_equal(image.hash, perceptual_hash(pixels))
        assert image.size == pixels.shape[:2]


def test_images_are_decoded_once(photos: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(opened(photos[:4], folder), photos[:4])
    check(opened(photos, folder), photos)  # four read, two decoded
    monkeypatch.setattr(cache_module, "read_image", lambda path: pytest.fail(f"{path} decoded again"))
    images = opened(photos, folder)
    assert all(image.mapped is not None for image in images)
    check(images, photos)


def test_a_changed_image_is_seen(photos: list[Path], folder: Path) -> None:
    opened(photos, folder)
    before = photos[0].stat()
    Image.fromarray(255 - read_image(photos[0])).save(photos[0])  # of the same size in pixels
    assert photos[0].stat().st_mtime_ns != before.st_mtime_ns
    photos[1].write_bytes(photos[2].read_bytes())
    check(opened(photos, folder), photos)


def test_a_damaged_file_is_written_anew(photos: list[Path], folder: Path) -> None:
    opened(photos, folder)
    for file, length in zip(decoded_files(folder), (0, 10, 1000), strict=False):
        os.truncate(file, length)
    check(opened(photos, folder), photos)
    assert {file.stat().st_size for file in decoded_files(folder)} == {128 + 40 * 56 * 3 + 63}


def test_the_folder_may_go_while_it_is_used(photos: list[Path], folder: Path) -> None:
    images = opened(photos, folder)
    for file in decoded_files(folder):
        file.unlink()
    check(images, photos)


def test_a_folder_that_cannot_be_written(
    photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    check(opened(photos, tmp_path / "file" / "decoded", gib=1.0), photos)
    assert "warning: data.cache=" in capsys.readouterr().out


@pytest.fixture
def start() -> Iterator[Start]:
    """Run a function in a process of its own, at whose end it has exit code 0; ends those that still run."""
    processes = []

    def run(task: Callable[..., object], *arguments: object, context: BaseContext = FORK) -> BaseProcess:
        process = context.Process(target=task, args=arguments)
        process.start()
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.join()


def ended(process: BaseProcess) -> int | None:
    process.join(timeout=60)
    return process.exitcode


def limited_in_size(photos: list[Path], folder: Path) -> None:
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    opened(photos, folder)


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of the size of files is POSIX's")
def test_a_full_disk(photos: list[Path], folder: Path, start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    """A limit of a file's size, which the system reports as it does a full disk; the last two photographs exceed it.
    Photographs are opened side by side: what comes behind the first that fails is not tried."""
    for photo in photos[4:]:
        Image.open(photo).resize((200, 200)).save(photo)
    assert ended(start(limited_in_size, photos, folder)) == 0
    assert "cannot be written (File too large)" in capfd.readouterr().out
    assert 1 <= len(decoded_files(folder)) <= 4
    assert not list(folder.glob("*/.*.tmp"))
    check(opened(photos, folder), photos)
    assert len(decoded_files(folder)) == 6


def test_three_processes_at_once(write_folder: WriteFolder, folder: Path, start: Start) -> None:
    photos = list_images(write_folder("many", [f"{number}.png" for number in range(100)]))
    assert [ended(process) for process in [start(opened, photos, folder) for _ in range(3)]] == [0, 0, 0]
    assert len(decoded_files(folder)) == 100
    check(opened(photos, folder), photos)


def hold_lock(folder: Path, locked: Event) -> None:
    with DecodedFolder(folder).building():
        locked.set()
        time.sleep(600)


def test_the_second_process_waits_for_the_first_and_its_death(
    photos: list[Path], folder: Path, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    locked = FORK.Event()
    first = start(hold_lock, folder, locked)
    assert locked.wait(timeout=60)
    second = start(opened, photos, folder)
    output = ""
    while "waiting for another process" not in output:
        assert second.is_alive()
        output += capfd.readouterr().out
    assert not decoded_files(folder)
    first.kill()
    assert ended(second) == 0
    assert len(decoded_files(folder)) == 6


def test_a_killed_builder(write_folder: WriteFolder, folder: Path, start: Start) -> None:
    photos = list_images(write_folder("many", [f"{number}.png" for number in range(300)]))
    process = start(opened, photos, folder)
    while len(decoded_files(folder)) < 20:
        assert process.is_alive()
    process.kill()
    process.join()
    assert 20 <= len(decoded_files(folder)) < 300
    check(opened(photos, folder), photos)
    assert not list(folder.glob("*/.*.tmp"))  # those that the killed one left are written over


def stream(data: DataSettings) -> None:
    import resource

    used = re.search(r"VmData:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert used is not None
    limit = (int(used[1]) << 10) + (80 << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    source = open_data(data).training
    assert sum(len(low) for low, _ in training_batches(source, 64, 4, 0, 20, seed=0, workers=0)) == 80


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of what a process holds by itself is Linux's")
def test_data_larger_than_memory(tmp_path: Path, folder: Path, start: Start) -> None:
    """123 MB decoded, and processes that may hold 84 MB more than they do at their start. They are new ones: a forked
    one would use what earlier tests have freed."""
    for side, shade in (("low", 1), ("normal", 4)):
        (tmp_path / side).mkdir()
        for number in range(32):
            coarse = np.random.default_rng(number).integers(0, 60, (4, 4, 3), dtype=np.uint8) * np.uint8(shade)
            Image.fromarray(coarse).resize((800, 800), Image.Resampling.NEAREST).save(tmp_path / side / f"{number}.png")
    data = DataSettings(name="pairs", root=str(tmp_path), cache_gib=1.0)
    assert ended(start(stream, data, context=SPAWN)) != 0  # in memory they do not fit
    data.cache = str(folder)
    assert [ended(start(stream, data, context=SPAWN)) for _ in range(2)] == [0, 0]  # decoding them, and finding them


def test_a_missing_image_is_not_read(photos: list[Path], folder: Path) -> None:
    opened(photos, folder)
    photos[0].unlink()
    assert DecodedFolder(folder).read(photos[0]) is None
