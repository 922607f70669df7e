"""Films: every frame, in its place and pace, and steadier than frame by frame."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

from hifacegan_lib.restoration import video
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.restoration.video import restore_video

FACE = data.astronaut()[10:210, 120:330]
SIZE = 64
NOTHING = Model(lambda faces: faces, SIZE, "nothing")


def film(path: Path, frames: int = 8, drift: int = 1) -> Path:
    """A face that moves a little to the right, on noise."""
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 12, (320, 240))
    for n in range(frames):
        frame = np.full((240, 320, 3), 90, np.uint8)
        left = 40 + drift * n
        frame[20:220, left : left + 210] = FACE
        noisy = np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8)
        writer.write(noisy[..., ::-1])
    writer.release()
    return path


def frames(path: Path) -> list[np.ndarray]:
    return list(video._frames(cv2.VideoCapture(str(path))))


class Nervous:
    """A network that makes every other frame's face brighter in the middle."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, faces: Any) -> Any:
        self.calls += 1
        drawn = faces + 0
        drawn[..., 20:44, 20:44] += 0.15 * (self.calls % 2)
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
    assert cv2.VideoCapture(str(done.path)).get(cv2.CAP_PROP_FPS) == 12
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
    assert "flicker in grey levels: input" in restore_video(source, tmp_path / "b.mp4", NOTHING, "haar").says


def test_a_film_without_a_face_is_kept_and_has_no_flicker(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 12, (64, 64))
    for _ in range(3):
        writer.write(np.full((64, 64, 3), 100, np.uint8))
    writer.release()
    done = restore_video(tmp_path / "a.mp4", tmp_path / "b.mp4", NOTHING, "haar")
    assert (done.frames, done.faces, done.flicker) == (3, 0, {})
    assert "not measured" in done.says


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
    assert not (tmp_path / "out").exists()
