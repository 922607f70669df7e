"""Films: every frame, in its place and pace, and steadier than frame by frame."""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest
from skimage import data

from hifacegan_lib import cli
from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.restoration.films import redraw
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.restoration.video import restore_video

FACE = data.astronaut()[10:210, 120:330]
SIZE = 64
NOTHING = Model(lambda faces: faces, Card("nothing", size=SIZE))


Sound = Literal["aac", "libmp3lame", "pcm_s16le"]


def make(
    path: Path,
    frames: Iterable[np.ndarray],
    times: Sequence[int] = (),
    sound: Sound | None = None,
    rotation: int = 0,
    codec: str = "mpeg4",
    **options: str,
) -> Path:
    """A film of 12 frames a second, or with its frames at ``times`` (milliseconds)."""
    frames = list(frames)
    with av.open(str(path), "w", options=options) as film:
        video = film.add_stream(codec, rate=12, options={"qscale": "2", "flags": "+qscale", "bf": "0"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv420p"
        base = video.time_base = video.codec_context.time_base = Fraction(1, 1000 if times else 12)
        if rotation:
            video.set_display_rotation(rotation)
        audio = film.add_stream(sound, rate=8000) if sound else None
        if audio:
            audio.layout = "mono"
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = times[number] if times else number, base
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
        for start in range(0, 8000 * len(frames) // 12 if audio else 0, 1000):
            wave = (np.sin(np.arange(start, start + 1000) / 5) * 9000).astype(np.int16)[None]
            block = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            block.rate, block.pts, block.time_base = 8000, start, Fraction(1, 8000)
            film.mux(audio.encode(block))
        film.mux(audio.encode(None) if audio else [])
    return path


def colours(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Frames that differ from each other; the upper left quarter is green."""
    found = []
    for number in range(count):
        frame = np.full((height, width, 3), (200, 40, 10 * number), np.uint8)
        frame[: height // 2, : width // 2] = 20, 220, 60
        found.append(frame)
    return found


def film(path: Path, count: int = 8, drift: int = 1) -> Path:
    """A face that moves a little to the right, on noise."""
    rng, found = np.random.default_rng(0), []
    for n in range(count):
        frame = np.full((240, 320, 3), 90, np.uint8)
        left = 40 + drift * n
        frame[20:220, left : left + 210] = FACE
        found.append(np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8))
    return make(path, found)


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as opened:
        return [frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)]


def times(path: Path) -> list[float]:
    with av.open(str(path)) as opened:
        return [float(frame.time or 0) for frame in opened.decode(video=0)]


def sound(path: Path) -> tuple[str, list[bytes], float]:
    """Codec, packets, seconds."""
    with av.open(str(path)) as opened:
        (stream,) = opened.streams.audio
        packets = [packet for packet in opened.demux(stream) if packet.size]
        seconds = sum(packet.duration * packet.time_base for packet in packets)
        return stream.codec_context.name, [bytes(packet) for packet in packets], float(seconds)


def length(path: Path) -> float:
    with av.open(str(path)) as opened:
        return (opened.duration or 0) / av.time_base


class Nervous:
    """A network that draws stripes into the middle of every other face."""

    def __init__(self) -> None:
        self.faces = 0

    def __call__(self, faces: Any) -> Any:
        drawn = faces + 0
        for face in drawn:
            self.faces += 1
            face[..., 20:44, 20:44] += 0.15 * (self.faces % 2) * (-1.0) ** np.arange(24)
        return drawn.clip(0, 1)


def test_size_pace_and_length_stay(tmp_path: Path) -> None:
    counts: list[tuple[int, int]] = []
    done = restore_video(
        film(tmp_path / "a.mp4"),
        tmp_path / "out" / "a.mp4",
        NOTHING,
        "haar",
        progress=lambda n, of: counts.append((n, of)),
    )
    before, after = frames(tmp_path / "a.mp4"), frames(done.path)
    assert done.frames == len(after) == len(before) == 8
    assert after[0].shape == before[0].shape
    assert times(done.path) == pytest.approx(times(tmp_path / "a.mp4"), abs=1e-4) and done.differs == ()
    assert counts[-1] == (8, 8)
    assert done.faces == 8
    assert np.abs(after[3].astype(float) - before[3]).mean() < 6  # only compressed once more


def test_smoothing_takes_flicker_away_and_it_is_measured(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", 10)
    smooth = restore_video(source, tmp_path / "smooth.mp4", replace(NOTHING, network=Nervous()), "haar").flicker
    alone = restore_video(source, tmp_path / "alone.mp4", replace(NOTHING, network=Nervous()), "haar", smooth=0).flicker
    assert alone["smoothed"] == pytest.approx(alone["frame by frame"])
    assert smooth["frame by frame"] > smooth["input"] + 1
    assert smooth["smoothed"] - smooth["input"] < 0.6 * (smooth["frame by frame"] - smooth["input"])
    assert "flicker in grey levels: input" in restore_video(source, tmp_path / "b.mp4", NOTHING, "haar").summary


def test_a_film_without_a_face_is_kept_and_has_no_flicker(tmp_path: Path) -> None:
    make(tmp_path / "a.mp4", [np.full((64, 64, 3), 100, np.uint8)] * 3)
    done = restore_video(tmp_path / "a.mp4", tmp_path / "b.mp4", NOTHING, "haar")
    assert (done.frames, done.faces, done.flicker) == (3, 0, {})
    assert "not measured" in done.summary


def copied(source: Path, out: Path) -> tuple[str, ...]:
    return redraw(source, out, lambda frames: frames).differs


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_variable_frame_rate_stays_to_the_millisecond(tmp_path: Path, suffix: str) -> None:
    uneven = [0, 40, 90, 300, 310, 800, 1500, 1530, 1600, 2000]
    source = make(tmp_path / f"a{suffix}", colours(10), uneven)
    assert copied(source, tmp_path / "b.mp4") == ()
    assert times(tmp_path / "b.mp4") == pytest.approx([t / 1000 for t in uneven], abs=1e-3)
    assert length(tmp_path / "b.mp4") == pytest.approx(length(source), abs=1 / 12)
    for before, after in zip(colours(10), frames(tmp_path / "b.mp4"), strict=True):
        assert np.abs(before.astype(int) - after).mean() < 6


@pytest.mark.parametrize(("kind", "suffix"), [("aac", ".mp4"), ("aac", ".mkv"), ("pcm_s16le", ".avi")])
def test_sound_is_copied_to_the_byte(tmp_path: Path, kind: Sound, suffix: str) -> None:
    source = make(tmp_path / f"a{suffix}", colours(24), sound=kind)
    assert copied(source, tmp_path / "b.mp4") == ()
    before, after = sound(source), sound(tmp_path / "b.mp4")
    assert after[0] == before[0] and b"".join(after[1]) == b"".join(before[1])
    assert len(times(tmp_path / "b.mp4")) == 24
    assert length(tmp_path / "b.mp4") == pytest.approx(length(source), abs=1 / 12)


def test_sound_that_mp4_cannot_hold_is_encoded_anew_and_said(tmp_path: Path) -> None:
    source = make(tmp_path / "a.avi", colours(24), sound="libmp3lame")
    assert copied(source, tmp_path / "b.mp4") == ("sound was encoded anew as AAC: MP4 cannot hold mp3float",)
    assert sound(tmp_path / "b.mp4")[0] == "aac"
    assert length(tmp_path / "b.mp4") == pytest.approx(length(source), abs=0.13)  # a block of AAC at 8 kHz


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotation_is_applied(tmp_path: Path, rotation: int) -> None:
    source = make(tmp_path / "a.mp4", colours(3), rotation=rotation, codec="h264")
    assert copied(source, tmp_path / "b.mp4") == ()
    with av.open(str(tmp_path / "b.mp4")) as opened:
        assert next(opened.decode(video=0)).rotation == 0
    upright = np.rot90(colours(3)[0], rotation // 90)  # counterclockwise, as the display matrix counts
    found = frames(tmp_path / "b.mp4")[0]
    assert found.shape == upright.shape and np.abs(found.astype(int) - upright).mean() < 8


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
        ((1, 0, 0, -1), lambda x: x[::-1]),
        ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda x: x[::-1, ::-1].swapaxes(0, 1)),
    ],
)
def test_a_mirrored_film_is_mirrored_as_players_do(tmp_path: Path, matrix: tuple[int, ...], upright: Callable) -> None:
    source = make(tmp_path / "a.mp4", colours(3), rotation=90, codec="h264")
    data = source.read_bytes()
    start = data.index(b"tkhd") + 44  # 3 x 3, fixed point
    a, b, c, d = (65536 * number for number in matrix)
    source.write_bytes(data[:start] + struct.pack(">5i", a, b, 0, c, d) + data[start + 20 :])
    assert copied(source, tmp_path / "b.mp4") == ()
    expected, found = upright(colours(3)[0]), frames(tmp_path / "b.mp4")[0]
    assert found.shape == expected.shape and np.abs(found.astype(int) - expected).mean() < 8


def test_odd_sides_become_even_and_it_is_said(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mkv", colours(3, 47, 63), codec="ffv1")
    assert copied(source, tmp_path / "b.mp4") == ("63 x 47 became 64 x 48: H.264 has even sides",)
    assert np.abs(frames(tmp_path / "b.mp4")[0][:47, :63].astype(int) - colours(3, 47, 63)[0]).mean() < 6


@pytest.mark.parametrize(("suffix", "options"), [(".mp4", {"movflags": "faststart"}), (".mkv", {}), (".avi", {})])
def test_a_film_that_is_cut_off_is_restored_as_far_as_it_goes_and_counted(
    tmp_path: Path, suffix: str, options: dict[str, str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 48, 64, 3), dtype=np.uint8)
    whole = make(tmp_path / f"whole{suffix}", noise, sound="pcm_s16le" if suffix == ".avi" else "aac", **options)
    assert copied(whole, tmp_path / "b.mp4") == ()
    data = whole.read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(data[: len(data) * 6 // 10])
    (said,) = copied(tmp_path / f"cut{suffix}", tmp_path / "c.mp4")
    found = len(frames(tmp_path / "c.mp4"))
    assert 20 <= found < 40
    assert said == f"{found} of 50 frames could be read: the film is damaged or cut off"


def test_the_command_fails_for_a_film_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "odd.mkv", colours(2, 47, 63), codec="ffv1")
    make(tmp_path / "even.mkv", colours(2), codec="ffv1")
    assert cli.main(["restore", str(tmp_path / "even.mkv"), str(tmp_path / "out"), "--detector", "haar"]) == 0
    assert cli.main(["restore", str(tmp_path / "odd.mkv"), str(tmp_path / "out"), "--detector", "haar"]) == 1
    assert "differs from the source: 63 x 47 became 64 x 48" in capsys.readouterr().err


def test_bad_films_and_settings_are_named_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    with pytest.raises(ValueError, match=r"bad\.mp4: not a film"):
        restore_video(tmp_path / "bad.mp4", tmp_path / "out" / "a.mp4", NOTHING, "haar")
    with pytest.raises(FileNotFoundError, match="no such film"):
        restore_video(tmp_path / "none.mp4", tmp_path / "out" / "a.mp4", NOTHING)
    source = film(tmp_path / "a.mp4", 2)
    with pytest.raises(ValueError, match="would replace the input"):
        restore_video(source, source, NOTHING)
    with pytest.raises(ValueError, match="smooth = 1"):
        restore_video(source, tmp_path / "b.mp4", NOTHING, smooth=1)
    with pytest.raises(ValueError, match="every = 0"):
        restore_video(source, tmp_path / "b.mp4", NOTHING, every=0)
    assert not (tmp_path / "out").exists()
