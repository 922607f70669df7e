"""A photograph or a folder of them, into another folder: what is done is not done again, what fails is told.

``restored.jsonl`` in the output folder has a line for each photograph: its name, sha256, what was written, the trace. A
batch that was interrupted goes on with the photographs that have no such line for the same settings.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hifacegan_lib.restoration.detection import Detector
from hifacegan_lib.restoration.photo_files import read_photo
from hifacegan_lib.restoration.photos import Model, Restored, restore, restore_aligned
from hifacegan_lib.utils import files
from hifacegan_lib.utils.images import Pixels, resize, save_image
from hifacegan_lib.utils.inputs import Identity, identities, refuse_inputs

JOURNAL = "restored.jsonl"
GAP, HIGHEST = 8, 2000  # of a comparison, pixels: between its pictures, and its most


@dataclass(frozen=True)
class Settings:
    """How photographs are restored; ranges as in :func:`hifacegan_lib.restoration.photos.restore`.

    Attributes:
        only_faces: the restored frames are written, not the photograph.
        comparison: before and after beside each other, too.
        aligned: each picture is one face, framed as the training's are.
    """

    detector: Detector = "auto"
    strength: float = 1.0
    scale: int = 1
    least: int | None = None
    only_faces: bool = False
    comparison: bool = False
    aligned: bool = False


@dataclass
class Outcome:
    """What became of a batch: files written, photographs that were done before, and a sentence for each failure."""

    written: list[Path]
    before: int
    failed: list[str]
    without_face: int = 0


def restore_folder(
    sources: Collection[Path],
    root: Path,
    out: Path,
    model: Model,
    settings: Settings | None = None,
    overwrite: bool = False,
    report: Callable[[str], object] = print,
    shown: Callable[[Collection[Path]], Iterable[Path]] = iter,
) -> Outcome:
    """Restore photographs, keeping their tree below ``root``.

    A photograph without a face is copied byte for byte (enlarged if ``scale`` says so). Nothing replaces an input, and
    a file that is there is replaced only when asked or when this very command had written it.

    Args:
        report: gets a sentence for each failure and each photograph without a face.
        shown: the photographs one by one, a progress bar for instance.
    Raises:
        ValueError: a photograph's output would be one of the inputs; nothing is written then.
    """
    settings = settings or Settings()
    inputs = identities(sources)
    if not settings.only_faces:
        refuse_inputs((out / source.relative_to(root) for source in sources), inputs)
    asked = {**vars(settings), "weights": model.name, "weights_sha256": model.sha256}
    done = _journal(out / JOURNAL)
    outcome = Outcome([], 0, [])
    for source in shown(sources):
        name = source.relative_to(root).as_posix()
        try:
            mark = files.sha256(source)
            line = done.get(name, {})
            known = [out / file for file in line.get("files", [])]
            same = line.get("sha256") == mark and line.get("settings") == asked
            if same and all(path.exists() for path in known) and not overwrite:
                outcome.before += 1
                continue
            written, found = _one(source, out / name, model, settings, None if overwrite else set(known), inputs)
        except (ValueError, OSError, cv2.error) as error:
            outcome.failed.append(str(error) if str(source) in str(error) else f"{source}: {error}")
            report(f"left out: {outcome.failed[-1]}")
            continue
        outcome.written += written
        outcome.without_face += not found.faces
        if not found.faces:
            report(f"{name}: {found.says}")
        line = {"file": name, "sha256": mark, "settings": asked, "says": found.says, "trace": found.trace}
        _append(out / JOURNAL, {**line, "files": [path.relative_to(out).as_posix() for path in written]})
    return outcome


def _one(
    source: Path, target: Path, model: Model, settings: Settings, mine: set[Path] | None, taken: Mapping[Identity, Path]
) -> tuple[list[Path], Restored]:
    """Restore one photograph; all places are checked before the first file is written."""
    photo, s = read_photo(source), settings
    if s.aligned:
        found = restore_aligned(photo, model, s.strength)
    else:
        found = restore(photo, model, s.detector, s.strength, s.scale, s.least)
    plan: dict[Path, Callable[[Path], object]] = {}
    if s.only_faces:
        for n, face in enumerate(found.faces, 1):
            plan[target.with_name(f"{target.stem}_face{n}.png")] = partial(save_image, image=face.after)
    elif found.faces or s.scale > 1:
        plan[target.with_suffix(photo.suffix)] = found.save
    else:
        plan[target] = lambda path: files.write_bytes(path, source.read_bytes())
    if s.comparison:
        pair = side_by_side(photo.shown, found.image)
        plan[target.with_name(f"{target.stem}_comparison.jpg")] = partial(save_image, image=pair)
    refuse_inputs(plan, taken)
    for path in plan:
        if mine is not None and path.exists() and path not in mine:
            raise ValueError(f"{path}: exists already; --overwrite replaces it")
    for path, write in plan.items():
        write(path)
    return list(plan), found


def side_by_side(before: Pixels, after: Pixels) -> Pixels:
    """Two pictures of one photograph beside each other, at the larger one's size, at most 2000 pixels high."""
    height, width = after.shape[:2]
    shrink = min(1.0, HIGHEST / height)
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    gap = np.full((size[0], GAP, 3), 255, np.uint8)
    return np.hstack([resize(before, *size), gap, resize(after, *size)])


def _journal(path: Path) -> dict[str, dict[str, Any]]:
    """The last line of each photograph; a line that was cut off is none."""
    found: dict[str, dict[str, Any]] = {}
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
            found[line["file"]] = line
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    return found


def _append(path: Path, line: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
