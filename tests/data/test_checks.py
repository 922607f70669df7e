"""Checks of files: read once, the same for any number of threads, kept when the process is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hifacegan_lib.data import checks
from hifacegan_lib.data.checks import JOURNAL, check_face, in_order
from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.data.duplicates import THRESHOLD, both_hashes, distance, face_hash
from hifacegan_lib.data.manifest import NAME
from hifacegan_lib.data.preparation import prepare
from hifacegan_lib.utils.files import sha256
from hifacegan_lib.utils.images import load_image, save_image

SIZES: dict[str, int] = {"train_size": 10, "valid_size": 4, "progress": False}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight PNG and eight JPEG files, 200 x 160, of which one of each is cut off."""
    folder = tmp_path_factory.mktemp("checks") / "faces"
    for number in range(16):
        noise = np.random.default_rng(number).integers(0, 256, (200, 160, 3), dtype=np.uint8)
        save_image(folder / f"{number:02}.{'png' if number % 2 else 'jpg'}", noise)
    for name in ("04.jpg", "07.png"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-2000])
    return folder


def manifest_of(faces: Path, data_dir: Path, **changes: int) -> bytes:
    prepare(source="folder", source_path=faces, data_dir=data_dir, **{**SIZES, **changes})
    return (data_dir / NAME).read_bytes()


def test_any_number_of_threads_writes_the_same_manifest(faces: Path, tmp_path: Path) -> None:
    alone, three = (manifest_of(faces, tmp_path / str(workers), workers=workers) for workers in (1, 3))
    assert alone == three and b'"reason"' in alone
    assert [path.name for path in (tmp_path / "3").iterdir()] == [NAME]


def test_results_come_in_order_and_an_early_end_cancels_what_was_not_begun() -> None:
    begun: list[int] = []

    def slow_when_even(number: int) -> int:
        begun.append(number)
        time.sleep(0.002 * (number % 2 == 0))
        return number

    numbers = list(range(50))
    assert list(in_order(slow_when_even, numbers, workers=3)) == numbers
    begun.clear()
    before, results = threading.active_count(), in_order(slow_when_even, numbers, workers=3)
    assert [next(results) for _ in range(7)] == numbers[:7]
    results.close()
    assert len(begun) < 50 and threading.active_count() == before


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "gif"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_check_knows_what_the_decoded_file_has(tmp_path: Path, suffix: str, orientation: int) -> None:
    path, exif = tmp_path / f"face.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(portrait(3, 256)[:, :220]).save(path, exif=exif, quality=90)
    check, image = check_face(path), load_image(path)
    assert (check.sha256, check.height, check.width, check.error) == (sha256(path), *image.shape[:2], "")
    near = 0 if suffix != "jpg" else THRESHOLD // 3  # a JPEG is decoded at a half of its size
    assert [int(distance(a, b)) <= near for a, b in zip(check.hashes, both_hashes(image), strict=True)] == [True, True]


def test_files_that_are_cut_off_are_named_with_the_reason(faces: Path) -> None:
    for name in ("04.jpg", "07.png"):
        check = check_face(faces / name)
        assert "truncated" in check.error and not check.sha256 and str(faces) not in check.error


@pytest.mark.parametrize(("height", "width"), [(100, 100), (201, 333), (256, 256), (13, 12)])
def test_the_hash_of_the_mirror_image_is_that_of_the_mirrored_image(height: int, width: int) -> None:
    for seed in range(2):
        face = np.ascontiguousarray(portrait(seed, 400)[:height, :width])
        plain, mirrored = face_hash(face), face_hash(np.ascontiguousarray(face[:, ::-1]))
        assert [found.tobytes() for found in both_hashes(face)] == [plain.tobytes(), mirrored.tobytes()]


def test_a_file_is_read_once(faces: Path, tmp_path: Path) -> None:
    opened: list[str] = []
    watching = [True]  # no hook can be removed
    sys.addaudithook(
        lambda event, given: opened.append(Path(str(given[0])).name) if event == "open" and any(watching) else None
    )
    manifest_of(faces, tmp_path)
    watching.clear()
    images = [name for name in opened if name in {path.name for path in faces.iterdir()}]
    assert len(images) == len(set(images)) >= 14


def test_a_killed_preparation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        noise = np.random.default_rng(number).integers(0, 256, (60, 60, 3), dtype=np.uint8)
        save_image(tmp_path / f"faces/{number:02}.png", noise)
    sizes = {"train_size": 30, "valid_size": 10, "progress": False}
    given = {"source": "folder", "source_path": str(tmp_path / "faces"), "data_dir": str(tmp_path / "data"), **sizes}
    code = (
        "import time\nfrom hifacegan_lib.data import checks\nfrom hifacegan_lib.data.preparation import prepare\n"
        "check = checks.check_face\nchecks.check_face = lambda path: time.sleep(0.1) or check(path)\n"
        f"prepare(**{given!r}, workers=1)"
    )
    killed, journal = subprocess.Popen([sys.executable, "-c", code]), tmp_path / "data" / JOURNAL
    while not journal.exists() or journal.read_bytes().count(b"\n") < 8:
        assert killed.poll() is None
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "data" / NAME).exists()
    lines = journal.read_bytes().splitlines()
    journal.write_bytes(b"\n".join(lines)[:-9])  # the last line is not finished
    changed = tmp_path / "faces/00.png"
    os.utime(changed, ns=(1, 1))
    asked: list[str] = []
    check = checks.check_face
    monkeypatch.setattr(checks, "check_face", lambda path: asked.append(path.name) or check(path))
    prepare(**given)
    done = {f"{number:02}.png" for number in range(len(lines) - 1)}
    assert 7 <= len(done) < 40
    assert set(asked) == {f"{number:02}.png" for number in range(40)} - done | {changed.name}
    assert not journal.exists()
    monkeypatch.setattr(checks, "check_face", check)
    assert manifest_of(tmp_path / "faces", tmp_path / "other", **sizes) == (tmp_path / "data" / NAME).read_bytes()
