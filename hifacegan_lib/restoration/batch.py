"""Restore a photograph or a folder of them into another folder; finished photographs are skipped, failures are named.

``restored.jsonl`` in the output folder has a line for each photograph: its name, sha256, the settings that were used,
the files that were written, the trace. An interrupted batch goes on with the photographs that have no such line for the
same settings. A file without its line (the batch was killed in between) is recognised by its bytes.

Workers draw photographs into a scratch folder. This process alone moves them to their places and writes the journal, in
the order in which they end.
"""

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import PIL

from hifacegan_lib import __version__
from hifacegan_lib.restoration import detection
from hifacegan_lib.restoration.detection import Detector
from hifacegan_lib.restoration.photo_files import read_photo, written_suffix
from hifacegan_lib.restoration.photos import DRAWING, Model, Restored, Scale, restore, restore_aligned
from hifacegan_lib.utils import files
from hifacegan_lib.utils.folder_lock import scratch_folder
from hifacegan_lib.utils.images import Pixels, resize, save_image
from hifacegan_lib.utils.inputs import identities, output_file, plan_stems, refuse_inputs
from hifacegan_lib.utils.item_guard import ItemGuard, printable
from hifacegan_lib.utils.jobs import workers

JOURNAL = "restored.jsonl"
GAP, HIGHEST = 8, 2000  # of a comparison, pixels: between its pictures, and its most


@dataclass(frozen=True)
class Settings:
    """How photographs are restored; ranges as in :func:`hifacegan_lib.restoration.photos.restore`.

    Attributes:
        only_faces: the restored frames are written, not the photograph.
        comparison: before and after beside each other, too.
        aligned: each picture is one face, framed as the training's are.
        background: what draws around the faces; None: Lanczos.
    """

    detector: Detector = "auto"
    strength: float = 1.0
    scale: Scale = "auto"
    least: int | None = None
    only_faces: bool = False
    comparison: bool = False
    aligned: bool = False
    background: Model | None = None


@dataclass
class Outcome:
    """The result of a batch: files written, photographs that were done before, and a sentence for each failure."""

    written: list[Path] = field(default_factory=list)
    before: int = 0
    failed: list[str] = field(default_factory=list)
    without_face: int = 0


def restore_folder(
    sources: Collection[Path],
    root: Path,
    out: Path,
    model: Model,
    settings: Settings | None = None,
    overwrite: bool = False,
    report: Callable[[str], object] = print,
    tick: Callable[[], object] = lambda: None,
    jobs: int = 1,
    scheduler: str = "",
) -> Outcome:
    """Restore photographs, keeping their tree below ``root``.

    A photograph without a face is copied byte for byte (enlarged if ``scale`` is 2 or 4). Nothing replaces an input,
    and an existing file is replaced only if ``overwrite`` says so, or if it is the same photograph's earlier result.
    Two photographs never share a file: next to ``a.bmp``, ``a.gif`` becomes ``a.gif.png``.

    Args:
        report: gets a sentence for each failure, each photograph without a face or enlarged, and each loss.
        tick: is called after each photograph, by a progress bar for instance.
        jobs, scheduler: see :func:`hifacegan_lib.utils.jobs.workers`.
    Raises:
        ValueError: two photographs become one file, or an output is an input. MissingWeights: no YuNet.
        BlockingIOError: another process restores into ``out``. Nothing is written then.
    """
    settings = settings or Settings()
    suffixes = {source: written_suffix(source) for source in sources}

    def possible(source: Path, stem: Path) -> Iterator[Path]:
        return _possible(source, stem, suffixes[source], settings)

    stems = plan_stems(sources, root, out, possible)
    names = {source: (source.relative_to(root).as_posix(), files.relative_path(source, out)) for source in sources}
    used = used_settings(model, settings)
    outcome, guard, taken = Outcome(), ItemGuard(report), identities(sources)
    with scratch_folder(out / ".restore.partial") as scratch, workers(jobs, scheduler) as each:
        scratch.mkdir()
        journal = read_journal(out / JOURNAL)
        lines = [journal[name] for name, origin in names.values() if journal.get(name, {}).get("source") == origin]
        mine = {out / file for line in lines for file in line.get("files", [])}  # of any of these photographs

        def tasks() -> Iterator[_Task]:
            for source in sources:
                name, stem = names[source][0], stems[source]
                with guard.item(source):
                    sha256, line = files.sha256(source), journal.get(name, {})
                    same = line.get("sha256") == sha256
                    known = [out / file for file in line.get("files", [])] if same else []
                    whole = all(path.exists() for path in known) and set(known[:1]) <= set(possible(source, stem))
                    if overwrite or not (same and line.get("settings") == used and whole):
                        yield _Task(source, stem, suffixes[source], sha256, known)
                        continue
                    outcome.before += 1
                tick()

        draw = partial(_draw_aside, model=model, settings=settings, used=used, scratch=scratch)
        for task, result in each(draw, tasks()):
            with guard.item(task.source):
                drawn, (name, origin) = result(), names[task.source]
                _place(drawn.made, None if overwrite else mine.union(task.known), taken)
                taken |= identities(drawn.made)
                line = {"file": name, "source": origin, "sha256": task.sha256, "settings": used, **drawn.about}
                line |= {"files": [path.relative_to(out).as_posix() for path in drawn.made]}
                files.append_line(out / JOURNAL, line)
                outcome.written += drawn.made
                outcome.without_face += not drawn.faces
                for said in drawn.remarks:
                    report(printable(f"{name}: {said}"))
            tick()
    outcome.failed = guard.sentences
    return outcome


class _Task(NamedTuple):
    """A photograph to restore, its sha256, and the files of its earlier result."""

    source: Path
    stem: Path
    suffix: str
    sha256: str
    known: list[Path]


class _Drawn(NamedTuple):
    """A restored photograph: each file with its whole copy in the scratch folder, JSON for its line, remarks."""

    made: dict[Path, Path]
    about: dict[str, Any]
    faces: int
    remarks: list[str]


def _draw_aside(task: _Task, model: Model, settings: Settings, used: Mapping[str, Any], scratch: Path) -> _Drawn:
    """Restore one photograph into a folder of its own, perhaps on another machine.

    Raises:
        ValueError: it would be restored by other versions or another detector than ``used``.
    """
    here = used_settings(model, settings)
    if other := [f"{key} {here[key]!r}, expected {value!r}" for key, value in used.items() if here[key] != value]:
        raise ValueError(f"this worker has {'; '.join(other)}")
    found, plan = _draw(task, model, settings)
    aside = Path(tempfile.mkdtemp(dir=scratch))
    made = {path: aside / path.name for path in plan}
    for path, write in plan.items():
        write(made[path])
    about = {"says": found.summary, "trace": found.trace}
    about |= {"not kept": found.photo.lost} if found.photo.lost else {}
    return _Drawn(made, about, len(found.faces), _remarks(found))


def _remarks(found: Restored) -> list[str]:
    """Sentences for the console about a restored photograph."""
    if not found.faces and found.trace["scale"] == 1:
        return [found.summary]  # copied
    remarks = [found.summary] if not found.faces else []
    remarks += [found.trace["scale_reason"]] if found.trace.get("scale_reason") else []
    return remarks + [f"not kept: {name}" for name in found.photo.lost] + list(found.photo.remarks)


def used_settings(model: Model, settings: Settings) -> dict[str, Any]:
    """Everything that the pixels depend on beside the photograph; "auto" is replaced by the detector that is used."""
    detector = "none" if settings.aligned else detection.version(settings.detector)
    weights = {"weights": model.name, "weights_sha256": model.sha256, "engine": model.engine}
    versions = f"workbench {__version__}, drawing {DRAWING}, OpenCV {cv2.__version__}, Pillow {PIL.__version__}"
    around = settings.background and [settings.background.name, settings.background.sha256, settings.background.engine]
    return {**vars(settings), "detector": detector, "background": around, **weights, "versions": versions}


def _possible(source: Path, stem: Path, suffix: str, settings: Settings) -> Iterator[Path]:
    """All files that a photograph may become; of its faces, the first stands for all."""
    if settings.only_faces:
        yield stem.with_name(f"{stem.name}_face1.png")
    else:
        yield stem.with_name(source.name)  # a copy, or the restored photograph
        yield output_file(source, stem, suffix)
    if settings.comparison:
        yield stem.with_name(f"{stem.name}_comparison.jpg")


def _draw(task: _Task, model: Model, settings: Settings) -> tuple[Restored, dict[Path, Callable[[Path], object]]]:
    """Restore one photograph; each file that it becomes, with the function that writes it."""
    source, stem, s = task.source, task.stem, settings
    photo = read_photo(source)
    if s.aligned:
        found = restore_aligned(photo, model, s.strength)
    else:
        found = restore(photo, model, s.detector, s.strength, s.scale, s.least, s.background)
    plan: dict[Path, Callable[[Path], object]] = {}
    if s.only_faces:
        for n, face in enumerate(found.faces, 1):
            plan[stem.with_name(f"{stem.name}_face{n}.png")] = partial(save_image, image=face.after)
    elif found.faces or found.trace["scale"] > 1 or s.background:
        plan[output_file(source, stem, task.suffix)] = found.save
    else:
        plan[stem.with_name(source.name)] = lambda path: files.write_bytes(path, source.read_bytes())
    if s.comparison:
        pair = side_by_side(photo.shown, found.image)
        plan[stem.with_name(f"{stem.name}_comparison.jpg")] = partial(save_image, image=pair)
    return found, plan


def _place(made: Mapping[Path, Path], mine: Collection[Path] | None, taken: Mapping[tuple[int, int], Path]) -> None:
    """Put each file of a photograph in its place.

    Args:
        made: file -> its whole copy.
        mine: existing files that may be replaced; None: all but ``taken``, the inputs and the outputs of this batch.
    """
    refuse_inputs(made, taken)
    for path, aside in made.items():
        if mine is not None and path not in mine and path.exists() and path.read_bytes() != aside.read_bytes():
            raise ValueError(f"{path}: exists already; --overwrite replaces it")
    for path, aside in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.replace(path)


def side_by_side(before: Pixels, after: Pixels) -> Pixels:
    """Two pictures of one photograph beside each other, at the larger one's size, at most 2000 pixels high."""
    height, width = after.shape[:2]
    shrink = min(1.0, HIGHEST / height)
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    gap = np.full((size[0], GAP, 3), 255, np.uint8)
    return np.hstack([resize(before, *size), gap, resize(after, *size)])


def read_journal(path: Path) -> dict[str, dict[str, Any]]:
    """The last line of each photograph."""
    return {line["file"]: line for line in files.read_lines(path)}
