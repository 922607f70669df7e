"""A run as one HTML file that opens anywhere: how it was trained, and what it is worth.

Notebook 04 writes it with the training alone, notebook 05 again with the evaluation on top.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from matplotlib.figure import Figure

from hifacegan_lib.evaluation.results import Evaluation, cell
from hifacegan_lib.reports import network_plots
from hifacegan_lib.reports.html_pages import Section, Slider, render
from hifacegan_lib.reports.run_log import read_lines, read_pictures, strip_faces
from hifacegan_lib.utils.files import read_json, write_text
from hifacegan_lib.utils.images import Pixels, grid, load_image

STRIPS = 4  # most in a report
LISTED_SEPARATELY = frozenset({"metrics", "unavailable", "no_value", "unreadable", "failed"})
"""Conditions with a place of their own in the page."""
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:)?(?:[/\\][\w.@+~-]+)+(?=[/\\])")


@dataclass(frozen=True)
class TrainingRecord:
    """What the files of a training run's folder say; what is not there is empty or None.

    Attributes:
        log: the lines of metrics.jsonl.
        warnings: (step, sentence).
        strips: (step, picture), at most ``STRIPS``: the first, the last and some between.
        params: params.json.
        environment: environment.json.
        result: result.json; empty while the run is not finished.
    """

    log: Sequence[Mapping[str, Any]]
    warnings: Sequence[tuple[int, str]] = ()
    strips: Sequence[tuple[int, Pixels]] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, run_folder: str | Path) -> Self | None:
        """Read a run; None where nothing was trained.

        Raises:
            ValueError: a file that is there cannot be read; the message names it.
        """
        folder = Path(run_folder)
        names = ("params", "environment", "result")
        files = {name: read_json(path) for name in names if (path := folder / f"{name}.json").exists()}
        log = read_lines(folder)
        if not log and not files.get("result"):
            return None
        warnings = [(line["step"], line["warning"]) for line in read_lines(folder, name="warnings.jsonl")]
        pictures = list(read_pictures(folder).items())
        chosen = sorted({round(n * (len(pictures) - 1) / (STRIPS - 1)) for n in range(STRIPS)}) if pictures else []
        strips = [(pictures[n][0], load_image(pictures[n][1])) for n in chosen]
        return cls(log, warnings, strips, **files)

    @property
    def steps(self) -> int:
        """Steps that were done."""
        return int(self.result.get("steps") or self.log[-1]["step"])

    @property
    def seconds(self) -> float | None:
        """All sessions of the run together."""
        return self.result.get("seconds") or (self.log[-1].get("seconds") if self.log else None)

    @property
    def time(self) -> str | None:
        """The same as text, such as "1 day, 2:03:04"."""
        return f"{timedelta(seconds=round(self.seconds))}" if self.seconds else None

    @property
    def faces_seen(self) -> int | None:
        """Pairs, with repetition."""
        return self.steps * self.params["batch_size"] if "batch_size" in self.params else None

    def curves(self) -> dict[str, Figure]:
        """Losses and PSNR by step, with the time above where it was kept: a figure for each quantity."""
        seconds = [(line["step"], line["seconds"]) for line in self.log if line.get("seconds") is not None]
        panels = network_plots.history(self.log)
        return {name: network_plots.curves({name: lines}, seconds=seconds) for name, lines in panels.items()}

    def faces(self) -> dict[str, Pixels]:
        """The strips as one comparison: degraded, restored after each step, clean; a row of faces each."""
        if not self.strips:
            return {}
        strips = [(step, strip_faces(picture)) for step, picture in self.strips]
        last = strips[-1][1]
        rows = {"degraded": last["degraded"], **{f"step {step:,}": faces["restored"] for step, faces in strips}}
        return {name: grid(row, len(row)) for name, row in {**rows, "clean": last["clean"]}.items()}


def write_report(
    path: str | Path,
    evaluation: Evaluation | None,
    figures: Mapping[str, Figure],
    params: Mapping[str, Any],
    environment: Mapping[str, Any],
    title: str = "Face renovation",
    training: TrainingRecord | None = None,
    sliders: Sequence[Slider] = (),
    sections: Sequence[Section] = (),
) -> Path:
    """Write the report, whole or not at all.

    Args:
        evaluation: the page's first part; None: there is none yet.
        figures: caption -> figure, in order; a caption's first sentence is its title.
        params: the notebook's parameters.
        environment: versions, device and commit, see :func:`hifacegan_lib.runs.environment`.
        training: the page's second part, or its only one.
        sliders: faces to look at before and after.
        sections: more of the evaluation: surfaces, protocols, groups.
    Raises:
        ValueError: neither an evaluation nor a training.
    """
    if evaluation is None and training is None:
        raise ValueError("a report needs an evaluation or a training, got neither")
    tables = {"Parameters": params, "Environment": environment}
    if evaluation and training:
        tables["Parameters of the training"] = training.params
        if training.environment != environment:
            tables["Environment of the training"] = training.environment
    page = render(
        "report.html",
        title=title,
        evaluation=evaluation,
        finding=_finding(evaluation) if evaluation else None,
        cell=cell,
        sliders=sliders,
        figures=figures,
        sections=sections,
        listed_separately=LISTED_SEPARATELY,
        training=training,
        warnings=[(step, ABSOLUTE_PATH.sub("…", text)) for step, text in training.warnings] if training else [],
        tables=tables,
    )
    return write_text(path, page)


def _finding(evaluation: Evaluation) -> dict[str, Any] | None:
    """The best method by PSNR, its gain over the input and over the next best.

    None when nothing beats the input, or when there is neither an input nor another method to compare with.
    """
    means = {row["method"]: row["psnr"] for row in evaluation.rows if row.get("psnr") is not None}
    best, *others = sorted(means, key=lambda method: -means[method]) or ["degraded"]
    rival = next((method for method in others if method != "degraded"), None)
    if best == "degraded" or not others:
        return None
    gain = evaluation.gain(best) if "degraded" in evaluation.scores else None
    return {"method": best, "gain": gain, "rival": rival, "lead": evaluation.gain(best, rival) if rival else None}
