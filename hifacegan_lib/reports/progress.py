"""How a run shows itself while it trains: a bar in a terminal, one live picture in a notebook, plain lines in a log.

    rate = steps / seconds over the last half minute        left = (total - done) / rate

so a resumed run, a first slow step or a machine that grew busy are told as they are now, not as they were on average.
A notebook's picture is one output, replaced in place: it says as much after a week as after a minute, in as many bytes.
"""

import base64
import html
import io
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from tqdm import tqdm

from hifacegan_lib.degradations.compression import encode_webp
from hifacegan_lib.reports import network_plots
from hifacegan_lib.utils.images import Pixels, resize

Kind = Literal["auto", "bar", "live", "plain", "none"]
Clock = Callable[[], float]

VARIABLE = "HIFACEGAN_PROGRESS"
WINDOW = 30.0  # seconds over which the rate is taken
PAUSE = 2.0  # least seconds between two pictures in a notebook
SHARE = 0.05  # most of the time that drawing may take
WIDEST = 1000  # of a strip in a notebook, pixels
SENTENCES = 8  # newest that a notebook shows
_FRONT_ENDS = ("JPY_SESSION_NAME", "COLAB_RELEASE_TAG", "VSCODE_PID")  # set by Jupyter's server, Colab, VS Code
_SHOWN = [name for names in network_plots.QUANTITIES.values() for name in names]


class Progress:
    """What a training loop tells; ``done`` counts finished steps from the run's beginning. This one shows nothing."""

    def step(self, done: int) -> None:
        """After each optimizer step."""

    def numbers(self, done: int, values: Mapping[str, float]) -> None:
        """At a line of metrics.jsonl."""

    def picture(self, done: int, picture: Pixels) -> None:
        """A strip of validation faces, uint8 H x W x 3."""

    def say(self, text: str) -> None:
        """A sentence: a warning, why it stopped."""

    def close(self) -> None:
        """At the end, also after an error."""


def open_progress(
    kind: Kind = "auto",
    start: int = 0,
    total: int = 0,
    history: Sequence[Mapping[str, Any]] = (),
    clock: Clock = time.monotonic,
) -> Progress:
    """Open a display of a run.

    Args:
        kind: ``auto`` is what :func:`choose` finds.
        start: steps that were done before.
        total: steps in all.
        history: earlier lines of metrics.jsonl, drawn too.
        clock: seconds.
    Raises:
        ValueError: no such kind, here or in HIFACEGAN_PROGRESS.
    """
    if _known(kind, "progress") == "auto":
        kind = choose(os.environ, _in_kernel(), sys.stderr.isatty())
    if kind == "none":
        return Progress()
    rate = Rate(start, total, clock)
    return _Bar(rate) if kind == "bar" else _Live(rate, history) if kind == "live" else _Plain(rate)


def choose(environment: Mapping[str, str], kernel: bool, terminal: bool) -> Kind:
    """Live for a person before a notebook, a bar on a terminal, plain lines elsewhere (papermill, a cluster's log).

    HIFACEGAN_PROGRESS in ``environment`` decides first; ``live`` counts only inside a kernel.
    """
    asked = _known(environment.get(VARIABLE) or "auto", VARIABLE)
    if asked != "auto" and (asked != "live" or kernel):
        return asked
    if kernel and asked == "auto" and any(name in environment for name in _FRONT_ENDS):
        return "live"
    return "bar" if terminal else "plain"


def _known(kind: str, where: str) -> Kind:
    if kind not in get_args(Kind):
        raise ValueError(f"{where} = {kind!r}: none of {', '.join(get_args(Kind))}")
    return kind  # type: ignore[return-value]


def _in_kernel() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


class Rate:
    """Steps a second of late, and what they promise; the first step, which compiles or warms up, is soon forgotten."""

    def __init__(self, start: int, total: int, clock: Clock) -> None:
        self.start, self.total, self.clock = start, total, clock
        self.now = (clock(), start)
        self.past = deque([self.now])

    def step(self, done: int) -> None:
        """Count."""
        self.now = (self.clock(), done)
        while len(self.past) > 1 and (self.past[0][1] == self.start or self.past[1][0] < self.now[0] - WINDOW):
            self.past.popleft()
        if self.now[0] - self.past[-1][0] >= WINDOW / 300:
            self.past.append(self.now)

    def value(self) -> float | None:
        """Steps a second; None before the first step."""
        passed, done = (now - past for now, past in zip(self.now, self.past[0], strict=True))
        return done / passed if passed > 0 and done > 0 else None

    def status(self) -> list[str]:
        """Such as "step 100/750", "5.4 it/s", "2:00 left"."""
        rate, done = self.value(), self.now[1]
        if rate is None:
            return [f"step {done}/{self.total}"]
        speed = f"{rate:.{rate < 100:d}f} it/s" if rate >= 1 else f"{1 / rate:.1f} s/it"
        return [f"step {done}/{self.total}", speed, f"{duration((self.total - done) / rate)} left"]


def duration(seconds: float) -> str:
    """2:05, 1:02:05 or 3 d 1:02:05."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return f"{days} d {clock}" if days else clock


def brief(values: Mapping[str, float]) -> dict[str, str]:
    """Losses and PSNR as short text; what else a line of metrics.jsonl holds is left to curves and TensorBoard."""
    shown = ((name, values[name]) for name in _SHOWN if values.get(name) is not None)
    return {name.replace("_", " "): f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}" for name, value in shown}


class _Plain(Progress):
    """A line at a time, at once in the file that it goes to."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate

    def step(self, done: int) -> None:
        self.rate.step(done)

    def numbers(self, done: int, values: Mapping[str, float]) -> None:
        if done != self.rate.now[1]:
            self.rate.step(done)
        self.say(" · ".join([*self.rate.status(), *(f"{name} {value}" for name, value in brief(values).items())]))

    def say(self, text: str) -> None:
        print(text, flush=True)


class _Bar(Progress):
    """tqdm, whose own rate is one of the last steps too."""

    def __init__(self, rate: Rate) -> None:
        done = rate.now[1]
        self.bar = tqdm(initial=done, total=rate.total, desc="train", mininterval=0.5, dynamic_ncols=True)

    def step(self, done: int) -> None:
        self.bar.update(done - self.bar.n)

    def numbers(self, done: int, values: Mapping[str, float]) -> None:
        self.step(done)
        self.bar.set_postfix(brief(values), refresh=False)

    def say(self, text: str) -> None:
        self.bar.write(text, file=sys.stderr)

    def close(self) -> None:
        self.bar.close()


class _Live(Progress):
    """One output of a notebook, replaced in place: progress, numbers, curves, the latest strip, what was said."""

    def __init__(self, rate: Rate, history: Sequence[Mapping[str, Any]]) -> None:
        self.rate, self.log = rate, list(history)
        self.curves = self.strip = ""
        self.stale = bool(self.log)  # the curves are
        self.sentences: deque[str] = deque(maxlen=SENTENCES)
        self.handle: Any = None
        self.due = -math.inf
        self.show()

    def step(self, done: int) -> None:
        self.rate.step(done)
        self.show_when_due()

    def numbers(self, done: int, values: Mapping[str, float]) -> None:
        self.log.append({**values, "step": done})
        self.stale = True
        self.show_when_due()

    def picture(self, done: int, picture: Pixels) -> None:
        height, width = picture.shape[:2]
        scale = min(1.0, WIDEST / width)
        small = resize(picture, max(1, round(height * scale)), max(1, round(width * scale)))
        self.strip = _image(encode_webp(small, 85), "webp", small.shape[1], small.shape[0], f"Step {done}: strip")
        self.strip += f"<div>Step {done}: degraded, restored, clean</div>"
        self.show_when_due()

    def say(self, text: str) -> None:
        self.sentences.append(text)
        self.show_when_due()

    def close(self) -> None:
        self.show()

    def show_when_due(self) -> None:
        if self.rate.clock() >= self.due:
            self.show()

    def show(self) -> None:
        from IPython.display import display

        begun = self.rate.clock()
        if self.stale:
            self.curves, self.stale = self._curves(), False
        numbers = [f"{name} {value}" for name, value in brief(self.log[-1] if self.log else {}).items()]
        status = self.rate.status()
        bundle = {"text/html": self._page(status, numbers), "text/plain": " · ".join([*status, *numbers])}
        if self.handle is None:
            self.handle = display(bundle, raw=True, display_id=True)
        else:
            self.handle.update(bundle, raw=True)
        now = self.rate.clock()
        self.due = now + max(PAUSE, (now - begun) * (1 / SHARE - 1))

    def _curves(self) -> str:
        panels = network_plots.history(self.log)
        if not panels:
            return ""
        buffer = io.BytesIO()
        figure = network_plots.curves(panels)
        figure.savefig(buffer, format="png", dpi=90)
        width, height = (round(90 * inch) for inch in figure.get_size_inches())
        return _image(buffer.getvalue(), "png", width, height, "Curves")

    def _page(self, status: Sequence[str], numbers: Sequence[str]) -> str:
        share = 100 * self.rate.now[1] / max(1, self.rate.total)
        first, *rest = status
        lines = [
            f"<b>{first}</b> · {' · '.join(rest)}" if rest else f"<b>{first}</b>",
            f"<div style='height:4px;max-width:{WIDEST}px;margin:6px 0;background:#8884'>"
            f"<div style='height:4px;width:{share:.1f}%;background:#1f77b4'></div></div>",
            f"<div>{' · '.join(numbers)}</div>",
            *(f"<div style='color:#c0392b'>{html.escape(text)}</div>" for text in self.sentences),
            self.curves,
            self.strip,
        ]
        return f"<div style='font-variant-numeric:tabular-nums'>{''.join(lines)}</div>"


def _image(data: bytes, kind: str, width: int, height: int, name: str) -> str:
    """With its size, so that what lies below does not jump when it is replaced."""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    style = f"display:block;max-width:100%;height:auto;aspect-ratio:{width}/{height};margin:6px 0"
    return f"<img src='{source}' width='{width}' height='{height}' alt='{name}' style='{style}'>"
