"""Videos as files: frames that come and go one by one, in the colours, and at the times, of the file that was read."""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import torch
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from av.video.stream import VideoStream
from torch import Tensor

from enhance.errors import DataError, SettingsError

_EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
_SHARP = Interpolation.BILINEAR | _EXACT
_RGB = "gbrpf32le"  # swscale's conversion to 48 bits is wrong with these flags
# Of constant quality.
_OPTIONS = {
    "libx264": {"crf": "18"},
    "libvpx-vp9": {"crf": "24", "b": "0", "row-mt": "1", "cpu-used": "4"},
}
# By ffmpeg's name of a container. AVI and the like are not among them: they store no times.
_TURNING = ("mp4", "mov", "ipod", "matroska", "webm")  # store a rotation
_CODECS = dict.fromkeys((*_TURNING, "mpegts", "flv"), "libx264") | {"webm": "libvpx-vp9"}
_GREY = (0.299, 0.587, 0.114)  # as `mean_grey`
_INTERLEAVED = 2.0  # seconds by which sound may lie behind the frames in a file
_SHORT = 0.5  # seconds that may lack at the end of a whole file


@dataclass(frozen=True)
class Part:
    """Each `every`-th of the frames from `start` to before `end`, in seconds of the video."""

    every: int = 1
    start: Fraction = Fraction(0)
    end: Fraction | float = math.inf

    @classmethod
    def of(cls, every: int, start: float, end: float) -> "Part":
        """Of seconds as they are typed: 0.4 is 2/5."""
        if not math.isfinite(start):
            raise SettingsError(f"--from {start} is out of range: give seconds")
        return cls(every, Fraction(str(start)), Fraction(str(end)) if math.isfinite(end) else end)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise SettingsError(f"--every {self.every} is out of range: it is 1 or more")
        if not 0 <= self.start < self.end:
            raise SettingsError(f"{self}: give seconds of the video, the second ones later than the first")

    def __str__(self) -> str:
        return f"--from {float(self.start):g} --to {float(self.end):g}"


def container_of(target: Path) -> str:
    """The container that a file name means, by ffmpeg's name. Raises `SettingsError` where it is not for videos."""
    try:
        name = av.open(str(target), "w").format.name  # writes nothing yet
    except ValueError:
        name = ""
    if name not in _CODECS:
        raise SettingsError(f"{target}: this kind of file is not written; call it .mp4, .mov, .mkv, .webm or .ts")
    return name


class VideoReader:
    """A video file; and what was found wrong with it, `faults`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._damaged = 0
        self._first_damaged = 0.0
        self._faults: list[str] = []
        try:
            self.container: InputContainer = av.open(str(path), metadata_errors="replace")
        except FFmpegError as error:
            reason = f"cannot be read as a video ({error.strerror})"
            raise DataError(f"{path}: {reason}; it is damaged, cut off, or no video") from error
        if self.container.format.name.endswith("_pipe"):
            raise DataError(f"{path}: a photograph; give it to enhance_photos")
        streams = [each for each in self.container.streams.video if not each.disposition & Disposition.attached_pic]
        if not streams:
            raise DataError(f"{path}: no video in this file, only {_kinds(list(self.container.streams))}")
        self.stream: VideoStream = streams[0]
        if self.stream.codec_context is None or not self.stream.codec_context.width:
            raise DataError(f"{path}: its frames cannot be decoded; convert it to H.264 first")
        self.start = Fraction(self.container.start_time or 0, av.time_base)  # seconds

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    @property
    def rate(self) -> Fraction:
        """Frames a second."""
        return self.stream.average_rate or self.stream.guessed_rate or Fraction(25)

    @property
    def faults(self) -> list[str]:
        damaged = f"{self._damaged} damaged frames, the first at {self._first_damaged:.2f} s"
        return [damaged] * bool(self._damaged) + self._faults

    def others(self) -> list[Stream]:
        """All streams but the video."""
        return [each for each in self.container.streams if each.index != self.stream.index]

    def _duration(self) -> float | None:
        """Seconds, as the file says."""
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        return self.container.duration / av.time_base if self.container.duration else None

    def expected_frames(self, part: Part) -> int | None:
        duration = self._duration()
        if duration is None:
            return None
        return math.ceil(max(0.0, min(part.end, duration) - part.start) * self.rate / part.every)

    def read(self, part: Part, copied: list[Stream]) -> Iterator[VideoFrame | Packet]:
        """Frames, all with timestamps, and the packets of other streams, as they come."""
        start, end = self.start + part.start, self.start + part.end
        if part.start:
            self.container.seek(int(start * av.time_base))
        packets = self.container.demux(self.stream, *copied)
        count, time, reached = 0, self.start, float(self.start)
        complete, size = False, None
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError as error:
                self._faults.append(f"cannot be read beyond {reached - self.start:.2f} s ({error.strerror})")
                return
            if packet is None:
                break
            if packet.dts is not None:
                at = float((max(packet.pts or 0, packet.dts) + (packet.duration or 0)) * packet.time_base)
                if packet.stream_index == self.stream.index or not self.stream.duration:
                    reached = max(reached, at)
                if complete and (not copied or at > end + _INTERLEAVED):
                    return
            if packet.stream_index != self.stream.index:
                # A coder's first packets may lie before the beginning.
                if packet.dts is not None and (not part.start or packet.dts * packet.time_base >= start) and at < end:
                    yield packet
                continue
            if complete:
                continue
            for frame in self._decode(packet, time):
                step = 1 / self.rate
                if frame.pts is None or frame.time_base is None:
                    frame.time_base = self.stream.time_base or step
                    frame.pts = round((time + step) / frame.time_base)
                time = frame.pts * frame.time_base
                if time >= end:
                    complete = True
                    break
                if time < start:
                    continue
                if (frame.width, frame.height) != (size := size or (frame.width, frame.height)):
                    self._faults.append(f"the size of the frames changes at {time - self.start:.2f} s")
                    return
                if count % part.every == 0:
                    yield frame
                count += 1
        duration = self._duration()
        if not complete and duration is not None and reached - self.start < duration - _SHORT:
            self._faults.append(f"ends after {reached - self.start:.2f} of {duration:.2f} s: the file is cut off")

    def _decode(self, packet: Packet, time: Fraction) -> list[VideoFrame]:
        """What a packet gives; a decoder puts together what it can of a damaged frame, or gives none."""
        try:
            frames: list[VideoFrame] = packet.decode()
        except FFmpegError:
            frames, damaged = [], 1
        else:
            damaged = packet.is_corrupt or any(frame.is_corrupt for frame in frames)
        if damaged and not self._damaged:
            self._first_damaged = float(time - self.start)
        self._damaged += damaged
        return frames


def streams_to_copy(reader: VideoReader, target: Path) -> list[Stream]:
    """The streams besides the video that the target's kind of file can hold. Raises `SettingsError` where sound is not
    among them."""
    name = container_of(target)
    copied = []
    for stream in reader.others():
        try:
            with av.open(io.BytesIO(), "w", format=name) as trial:
                trial.add_stream_from_template(stream, opaque=True)
                trial.start_encoding()
        except (ValueError, FFmpegError):
            if stream.type == "audio" and stream.codec_context is not None:
                what = f"this kind of file cannot hold the video's sound ({stream.codec_context.name})"
                raise SettingsError(f"{target}: {what}; call it .mkv") from None
            print(f"{reader.path}: {_kinds([stream])} cannot be copied into {target.name} and is left out")
            continue
        copied.append(stream)
    return copied


def _kinds(streams: list[Stream]) -> str:
    return ", ".join(stream.type for stream in streams) or "nothing"


class VideoWriter:
    """A video file that takes enhanced frames, which look as the first frame says, and packets of copied streams."""

    def __init__(
        self, file: Path, target: Path, reader: VideoReader, first: VideoFrame, copied: list[Stream], part: Part
    ) -> None:
        name = container_of(target)
        codec = _CODECS[name]
        rate = Fraction(reader.rate / part.every).limit_denominator(2**16)
        self._shift = reader.start + part.start if part.start else Fraction(0)
        self._next: int | None = None
        self._space = _Space.of(first)
        odd = first.width % 2 or first.height % 2
        self._pixels = "yuv444p" if odd else "yuv420p"
        self._container: OutputContainer = av.open(str(file), "w", format=name)
        self._video = cast(VideoStream, self._container.add_stream(codec, rate=rate, options=dict(_OPTIONS[codec])))
        self._video.width, self._video.height, self._video.pix_fmt = first.width, first.height, self._pixels
        context: Any = self._video.codec_context
        context.time_base = reader.stream.time_base or 1 / rate
        self._time_base = context.time_base
        if (ratio := reader.stream.sample_aspect_ratio) is not None:
            context.sample_aspect_ratio = ratio
        context.colorspace, context.color_range = self._space.matrix, self._space.range
        context.color_primaries, context.color_trc = self._space.primaries, self._space.transfer
        side_data: Any = first.side_data
        if matrix := side_data.get("DISPLAYMATRIX"):
            if name not in _TURNING:
                raise SettingsError(f"{target}: this kind of file cannot say that the video is turned; call it .mp4")
            self._video.set_display_matrix(np.frombuffer(bytes(matrix), np.int32).tolist())
        told = reader.stream.metadata
        self._video.metadata.update({name: told[name] for name in ("language", "title") if name in told})
        self._copies = {each.index: self._copy_of(each) for each in copied}
        self._container.metadata.update(reader.container.metadata)
        if part == Part(part.every):
            self._container.set_chapters(reader.container.chapters())
        try:
            self._container.start_encoding()
        except FFmpegError as error:
            what = f"this kind of file cannot hold the video ({error.strerror})"
            raise SettingsError(f"{target}: {what}; call it .mp4 or .mkv") from error

    def _copy_of(self, stream: Stream) -> Stream:
        copy = self._container.add_stream_from_template(stream, opaque=True)
        copy.metadata.update(stream.metadata)
        copy.disposition = stream.disposition
        return copy

    def write(self, frame: VideoFrame, image: Tensor) -> None:
        """The image (C, H, W) in [0, 1], at the time of the frame that it comes from."""
        array = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
        written = VideoFrame.from_ndarray(array, format=_RGB)
        written.colorspace = self._space.matrix
        written = written.reformat(
            format=self._pixels, interpolation=_SHARP, dst_color_range=self._space.range or ColorRange.MPEG
        )
        written.colorspace, written.color_range = self._space.matrix, self._space.range
        assert frame.pts is not None
        assert frame.time_base is not None
        time = round((frame.pts * frame.time_base - self._shift) / self._time_base)
        # No two frames at one time, which broken files have.
        written.pts = time if self._next is None else max(time, self._next)
        self._next = written.pts + 1
        written.time_base = self._time_base
        self._container.mux(self._video.encode(written))

    def copy(self, packet: Packet) -> None:
        shift = round(self._shift / packet.time_base)
        packet.dts = None if packet.dts is None else packet.dts - shift
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.stream = self._copies[packet.stream_index]
        self._container.mux(packet)

    def close(self) -> None:
        self._container.mux(self._video.encode())
        self._container.close()


@dataclass(frozen=True)
class _Space:
    """What the numbers of a video's frames mean, in ffmpeg's numbering: as those of the source, for players guess in
    the same way what neither says."""

    matrix: int
    range: int
    primaries: int
    transfer: int

    @classmethod
    def of(cls, frame: VideoFrame) -> "_Space":
        if frame.format.is_rgb:
            return cls(Colorspace.ITU709, ColorRange.MPEG, ColorPrimaries.BT709, ColorTrc.IEC61966_2_1)
        full = frame.format.name.startswith("yuvj")
        kind = ColorRange.JPEG if full else frame.color_range
        return cls(frame.colorspace, kind, frame.color_primaries, frame.color_trc)


def to_image(frame: VideoFrame, channels: int) -> Tensor:
    """(C, H, W), float32 in [0, 1]."""
    array = frame.reformat(format=_RGB, interpolation=_SHARP).to_ndarray()
    image = torch.from_numpy(array).permute(2, 0, 1).clamp(0, 1)
    if channels == 1:
        return (image * image.new_tensor(_GREY).view(3, 1, 1)).sum(0, keepdim=True)
    return image.contiguous()
