"""Claim: a film is restored at least twice as fast as frame by frame, nearer to the truth and with less flicker.

The film is made from a photograph (the astronaut, public domain, in scikit-image), blurred and noisy, over which the
camera pans and zooms, compressed as H.264; 640 x 480 pixels, 25 frames a second. Its clean frames are known, and so is
the camera's movement. Frame by frame is: decode, find the face, cut it out, draw it, paste it, encode, one after the
other, each frame for itself. The table says how long each of these steps takes for a frame.

Flicker is the mean absolute difference between successive frames of the face, brought back to its place in the
photograph, in grey levels; PSNR is that of the same faces.
"""

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
from _bench import finish, machine, options, race, ratio, table
from numpy.typing import NDArray
from skimage import data

from hifacegan_lib.restoration import pretrained
from hifacegan_lib.restoration.alignment import cut
from hifacegan_lib.restoration.blending.pasting import change, paste
from hifacegan_lib.restoration.detection import detect
from hifacegan_lib.restoration.video import restore_video
from hifacegan_lib.utils import weight_registry
from hifacegan_lib.utils.images import Pixels

WIDE, HIGH, RATE = 640, 480, 25
FACE = slice(70, 215), slice(150, 295)  # in the photograph
Places = list[NDArray[np.float64]]


def main() -> int:
    parser = options(__doc__, "python benchmarks/films.py --quick")
    parser.add_argument("--frames", type=int, default=60, help="of the film (60)")
    parser.add_argument("--every", type=int, default=3, help="the network draws every so many frames (3)")
    choice = parser.parse_args()
    model = pretrained.load_model()
    detector = "yunet" if weight_registry.is_present("yunet") else "haar"
    places = camera(choice.frames)
    spent: dict[str, float] = defaultdict(float)
    with tempfile.TemporaryDirectory() as folder:
        source, alone, ours = (Path(folder) / f"{name}.mp4" for name in ("source", "alone", "ours"))
        write(source, filmed(damaged(data.astronaut()), places), "30")
        ways: dict[str, list[Callable[[], object]]] = {
            "ours": [partial(restore_video, source, ours, model, detector, every=choice.every)],
            "frame by frame": [partial(frame_by_frame, source, alone, model, detector, spent)],
        }
        rounds = 1 if choice.quick else 5
        times = race(ways, rounds, patience=float("inf"))
        worked = race(ways, 1, patience=float("inf"), clock=time.process_time)
        clean = faces(filmed(data.astronaut(), places), places)
        found = {name: faces(read(file), places) for name, file in (("input", source), ("alone", alone), ("o", ours))}
    rows = [
        ["input", None, flicker(found["input"]), psnr(found["input"], clean)],
        ["frame by frame", choice.frames / np.median(times["frame by frame"]), flicker(found["alone"])],
        ["ours", choice.frames / np.median(times["ours"]), flicker(found["o"]), psnr(found["o"], clean)],
    ]
    rows[1].append(psnr(found["alone"], clean))
    print(table(["", "frames/s", "flicker", "PSNR, dB"], rows))
    print(table(["frame by frame", "share, %"], [[n, 100 * s / sum(spent.values())] for n, s in spent.items()]))
    ratios = {
        "films": ratio(times, "frame by frame"),
        "films_processor": ratio(worked, "frame by frame"),
        "flicker_over_input": flicker(found["o"]) / flicker(found["input"]),
        "flicker_over_input_frame_by_frame": flicker(found["alone"]) / flicker(found["input"]),
    }
    known = machine("numpy", "onnxruntime", "opencv-python-headless", "av")
    finish(choice.out, ratios, machine=known, detector=detector, frames=choice.frames, seconds=times, rows=rows)
    return 0


def camera(count: int) -> Places:
    """Where the photograph lies in each frame, 2 x 3: a circle around the face in 60 frames, and a zoom by 10 %."""
    places = []
    for angle in 2 * np.pi * np.arange(count) / 60:
        scale = 1.4 + 0.15 * np.sin(angle)
        x, y = 230 + 30 * np.cos(angle), 130 + 20 * np.sin(2 * angle)
        places.append(np.array([[scale, 0, WIDE / 2 - scale * x], [0, scale, HIGH / 2 - scale * y]]))
    return places


def damaged(photo: Pixels) -> Pixels:
    """Blurred and noisy, once for all frames."""
    noise = np.random.default_rng(0).normal(0, 8, photo.shape)
    return (cv2.GaussianBlur(photo, (0, 0), 2) + noise).clip(0, 255).astype(np.uint8)


def filmed(photo: Pixels, places: Places) -> list[Pixels]:
    how = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REFLECT}
    return [cv2.warpAffine(photo, place, (WIDE, HIGH), **how) for place in places]


def faces(frames: Sequence[Pixels], places: Places) -> list[NDArray[np.float32]]:
    """The face of each frame, at its place in the photograph."""
    size = data.astronaut().shape[1::-1]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    backs = [cv2.warpAffine(frame, p, size, flags=flags) for frame, p in zip(frames, places, strict=True)]
    return [back[FACE].astype(np.float32) for back in backs]


def flicker(found: Sequence[NDArray[np.float32]]) -> float:
    return float(np.mean([np.abs(a - b).mean() for a, b in pairwise(found)]))


def psnr(found: Sequence[NDArray[np.float32]], clean: Sequence[NDArray[np.float32]]) -> float:
    errors = [((a - b) ** 2).mean() for a, b in zip(found, clean, strict=True)]
    return float(np.mean(10 * np.log10(255**2 / np.array(errors))))


def read(path: Path) -> list[Pixels]:
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def write(path: Path, frames: Sequence[Pixels], crf: str) -> None:
    with encoder(path, crf) as encode:
        for frame in frames:
            encode(frame)


@contextmanager
def encoder(path: Path, crf: str) -> Iterator[Callable[[Pixels], None]]:
    """Writes one frame after the other as H.264."""
    with av.open(str(path), "w") as film:
        video = film.add_stream("h264", rate=RATE, options={"crf": crf, "bf": "0"})
        video.width, video.height, video.pix_fmt = WIDE, HIGH, "yuv420p"
        count = 0

        def encode(pixels: Pixels) -> None:
            nonlocal count
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base, count = count, Fraction(1, RATE), count + 1
            film.mux(video.encode(frame))

        yield encode
        film.mux(video.encode(None))


def frame_by_frame(source: Path, out: Path, model: pretrained.Model, detector: str, spent: dict[str, float]) -> None:
    """Restore a film by the functions for photographs; the seconds of each step are added to ``spent``."""
    began = time.perf_counter()

    def did(step: str) -> None:
        nonlocal began
        now = time.perf_counter()
        spent[step] += now - began
        began = now

    with av.open(str(source)) as film, encoder(out, "17") as encode:
        for decoded in film.decode(video=0):
            frame = np.ascontiguousarray(decoded.to_ndarray(format="rgb24"))
            did("decode")
            places = [face.alignment for face in detect(frame, detector)]  # type: ignore[arg-type]
            did("find the face")
            before = [cut(frame, place, model.size) for place in places]
            did("cut")
            after = model.restore(before)
            did("network")
            for place, seen, drawn in zip(places, before, after, strict=True):
                paste(frame, place, change(seen, drawn))
            did("paste")
            encode(frame)
            did("encode")


if __name__ == "__main__":
    sys.exit(main())
