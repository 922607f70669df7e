"""The log of a training run: numbers, warnings, pictures.

    metrics.jsonl     a line of numbers each ``log_every`` steps       warnings.jsonl    {"step", "warning"}
    tensorboard/      the same and the pictures                        figures/          the strip as PNG

A resumed run goes on where its checkpoint ends. Lines of later steps are dropped, since these steps are done again.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from hifacegan_lib.reports.progress import Progress
from hifacegan_lib.utils import files, images

GAP = 2  # pixels between the faces of a strip


class Journal:
    """The files of one run's folder; ``show`` is told the same."""

    def __init__(self, folder: Path, start: int, show: Progress | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.metrics, self.warnings = folder / "metrics.jsonl", folder / "warnings.jsonl"
        self.pictures = folder / "figures"
        for path in (self.metrics, self.warnings):
            _cut(path, start)
        for step, late in read_pictures(folder).items():
            if step > start:
                late.unlink()
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)
        self.show = show or Progress()
        self.step, self.say = self.show.step, self.show.say

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """A line of numbers."""
        _append(self.metrics, {"step": step, **values})
        for name, value in values.items():
            self.board.add_scalar(name, value, step)
        self.show.numbers(step, values)

    def picture(self, step: int, picture: images.Pixels) -> None:
        """The validation strip, uint8 H x W x 3."""
        images.save_image(self.pictures / f"step_{step:06d}.png", picture)
        self.board.add_image("strip", picture, step, dataformats="HWC")
        self.show.picture(step, picture)

    def warn(self, step: int, text: str) -> None:
        """Something looks wrong: kept with the run, and said."""
        _append(self.warnings, {"step": step, "warning": text})
        self.board.add_text("warning", text, step)
        self.say(f"step {step}: {text}")

    def close(self) -> None:
        """Close the files and the display."""
        self.board.close()
        self.show.close()


def read_lines(folder: Path, until: int | None = None, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """The lines of a run's log, up to a step; a missing file has none, and a last line that was cut off is left out.

    Raises:
        ValueError: a line is not JSON; the message names the file.
    """
    path = folder / name
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    try:
        found = [json.loads(line) for line in lines if line.endswith("}")]
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: expected a JSON object a line ({error})") from error
    return [line for line in found if until is None or line["step"] <= until]


def read_pictures(folder: Path) -> dict[int, Path]:
    """The strips in a run's ``figures/``: step -> PNG file, by rising step."""
    pictures = (folder / "figures").glob("step_*.png")
    return dict(sorted((int(n), path) for path in pictures if (n := path.stem.removeprefix("step_")).isdecimal()))


def strip_faces(strip: images.Pixels) -> dict[str, list[images.Pixels]]:
    """The faces of a strip, uint8 H x W x 3, which :func:`hifacegan_lib.utils.images.grid` laid out in three rows."""
    side = (strip.shape[0] - 2 * GAP) // 3
    starts = range(0, strip.shape[1] - side + 1, side + GAP)
    return {
        name: [strip[n * (side + GAP) :][:side, left : left + side] for left in starts]
        for n, name in enumerate(("degraded", "restored", "clean"))
    }


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"


def _append(path: Path, values: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(_line(values))


def _cut(path: Path, start: int) -> None:
    """Drop what was written after step ``start``, and a line that a killed process left unfinished."""
    if path.exists():
        files.write_text(path, "".join(_line(line) for line in read_lines(path.parent, start, path.name)))
