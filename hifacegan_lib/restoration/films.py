"""Films by FFmpeg (PyAV): each frame is drawn anew, and all else stays: size, timestamps, sound, metadata.

    packets -> video frames -> upright RGB -> draw -> H.264, with the frame's own timestamp
            -> sound: copied, or encoded as AAC where MP4 cannot hold it

Reading, drawing and writing overlap, each in a thread of its own, a few frames apart. All differences from the source
are listed.
"""

import io
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from hifacegan_lib.utils import files
from hifacegan_lib.utils.images import Pixels

SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"})
AHEAD = 4  # frames that reading is before drawing, and drawing before writing
_X264 = {"crf": "17", "bf": "0", "preset": "veryfast"}  # hardly visible losses; no frame before its time
_SLACK = 2  # frames by which a whole film may end before its header says
Draw = Callable[[Iterator[Pixels]], Iterator[Pixels]]
T = TypeVar("T")


class Written(NamedTuple):
    """A film that was written.

    Attributes:
        frames: drawn and written.
        differs: how the film differs from its source beside the drawing, in sentences.
    """

    frames: int
    differs: tuple[str, ...]


def ahead(items: Iterator[T], count: int = AHEAD) -> Iterator[T]:
    """The same items, of which up to ``count`` are made before they are asked for, in a thread.

    Raises:
        The errors of ``items``, in their places.
    """
    end: Any = object()
    pool = ThreadPoolExecutor(1)
    try:
        waiting = deque(pool.submit(next, items, end) for _ in range(count))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, items, end))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)


def redraw(source: Path, out: Path, draw: Draw, progress: Callable[[int, int], object] = lambda *_: None) -> Written:
    """Write a film into ``out``, an .mp4, with each frame drawn anew.

    Args:
        draw: upright frames, uint8 RGB, H x W x 3, which may be changed in place -> the frames that are written, in
            the same number and order. It runs in a thread and may take some frames before it gives one.
        progress: gets the frames done and the frames there are (0: unknown), which is a guess for some formats.
    Raises:
        FileNotFoundError: no such film. ValueError: it cannot be decoded.
    """
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such film")
    try:
        with av.open(str(source)) as film:
            first = next(film.decode(video=0))
    except (av.FFmpegError, IndexError, StopIteration):
        raise ValueError(f"{source}: not a film that can be decoded") from None
    with files.atomic(out) as partial:
        with (
            av.open(str(source)) as film,
            av.open(str(partial), "w", format="mp4", options={"movflags": "faststart"}) as target,
        ):
            written = _Copy(film, target, first, draw, progress).run()
        with av.open(str(partial)) as made:
            frames = made.streams.video[0].frames
    if frames != written.frames:
        raise ValueError(f"{out}: {frames} frames were written of {written.frames}")
    return written


class _Copy:
    """The copy of one film into another."""

    def __init__(
        self,
        film: InputContainer,
        target: OutputContainer,
        first: VideoFrame,
        draw: Draw,
        progress: Callable[[int, int], object],
    ) -> None:
        self.film, self.target, self.draw, self.progress = film, target, draw, progress
        self.video: VideoStream = film.streams.video[0]
        self.frames, self.unread, self.end = 0, 0, Fraction(0)
        self.last: int | None = None
        self.moved = 0  # frames whose time does not come after that of the frame before
        self.lengths: dict[int | None, int] = {}
        self.timed: deque[VideoFrame] = deque()  # frames that are being drawn, for their times
        self.heard: deque[Any] = deque()  # packets of sound that were read meanwhile
        self.differs = _changed_by_format(first)
        self.colours = first.colorspace
        self.drawn = self._video_stream(first)
        self.sounds: dict[int, tuple[Any, bool]] = {}  # index -> stream of the target; it is copied
        self._sound_streams()
        target.metadata.update(film.metadata)
        target.set_chapters(film.chapters())

    def _video_stream(self, first: VideoFrame) -> VideoStream:
        height, width = _upright(first).shape[:2]
        rate = self.video.average_rate or self.video.guessed_rate or Fraction(25)
        made: VideoStream = self.target.add_stream("h264", rate=rate, options=_X264)
        made.width, made.height = width + width % 2, height + height % 2
        if (made.width, made.height) != (width, height):
            self.differs.append(f"{width} x {height} became {made.width} x {made.height}: H.264 has even sides")
        made.pix_fmt = "yuv420p"
        base = self.video.time_base or 1 / Fraction(rate)
        made.time_base = made.codec_context.time_base = base
        ours, theirs = made.codec_context, self.video.codec_context
        ours.color_range = ColorRange.MPEG
        for name in ("colorspace", "color_primaries", "color_trc"):
            setattr(ours, name, getattr(theirs, name))
        shape = self.video.sample_aspect_ratio
        if shape:
            ours.sample_aspect_ratio = 1 / shape if first.rotation % 180 else shape
        return made

    def _sound_streams(self) -> None:
        for stream in self.film.streams:
            if stream.index == self.video.index:
                continue
            if not isinstance(stream, AudioStream):
                self.differs.append(f"a stream of {stream.type} is not kept")
                continue
            copied = _fits_mp4(stream)
            if copied:
                made = self.target.add_stream_from_template(stream)
            else:
                made = self.target.add_stream("aac", rate=stream.rate)
                made.codec_context.layout = stream.layout
                self.differs.append(f"sound was encoded anew as AAC: MP4 cannot hold {stream.codec_context.name}")
            made.metadata.update(stream.metadata)
            self.sounds[stream.index] = made, copied

    def run(self) -> Written:
        for pixels in ahead(self.draw(ahead(self._frames()))):
            self._sound()
            self._write(pixels, self.timed.popleft())
        self._sound()
        for made, copied in self.sounds.values():
            if not copied:
                self.target.mux(made.encode(None))
        self._mux(self.drawn.encode(None))
        late = [f"{self.moved} frames were not later than the frame before, and were moved"] if self.moved else []
        return Written(self.frames, tuple(self.differs + late + self._missing()))

    def _frames(self) -> Iterator[Pixels]:
        """Upright; packets of sound are laid aside."""
        for packet in self._packets():
            if packet.pts is not None and packet.time_base:
                self.end = max(self.end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            if packet.stream.index != self.video.index:
                self.heard.append(packet)
                continue
            yield from map(self._read, self._decoded(self.video, packet))
        yield from map(self._read, self._decoded(self.video))  # a decoder holds some, where the file ended too early

    def _read(self, frame: VideoFrame) -> Pixels:
        self.timed.append(frame)
        return _upright(frame)

    def _packets(self) -> Iterator[Any]:
        """The packets of picture and sound; a film that is cut off ends at the last packet that can be read."""
        wanted = [self.video, *(self.film.streams[index] for index in self.sounds)]
        try:
            yield from self.film.demux(wanted)
        except av.FFmpegError:
            self.unread += 1

    def _decoded(self, stream: Any, packet: Any = None) -> list[Any]:
        whole = packet is not None and packet.size
        if whole and packet.is_corrupt:  # cut off; a decoder would draw grey in its place
            self.unread += 1
            return []
        try:
            return list(stream.codec_context.decode(packet if whole else None))
        except av.FFmpegError:  # also: a second end
            self.unread += bool(whole)
            return []

    def _write(self, pixels: Pixels, frame: VideoFrame) -> None:
        height, width = pixels.shape[:2]
        padded = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        made = VideoFrame.from_ndarray(padded, format="rgb24")
        made = made.reformat(format="yuv420p", dst_colorspace=self.colours, dst_color_range=ColorRange.MPEG)
        pts = frame.pts if frame.pts is not None else (self.last or 0) + 1
        if self.last is not None and pts <= self.last:
            pts, self.moved = self.last + 1, self.moved + 1
        made.pts, made.time_base, made.duration = pts, self.video.time_base, frame.duration
        self.last, self.frames = pts, self.frames + 1
        self.lengths[pts] = frame.duration
        self._mux(self.drawn.encode(made))
        self.progress(self.frames, self._total())

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self.lengths.pop(packet.pts, 0)  # the encoder knows only the times
            self.target.mux(packet)

    def _sound(self) -> None:
        while self.heard:
            packet = self.heard.popleft()
            made, copied = self.sounds[packet.stream.index]
            if not copied:
                for frame in self._decoded(packet.stream, packet):
                    self.target.mux(made.encode(frame))
            elif packet.dts is not None:
                packet.stream = made
                self.target.mux(packet)

    def _lasts(self) -> Fraction:
        return Fraction(self.film.duration or 0, av.time_base)

    def _total(self) -> int:
        """The frames that there should be, by what the header says."""
        length = _tagged_seconds(self.video) or self._lasts()
        return max(self.frames, self.video.frames or round(length * (self.video.average_rate or Fraction(25))))

    def _missing(self) -> list[str]:
        """The film is shorter than its header says, or parts cannot be decoded."""
        rate = self.video.average_rate or Fraction(25)
        start, length = Fraction(self.film.start_time or 0, av.time_base), self._lasts()
        if self.film.format.name == "avi":  # without its index, the length above is a guess from the file's size
            length = max(length, self.video.frames / rate)
        short = self.end - start + _SLACK / rate < length
        if not short and not self.unread:
            return []
        return [f"{self.frames} of {self._total()} frames could be read: the film is damaged or cut off"]


def _tagged_seconds(stream: VideoStream) -> Fraction:
    """Matroska's length of a stream, "00:00:04.166"; 0 if the file does not give it."""
    tag = stream.metadata.get("DURATION", "0").split(":")
    return sum((Fraction(part) * 60**power for power, part in enumerate(reversed(tag))), Fraction(0))


def _upright(frame: VideoFrame) -> Pixels:
    """uint8 RGB, H x W x 3, turned and mirrored as the film's player is asked to; writeable.

    A pixel moves from (x, y) to (a x + c y, b x + d y), by multiples of 90 degrees, and each by -1 is a mirror.
    """
    pixels = frame.to_ndarray(format="rgb24")
    if matrix := frame.side_data.get(Type.DISPLAYMATRIX):  # type: ignore[call-overload]
        a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5]
        if abs(b) > abs(a):
            pixels, a, d = pixels.swapaxes(0, 1), c, b
        pixels = pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(pixels)


def _changed_by_format(first: VideoFrame) -> list[str]:
    bits = max(component.bits for component in first.format.components)
    differs = [f"{bits} bits a colour became 8"] if bits > 8 else []
    return differs + (["interlaced frames became whole ones"] if first.interlaced_frame else [])


def _fits_mp4(stream: Any) -> bool:
    """A stream of this kind can be copied into MP4: its header can be written."""
    target = av.open(io.BytesIO(), "w", format="mp4")
    try:
        target.add_stream_from_template(stream)
        target.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    with suppress(av.FFmpegError):
        target.close()
    return True
