"""Films at work: a panned photograph becomes better and hardly flickers; threads overlap in little memory."""

import threading
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage import data

import hifacegan_lib as hf
from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.restoration.films import AHEAD, ahead, redraw
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.restoration.video import FRAMES, restore_video

PHOTO = cv2.resize(data.astronaut()[:320, 60:400], None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)  # 224 x 238
WIDE, HIGH = 200, 192
FACE = slice(45, 130), slice(75, 150)  # in the photograph, without its border
Frames = list[np.ndarray]


def make(path: Path, frames: Frames, codec: str = "h264", **options: str) -> Path:
    with av.open(str(path), "w") as film:
        video = film.add_stream(codec, rate=25, options=options)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv420p"
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
    return path


def read(path: Path) -> Frames:
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def pan(count: int) -> list[np.ndarray]:
    """Where the photograph lies in each frame: it moves by up to two pixels a frame, and grows."""
    return [np.array([[1 + n / 200, 0, -18 - n], [0, 1 + n / 200, -14 + 1.3 * np.sin(n / 2)]]) for n in range(count)]


def filmed(photo: np.ndarray, places: list[np.ndarray]) -> Frames:
    return [cv2.warpAffine(photo, place, (WIDE, HIGH), flags=cv2.INTER_CUBIC, borderMode=1) for place in places]


def held(frames: Frames, places: list[np.ndarray]) -> Frames:
    """The face of each frame, brought back to its place in the photograph."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    size = PHOTO.shape[1::-1]
    backs = [cv2.warpAffine(f, p, size, flags=flags) for f, p in zip(frames, places, strict=True)]
    return [back[FACE].astype(np.float32) for back in backs]


def flicker(faces: Frames) -> float:
    """Mean difference of successive frames, grey levels; the movement is taken out."""
    return float(np.mean([np.abs(a - b).mean() for a, b in pairwise(faces)]))


def error(faces: Frames, clean: Frames) -> float:
    return float(np.mean([((a - b) ** 2).mean() for a, b in zip(faces, clean, strict=True)]))


def test_a_panned_photograph_becomes_better_and_flickers_hardly_more_than_its_damaged_film(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 8, PHOTO.shape)
    damaged = np.clip(cv2.GaussianBlur(PHOTO, (0, 0), 1.5) + noise, 0, 255).astype(np.uint8)
    places = pan(16)
    source = make(tmp_path / "a.mp4", filmed(damaged, places), crf="28")
    done = restore_video(source, tmp_path / "b.mp4", hf.load_model(), "haar")
    before, after, clean = (held(f, places) for f in (read(source), read(done.path), filmed(PHOTO, places)))
    assert error(after, clean) < 0.7 * error(before, clean)
    assert flicker(after) < 1.1 * flicker(before)  # 2 times as much, were each frame restored alone
    assert done.faces == 16 and done.drawn < 12


@pytest.mark.parametrize("every", [1, 3, 4])
def test_a_face_is_drawn_in_its_turn_and_when_it_looks_different_in_one_batch(tmp_path: Path, every: int) -> None:
    (left,) = filmed(PHOTO, pan(1))
    right = left.copy()
    right[95:115, 80:125] = 30  # a mouth that opens in the sixth frame
    batches: list[int] = []
    model = Model(lambda faces: batches.append(len(faces)) or faces, Card("nothing", size=64))
    source = make(tmp_path / "a.mp4", [left] * 5 + [right] * 4, crf="1")
    done = restore_video(source, tmp_path / "b.mp4", model, "haar", every=every)
    expected = {n for n in range(9) if n % every == 0} | {5}
    assert done.faces == 9 and done.drawn == len(expected)
    assert batches[0] == len([n for n in expected if n < FRAMES])


def test_a_cut_to_another_scene_leaves_no_face_behind(tmp_path: Path) -> None:
    (scene,) = filmed(PHOTO, pan(1))
    empty = np.full_like(scene, 90)
    left, right = np.hstack([scene, empty]), np.hstack([empty, scene])
    source = make(tmp_path / "a.mp4", [left] * 6 + [right] * 3, crf="1")
    done = restore_video(source, tmp_path / "b.mp4", Model(lambda x: x * 0, Card("black", size=64)), "haar", every=4)
    changed = [np.abs(read(done.path)[n].astype(int) - right).mean((0, 2)) for n in (6, 8)]  # by column
    assert done.faces == 9
    assert all(columns[:WIDE].max() < 4 and columns[WIDE:].max() > 30 for columns in changed)


def test_a_film_is_restored_with_few_frames_in_memory_and_the_rest_is_foretold(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mkv", [np.full((32, 32, 3), n, np.uint8) for n in range(60)], "ffv1")
    taken, most, told = 0, 0, []

    def draw(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        nonlocal taken
        for frame in frames:
            taken += 1
            yield frame

    def progress(done: int, total: int) -> None:
        nonlocal most
        most = max(most, taken - done)
        told.append((done, total))

    redraw(source, tmp_path / "b.mp4", draw, progress)
    assert most <= AHEAD + 1
    assert told == [(n + 1, 60) for n in range(60)]  # Matroska's header has no count of frames


def test_what_is_made_ahead_comes_in_order_and_an_error_in_its_place() -> None:
    def numbers() -> Iterator[int]:
        for n in range(20):
            made.append(n)
            yield n
        raise ValueError("the end")

    made: list[int] = []
    taken = []
    with pytest.raises(ValueError, match="the end"):
        for n in ahead(numbers(), 3):
            taken.append(n)
            assert len(made) <= len(taken) + 3
    assert taken == list(range(20))


def test_an_error_while_drawing_leaves_no_thread_and_no_film(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4", filmed(PHOTO, pan(12)))
    before = threading.active_count()

    def refuse(_: np.ndarray) -> np.ndarray:
        raise ValueError("no picture today")

    with pytest.raises(ValueError, match="no picture today"):
        restore_video(source, tmp_path / "b.mp4", Model(refuse, Card("none", size=64)), "haar")
    assert threading.active_count() == before and not (tmp_path / "b.mp4").exists()
