"""The display of a training run: a bar, a bar with one live picture in a notebook, or plain lines in a log.

tqdm measures the rate of the last steps and the time that is left; this module chooses where they are shown. The live
picture is one output, replaced in place, so that a notebook does not grow.
"""

import html
import io
import os
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Literal, cast, get_args

import tqdm.auto

from hifacegan_lib.reports import network_plots
from hifacegan_lib.reports.html_pages import narrowed, png_uri, webp_uri
from hifacegan_lib.utils.images import Pixels

Kind = Literal["auto", "bar", "live", "plain", "none"]

VARIABLE = "HIFACEGAN_PROGRESS"
PAUSE = 2.0  # least seconds between two live pictures
SHARE = 0.05  # most of the time that drawing them may take
WIDEST = 1000  # of a live picture, pixels
SENTENCES = 8  # newest that stand above it
_FRONT_ENDS = ("JPY_SESSION_NAME", "COLAB_RELEASE_TAG", "VSCODE_PID")  # set by Jupyter's server, Colab, VS Code
_LINE = "step {n_fmt}/{total_fmt} · {rate_fmt} · {remaining} left{postfix}"


class Progress:
    """What a training loop tells; ``done`` counts finished steps from the run's beginning. This one shows nothing."""

    def step(self, done: int) -> None:
        """After each optimizer step."""

    def numbers(self, done: int, values: Mapping[str, float]) -> None:
        """At a line of metrics.jsonl."""

    def picture(self, done: int, picture: Pixels) -> None:
        """A strip of validation faces, uint8 H x W x 3."""

    def say(self, text: str) -> None:
        """A sentence: a warning, why the run stopped."""

    def close(self) -> None:
        """At the end, also after an error."""


def open_progress(
    kind: Kind = "auto", start: int = 0, total: int = 0, history: Sequence[Mapping[str, Any]] = ()
) -> Progress:
    """Open a display of a run.

    Args:
        kind: ``auto`` is what :func:`choose` finds.
        start: steps that were done before.
        total: steps in all.
        history: earlier lines of metrics.jsonl, drawn too.
    Raises:
        ValueError: no such kind, here or in HIFACEGAN_PROGRESS.
    """
    if _known(kind, "progress") == "auto":
        kind = choose(os.environ, _in_kernel(), sys.stderr.isatty())
    if kind == "none":
        return Progress()
    if kind == "live":
        return _Live(start, total, history)
    return (_Plain if kind == "plain" else _Bar)(start, total)


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
    return cast(Kind, kind)


def _in_kernel() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def brief(values: Mapping[str, float]) -> dict[str, str]:
    """Losses and PSNR as short text; curves and TensorBoard have the rest of a line of metrics.jsonl."""
    names = [name for panel in network_plots.QUANTITIES.values() for name in panel if values.get(name) is not None]
    return {n.replace("_", " "): f"{values[n]:.1f}" if abs(values[n]) >= 10 else f"{values[n]:.2g}" for n in names}


class _Bar(Progress):
    """tqdm's bar, in a terminal or a notebook."""

    def __init__(self, start: int, total: int, bar: type[tqdm.tqdm] = tqdm.auto.tqdm, **options: Any) -> None:
        self.bar = bar(initial=start, total=total, mininterval=0.5, miniters=1, **{"desc": "train", **options})

    def step(self, done: int) -> None:
        self.bar.update(done - self.bar.n)

    def numbers(self, done: int, values: Mapping[str, float]) -> None:
        self.step(done)
        self.bar.set_postfix(brief(values), refresh=False)

    def say(self, text: str) -> None:
        self.bar.write(text, file=sys.stderr)

    def close(self) -> None:
        self.bar.close()


class _Silent(tqdm.tqdm):
    """Counts, and draws nothing."""

    def display(self, *_: Any, **__: Any) -> None:
        pass


class _Plain(_Bar):
    """A line at a time, at once in the file that it goes to."""

    def __init__(self, start: int, total: int) -> None:
        super().__init__(start, total, _Silent, file=io.StringIO(), bar_format=_LINE)

    def numbers(self, done: int, values: Mapping[str, float]) -> None:
        super().numbers(done, values)
        self.say(" ".join(str(self.bar).split()))

    def say(self, text: str) -> None:
        print(text, flush=True)


class _Live(_Bar):
    """The bar, and below it one output, replaced in place: the newest sentences, curves, the latest strip."""

    def __init__(self, start: int, total: int, history: Sequence[Mapping[str, Any]]) -> None:
        from IPython.display import display

        super().__init__(start, total)
        self.log, self.strip = list(history), ""
        self.sentences: deque[str] = deque(maxlen=SENTENCES)
        self.output: Any = display({"text/html": ""}, raw=True, display_id=True)
        self.draw()

    def numbers(self, done: int, values: Mapping[str, float]) -> None:
        super().numbers(done, values)
        self.log.append({**values, "step": done})
        self.draw_when_due()

    def picture(self, done: int, picture: Pixels) -> None:
        self.strip = f"<div>Step {done}: degraded, restored, clean</div>"
        self.strip += f"<img src='{webp_uri(narrowed(picture, WIDEST))}' alt='Validation faces, step {done}'>"
        self.draw_when_due()

    def say(self, text: str) -> None:
        self.sentences.append(f"<div style='color:#c0392b'>{html.escape(text)}</div>")
        self.draw_when_due()

    def close(self) -> None:
        self.draw()
        super().close()

    def draw_when_due(self) -> None:
        if monotonic() >= self.due:
            self.draw()

    def draw(self) -> None:
        begun = monotonic()
        panels = network_plots.history(self.log)
        curves = f"<img src='{png_uri(network_plots.curves(panels), 90)}' alt='Curves'>" if panels else ""
        self.output.update({"text/html": "".join(self.sentences) + curves + self.strip}, raw=True)
        now = monotonic()
        self.due = now + max(PAUSE, (now - begun) * (1 / SHARE - 1))
