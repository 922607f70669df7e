"""What a run writes down: lines that are true, and none of steps that will be made again."""

import json
from pathlib import Path

import numpy as np

from hifacegan_lib.reports.progress import Progress
from hifacegan_lib.reports.run_log import Journal, read_lines, read_pictures
from hifacegan_lib.utils.images import save_image

STRIP = np.zeros((8, 8, 3), np.uint8)


class Heard(Progress):
    def __init__(self) -> None:
        self.told: list[str] = []

    def say(self, text: str) -> None:
        self.told.append(text)


def kept(folder: Path) -> Path:
    journal = Journal(folder, 0)
    for step in (2, 4, 6):
        journal.numbers(step, {"l1": step / 10})
        journal.picture(step, STRIP)
    journal.warn(3, "red is too bright")
    journal.warn(5, "drops")
    journal.close()
    return folder


def test_numbers_and_warnings_are_lines_of_json(tmp_path: Path) -> None:
    kept(tmp_path)
    assert read_lines(tmp_path) == [{"step": n, "l1": n / 10} for n in (2, 4, 6)]
    assert read_lines(tmp_path, name="warnings.jsonl")[0] == {"step": 3, "warning": "red is too bright"}
    assert read_lines(tmp_path, until=4) == [{"step": n, "l1": n / 10} for n in (2, 4)]
    assert read_lines(tmp_path / "nowhere") == []
    assert list((tmp_path / "tensorboard").iterdir())


def test_pictures_come_by_rising_step_and_nothing_else(tmp_path: Path) -> None:
    Journal(tmp_path, 0).close()
    for name in ("step_1000000", "step_999500", "step_notes", "04_restored"):
        save_image(tmp_path / "figures" / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    assert list(read_pictures(tmp_path)) == [999_500, 1_000_000]


def test_who_goes_on_drops_what_came_later(tmp_path: Path) -> None:
    Journal(kept(tmp_path), 4).close()
    assert [line["step"] for line in read_lines(tmp_path)] == [2, 4]
    assert [line["step"] for line in read_lines(tmp_path, name="warnings.jsonl")] == [3]
    assert [path.name for path in sorted((tmp_path / "figures").iterdir())] == ["step_000002.png", "step_000004.png"]


def test_a_line_that_a_killed_process_left_unfinished_is_dropped(tmp_path: Path) -> None:
    kept(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "l')
    assert [line["step"] for line in read_lines(tmp_path)] == [2, 4, 6]
    Journal(tmp_path, 6).close()
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [2, 4, 6]


def test_a_warning_is_said_with_its_step(tmp_path: Path) -> None:
    heard = Heard()
    journal = Journal(tmp_path, 0, heard)
    journal.warn(7, "it is odd")
    journal.close()
    assert heard.told == ["step 7: it is odd"]
