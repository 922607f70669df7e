"""A run shows itself: one line, one bar or one picture, never a flood."""

import base64
import html
import io
import re
from collections.abc import Iterator
from typing import Any

import IPython.display
import numpy as np
import pytest
from PIL import Image

from hifacegan_lib.reports import network_plots, progress
from hifacegan_lib.reports.progress import Progress, choose, open_progress
from hifacegan_lib.utils.images import Pixels

VALUES = {"seconds": 9.0, "l1": 0.0342, "psnr": 25.04, "lr": 0.002, "d_margin": 0.3, "cast_r": -0.01}
JUPYTER = {"JPY_SESSION_NAME": "notebooks/04_training.ipynb"}
STRIP: Pixels = np.random.default_rng(0).integers(0, 256, (196, 526, 3), np.uint8)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Notebook:
    """What a front end would keep: outputs, each with all that it showed."""

    def __init__(self) -> None:
        self.outputs: list[list[dict[str, str]]] = []

    def display(self, bundle: dict[str, str], raw: bool, display_id: bool) -> "Notebook":
        assert raw and display_id
        self.outputs.append([bundle])
        return self

    def update(self, bundle: dict[str, str], raw: bool) -> None:
        assert raw
        self.outputs[-1].append(bundle)

    @property
    def shown(self) -> list[dict[str, str]]:
        (only,) = self.outputs
        return only


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine that the tests run on decides."""
    for name in (progress.VARIABLE, *JUPYTER, "COLAB_RELEASE_TAG", "VSCODE_PID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the module and of tqdm."""
    found = Clock()
    monkeypatch.setattr(progress, "monotonic", found)
    monkeypatch.setattr("tqdm.std.time", found)
    return found


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    found = Notebook()
    monkeypatch.setattr(IPython.display, "display", found.display)
    yield found
    assert len(found.outputs) == 1, "one display, whatever happens"


def walk(show: Progress, clock: Clock, steps: range, seconds: float, every: int = 0) -> None:
    for done in steps:
        clock.now += seconds
        show.step(done)
        if every and done % every == 0:
            show.numbers(done, VALUES)


# which display


@pytest.mark.parametrize(
    ("environment", "kernel", "terminal", "expected"),
    [
        (JUPYTER, True, False, "live"),
        ({"COLAB_RELEASE_TAG": "release"}, True, False, "live"),
        ({"VSCODE_PID": "1"}, True, False, "live"),
        ({}, True, False, "plain"),  # papermill, nbconvert: nobody looks
        (JUPYTER, False, True, "bar"),  # a command started from a notebook's terminal
        (JUPYTER, False, False, "plain"),
        ({}, False, True, "bar"),
        ({}, False, False, "plain"),
        ({**JUPYTER, "HIFACEGAN_PROGRESS": "plain"}, True, False, "plain"),
        ({**JUPYTER, "HIFACEGAN_PROGRESS": "none"}, True, True, "none"),
        ({**JUPYTER, "HIFACEGAN_PROGRESS": ""}, True, False, "live"),
        ({**JUPYTER, "HIFACEGAN_PROGRESS": "auto"}, True, False, "live"),
        ({"HIFACEGAN_PROGRESS": "live"}, True, False, "live"),
        ({"HIFACEGAN_PROGRESS": "live"}, False, True, "bar"),  # there is nowhere to draw
        ({"HIFACEGAN_PROGRESS": "bar"}, False, False, "bar"),
    ],
)
def test_the_environment_chooses(environment: dict[str, str], kernel: bool, terminal: bool, expected: str) -> None:
    assert choose(environment, kernel, terminal) == expected


def test_auto_in_a_plain_process_prints_lines(capsys: pytest.CaptureFixture[str]) -> None:
    open_progress("auto", 0, 10).say("here")
    assert capsys.readouterr().out == "here\n"


def test_what_was_asked_for_in_code_is_not_overruled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HIFACEGAN_PROGRESS", "none")
    open_progress("plain", 0, 10).say("asked")
    open_progress("auto", 0, 10).say("not asked")
    assert capsys.readouterr().out == "asked\n"


def test_an_unknown_kind_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"progress = 'loud': none of auto, bar, live, plain, none"):
        open_progress("loud", 0, 10)  # type: ignore[arg-type]
    monkeypatch.setenv("HIFACEGAN_PROGRESS", "loud")
    with pytest.raises(ValueError, match="HIFACEGAN_PROGRESS = 'loud'"):
        open_progress("auto", 0, 10)


def test_none_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show = open_progress("none", 0, 10)
    show.step(1)
    show.numbers(1, VALUES)
    show.picture(1, STRIP)
    show.say("hush")
    show.close()
    captured = capsys.readouterr()
    assert not captured.out and not captured.err


# plain lines


def test_a_plain_line_has_place_rate_rest_losses_and_psnr(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    show = open_progress("plain", 0, 750)
    walk(show, clock, range(1, 101), 1 / 5.4, every=100)
    show.picture(100, STRIP)
    show.say("a warning")
    show.close()
    out, err = capsys.readouterr()
    assert out == "step 100/750 · 5.40it/s · 02:00 left, l1=0.034, psnr=25.0\na warning\n" and not err


def test_a_line_is_flushed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    pipe = Pipe()
    monkeypatch.setattr("sys.stdout", pipe)
    show = open_progress("plain", 0, 10)
    show.numbers(5, VALUES)
    assert pipe.flushed.startswith("step 5/10") and pipe.flushed.endswith("\n")
    show.close()


def test_the_rate_is_of_late_and_counts_only_this_session(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    show = open_progress("plain", 9000, 10_000)
    show.numbers(9000, VALUES)
    clock.now += 120  # the first step compiles
    walk(show, clock, range(9001, 9401), 0.1, every=200)
    walk(show, clock, range(9401, 9501), 1.0, every=250)
    show.close()
    first, _, fast, slow = capsys.readouterr().out.splitlines()
    assert first.startswith("step 9000/10000 · ?it/s · ? left, l1")
    assert " · 10.00it/s · 01:00 left" in fast
    assert re.search(r" · 1\.00it/s · 08:(19|20) left", slow)


# bar


def test_the_bar_has_rate_rest_and_losses(capsys: pytest.CaptureFixture[str]) -> None:
    show = open_progress("bar", 50, 100)
    for done in range(51, 101):
        show.step(done)
        if done == 75:
            show.numbers(done, VALUES)
            show.say("stopped at step 75")
    show.close()
    captured = capsys.readouterr()
    last = captured.err.rsplit("\r", 1)[1]
    assert re.search(r"train: 100%.*100/100 \[.*<.*it/s, l1=0.034, psnr=25.0\]", last)
    assert "stopped at step 75\n" in captured.err and not captured.out


# live


def test_a_notebook_gets_one_picture_however_long_the_run(notebook: Notebook, clock: Clock) -> None:
    show = open_progress("live", 0, 2000)
    walk(show, clock, range(1, 2001), 0.01, every=100)
    show.picture(2000, STRIP)
    for number in range(100):
        show.say(f"warning {number}")
    show.close()
    final = notebook.shown[-1]["text/html"]
    assert len(final) < 300_000
    assert "warning 99" in final and "warning 80" not in final


def test_pictures_are_two_seconds_apart(notebook: Notebook, clock: Clock) -> None:
    show = open_progress("live", 0, 1000)
    walk(show, clock, range(1, 201), 0.1, every=5)
    drawn = len(notebook.shown) - 1  # the first is empty
    assert 6 <= drawn <= 11  # in 20 seconds, and the first
    show.close()
    assert len(notebook.shown) == drawn + 2


@pytest.mark.usefixtures("notebook")
def test_slow_drawing_is_done_more_rarely(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    curves = network_plots.curves

    def slow(*args: Any) -> Any:
        clock.now += 1.0
        return curves(*args)

    monkeypatch.setattr(network_plots, "curves", slow)
    show = open_progress("live", 0, 10_000)
    begun = clock.now
    walk(show, clock, range(1, 1001), 0.1, every=1)
    drawing = clock.now - begun - 100
    show.close()
    assert 0 < drawing <= 0.06 * 100


def pictures(page: str) -> list[Image.Image]:
    found = re.findall(r"data:image/\w+;base64,([\w+/=]+)", page)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def test_curves_and_the_latest_strip_are_drawn(notebook: Notebook, clock: Clock) -> None:
    show = open_progress("live", 0, 100)
    assert not pictures(notebook.shown[-1]["text/html"])
    clock.now += 3
    show.numbers(1, VALUES)
    assert len(pictures(notebook.shown[-1]["text/html"])) == 1
    show.picture(1, np.zeros((12, 32, 3), np.uint8))
    show.picture(50, np.full((1540, 4110, 3), 200, np.uint8))
    show.close()
    page = notebook.shown[-1]["text/html"]
    _, strip = pictures(page)
    assert strip.width == progress.WIDEST and abs(strip.height - 375) <= 1
    assert np.allclose(np.asarray(strip), 200, atol=3)
    assert "Step 50: degraded, restored, clean" in page and "Step 1:" not in page


@pytest.mark.usefixtures("notebook", "clock")
def test_the_history_of_a_resumed_run_is_drawn_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    curves = network_plots.curves
    monkeypatch.setattr(network_plots, "curves", lambda panels: drawn.append(panels) or curves(panels))
    history = [{"step": n, "l1": 1 / n} for n in (10, 20)]
    show = open_progress("live", 20, 40, history)
    show.numbers(30, {"l1": 0.01, "psnr": 25.0})
    show.close()
    assert [len(panels["L1"]["l1"]) for panels in drawn] == [2, 3]


def test_what_is_said_cannot_become_markup(notebook: Notebook) -> None:
    show = open_progress("live", 0, 10)
    show.say("loss <b> & </div>")
    show.close()
    assert html.escape("loss <b> & </div>") in notebook.shown[-1]["text/html"]
