"""`python scripts/enhance_video.py` on videos that are made here."""

import signal
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

HEIGHT, WIDTH, RATE = 48, 64, 25
SCRIPT = "scripts/enhance_video.py"


def chart(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Coloured squares, uint8 (H, W, 3)."""
    colours = np.random.default_rng(0).integers(10, 245, (3, 4, 3), dtype=np.uint8)
    return colours.repeat(-(-height // 3), 0).repeat(-(-width // 4), 1)[:height, :width]


def write_video(
    path: Path,
    count: int = 12,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    pixels: str = "yuv420p",
    ticks: list[int] | None = None,
    sound: bool = True,
    codec: str = "libx264",
    colour: tuple[int, int] = (1, 1),  # matrix and range, in ffmpeg's numbers: BT.709, limited
    rotation: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """A video of the dark chart; `ticks` are the frames' times in 1/90000 s."""
    dark = (chart(*size).astype(np.uint16) * 257 // 4).astype(np.uint16)
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as file:
        video = file.add_stream(codec, rate=RATE, options={"crf": "4"} | (options or {}))
        video.height, video.width, video.pix_fmt = *size, pixels
        video.codec_context.colorspace, video.codec_context.color_range = colour
        video.codec_context.time_base = Fraction(1, 90000)
        if rotation:
            video.set_display_rotation(rotation)
        if sound:
            audio = file.add_stream("aac", rate=44100)
        for number, tick in enumerate(ticks or [3600 * number for number in range(count)]):
            frame = av.VideoFrame.from_ndarray(dark + np.uint16(64 * number), format="rgb48le")
            frame.colorspace = colour[0]
            frame = frame.reformat(format=pixels, dst_color_range=colour[1])
            frame.pts, frame.time_base = tick, Fraction(1, 90000)
            file.mux(video.encode(frame))
        file.mux(video.encode())
        if sound:
            wave = np.sin(np.arange(1024) / 20, dtype=np.float32)[None].repeat(2, 0)
            for number in range(count * 44100 // RATE // 1024):
                part = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
                part.sample_rate, part.pts, part.time_base = 44100, 1024 * number, Fraction(1, 44100)
                file.mux(audio.encode(part))
            file.mux(audio.encode())
    return path


class Read:
    """What a player finds in a video."""

    def __init__(self, path: Path) -> None:
        with av.open(str(path)) as file:
            video = file.streams.video[0]
            self.codec, self.rate = video.codec_context.name, video.average_rate
            self.frames = list(file.decode(video))
            self.times = [round(float(frame.time), 3) for frame in self.frames]
            self.size = (self.frames[0].height, self.frames[0].width)
            self.rotation, self.pixels = self.frames[0].rotation, self.frames[0].format.name
            self.colour = (self.frames[0].colorspace, self.frames[0].color_range)
            self.tags = dict(file.metadata)
        with av.open(str(path)) as file:
            self.sound = [bytes(packet) for packet in file.demux() if packet.stream.type == "audio" and packet.size]

    def rgb(self, number: int = 0) -> np.ndarray:
        """(H, W, 3), in 255ths."""
        frame = self.frames[number].reformat(format="gbrpf32le")
        return np.asarray(frame.to_ndarray()) * 255


@pytest.fixture
def enhance(run_script: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: run_script(SCRIPT, *arguments, "--device", "cpu")


def test_a_video_keeps_sound_size_times_and_turn(begin, make_run, tmp_path: Path) -> None:
    source, out = write_video(tmp_path / "in.mp4", rotation=-90), tmp_path / "new" / "out.mp4"
    ended = begin(SCRIPT, str(make_run()), str(source), str(out), "--device", "cpu").end()
    assert (ended.code, ended.err) == (0, "")
    assert "out.mp4: 12 frames; copied: audio" in ended.out
    assert "frames/s" in ended.out
    before, after = Read(source), Read(out)
    assert (after.size, after.times, after.rate, after.rotation) == ((HEIGHT, WIDTH), before.times, RATE, -90)
    assert (after.codec, after.pixels, after.colour) == ("h264", "yuv420p", before.colour)
    assert len(after.sound) > 15
    assert after.sound == before.sound
    assert np.abs(after.rgb() - before.rgb()).mean() > 2
    assert [path.name for path in out.parent.iterdir()] == ["out.mp4"]


COLOURS = {
    "limited": {},
    "full": {"colour": (1, 2)},
    "bt601": {"colour": (6, 1)},
    "bt2020": {"colour": (9, 1), "pixels": "yuv420p10le"},
    "untold": {"colour": (2, 0)},
    "10 bits": {"pixels": "yuv420p10le"},
    "10 bits, full": {"pixels": "yuv420p10le", "colour": (1, 2)},
    "4:4:4": {"pixels": "yuv444p"},
    "odd": {"size": (47, 63), "pixels": "yuv444p"},
}


@pytest.mark.parametrize("kind", COLOURS)
def test_colours_come_back_as_they_were(enhance, make_run, tmp_path: Path, kind: str) -> None:
    source = write_video(tmp_path / "in.mkv", count=2, sound=False, **COLOURS[kind])
    assert enhance(make_run(), source, tmp_path / "out.mkv", "--strength", "0").code == 0
    before, after = Read(source), Read(tmp_path / "out.mkv")
    assert (after.colour, after.size) == (before.colour, before.size)
    full = after.colour[1] == 2
    assert after.pixels == ("yuv444p" if kind == "odd" else "yuvj420p" if full else "yuv420p")
    squares = np.abs(after.rgb() - before.rgb())[8::16, 8::16]
    assert squares.mean() < 1.5
    assert squares.max() < 4


def test_variable_frame_rate_and_other_containers(enhance, make_run, tmp_path: Path) -> None:
    ticks = [3600 * number for number in (0, 1, 2, 5, 6, 14, 15, 25)]
    source, run = write_video(tmp_path / "in.mkv", ticks=ticks), make_run()
    before = Read(source)
    for name in ("out.mp4", "out.mkv", "out.mov", "out.ts", "out.flv"):
        ended = enhance(run, source, tmp_path / name)
        assert ended.code == 0, ended.err
        after = Read(tmp_path / name)
        assert np.diff(after.times) == pytest.approx(np.diff(before.times), abs=0.002), name
        assert len(after.sound) == len(before.sound)
    silent = write_video(tmp_path / "silent.mp4", count=3, sound=False)
    assert enhance(run, silent, tmp_path / "out.webm").code == 0
    assert Read(tmp_path / "out.webm").codec == "vp9"


def test_parts_and_each_nth_frame(enhance, make_run, tmp_path: Path) -> None:
    source, run = write_video(tmp_path / "in.mp4", count=25), make_run()
    assert enhance(run, source, tmp_path / "every.mp4", "--every", "3").code == 0
    every = Read(tmp_path / "every.mp4")
    assert (every.times, len(every.sound)) == (Read(source).times[::3], len(Read(source).sound))
    assert float(every.rate) == pytest.approx(RATE / 3, rel=0.02)
    assert enhance(run, source, tmp_path / "part.mp4", "--from", "0.4", "--to", "0.8").code == 0
    part = Read(tmp_path / "part.mp4")
    assert part.times == [round(number / RATE, 3) for number in range(10)]
    assert 15 <= len(part.sound) <= 19
    assert part.sound[5] in Read(source).sound
    nothing = enhance(run, source, tmp_path / "none.mp4", "--from", "5")
    assert nothing.code == 2
    assert "no frame --from 5" in nothing.err
    assert not (tmp_path / "none.mp4").exists()


def test_ctrl_c_leaves_a_playable_file(begin, make_run, tmp_path: Path) -> None:
    source, out = write_video(tmp_path / "in.mp4", count=300), tmp_path / "out.mp4"
    begun = begin(SCRIPT, str(make_run()), str(source), str(out), "--device", "cpu")
    while begun.code() is None and not (written := tmp_path / ".out.mp4.tmp").exists():
        pass
    begun.send(signal.SIGINT)
    ended = begun.end()
    assert ended.code == 130
    assert "interrupted" in ended.err
    assert not written.exists()
    after = Read(out)
    assert 0 < len(after.frames) < 300
    assert f"{len(after.frames)} frames" in ended.out


def test_what_is_damaged_or_cut_off_is_told_and_the_rest_kept(enhance, make_run, tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", count=60, sound=False, options={"g": "10"})
    run, whole = make_run(), bytearray(source.read_bytes())
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    ended = enhance(run, tmp_path / "cut.mp4", tmp_path / "half.mp4")
    assert ended.code == 2
    assert "cut.mp4" in ended.err
    assert "the file is cut off" in ended.err
    assert 20 < len(Read(tmp_path / "half.mp4").frames) < 60
    start = len(whole) // 2
    whole[start : start + 300] = np.random.default_rng(0).bytes(300)
    (tmp_path / "bad.mp4").write_bytes(whole)
    ended = enhance(run, tmp_path / "bad.mp4", tmp_path / "most.mp4")
    assert ended.code == 2
    assert "damaged frames, the first at" in ended.err
    assert 50 < len(Read(tmp_path / "most.mp4").frames) <= 60


def test_mistakes_are_told_and_write_nothing(
    enhance, make_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, source = make_run(), write_video(tmp_path / "in.mp4", count=3)
    turned = write_video(tmp_path / "turned.mp4", count=3, rotation=90)
    (tmp_path / "note.txt").write_text("no video")
    (tmp_path / "there.mp4").write_text("mine")
    sound = tmp_path / "sound.m4a"
    with av.open(str(source)) as file, av.open(str(sound), "w", format="mp4") as alone:
        copy = alone.add_stream_from_template(file.streams.audio[0])
        for packet in file.demux(file.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = copy
                alone.mux(packet)
    out = tmp_path / "out.mp4"
    Image.new("RGB", (32, 32)).save(tmp_path / "photo.png")
    wrong: dict[str, tuple[Path | str, ...]] = {
        "no such video": (tmp_path / "nowhere.mp4", out),
        "cannot be read as a video": (tmp_path / "note.txt", out),
        "a photograph": (tmp_path / "photo.png", out),
        "no video in this file, only audio": (sound, out),
        "already there": (source, tmp_path / "there.mp4"),
        "would replace the video itself": (source, source, "--overwrite"),
        "out.xyz: this kind of file is not written": (source, tmp_path / "out.xyz"),
        "out.avi: this kind of file is not written": (source, tmp_path / "out.avi"),
        "cannot say that the video is turned": (turned, tmp_path / "out.ts"),
        "cannot hold the video's sound (aac)": (source, tmp_path / "out.webm"),
        "--every 0": (source, out, "--every", "0"),
        "--from 2 --to 1": (source, out, "--from", "2", "--to", "1"),
        "--strength 2": (source, out, "--strength", "2"),
        "brightness 3": (source, out, "--brightness", "3"),
    }
    before = sorted(tmp_path.iterdir())
    for message, arguments in wrong.items():
        ended = enhance(run, *arguments)
        assert (ended.code, len(ended.err.splitlines())) == (2, 1), ended.err
        assert message in ended.err
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "there.mp4").read_text() == "mine"
    assert enhance(run, source, tmp_path / "there.mp4", "--overwrite", "--brightness", "-1EV").code == 0
    assert len(Read(tmp_path / "there.mp4").frames) == 3
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "enhance.inference.video", raising=False)
    monkeypatch.delitem(sys.modules, "enhance.inference.video_file", raising=False)
    ended = enhance(run, source, out)
    assert ended.code == 2
    assert "av is missing: pip install -e '.[video]'" in ended.err
