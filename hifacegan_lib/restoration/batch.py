"""A photograph or a folder of them, into another folder: what is done is not done again, what fails is told.

``restored.jsonl`` in the output folder has a line for each photograph: its name, sha256, what was written, the trace. A
batch that was interrupted goes on with the photographs that have no such line for the same settings.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hifacegan_lib.restoration.detection import Detector
from hifacegan_lib.restoration.photo_files import read_photo, write_photo
from hifacegan_lib.restoration.photos import Model, Restored, restore, restore_aligned
from hifacegan_lib.utils.images import Pixels, save_image
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
    seconds_network: float = 0.0
    seconds_rest: float = 0.0


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
            mark = hashlib.sha256(source.read_bytes()).hexdigest()
            line = done.get(name, {})
            known = [out / file for file in line.get("files", [])]
            same = line.get("sha256") == mark and line.get("settings") == asked
            if same and all(path.exists() for path in known) and not overwrite:
                outcome.before += 1
                continue
            files, found = _one(source, out / name, model, settings, None if overwrite else set(known), inputs)
        except (ValueError, OSError, cv2.error) as error:
            outcome.failed.append(str(error) if str(source) in str(error) else f"{source}: {error}")
            report(f"left out: {outcome.failed[-1]}")
            continue
        outcome.written += files
        outcome.without_face += not found.faces
        outcome.seconds_network += found.seconds["network"]
        outcome.seconds_rest += found.seconds["rest"]
        if not found.faces:
            report(f"{name}: {found.says}")
        line = {"file": name, "sha256": mark, "settings": asked, "files": [_below(path, out) for path in files]}
        _append(out / JOURNAL, {**line, "says": found.says, "trace": found.trace})
    return outcome


def _one(
    source: Path, target: Path, model: Model, settings: Settings, mine: set[Path] | None, taken: Mapping[Identity, Path]
) -> tuple[list[Path], Restored]:
    photo = read_photo(source)
    if settings.aligned:
        found = restore_aligned(photo, model, settings.strength)
    else:
        found = restore(photo, model, settings.detector, settings.strength, settings.scale, settings.least)
    says = f"hifacegan-workbench {found.trace['workbench']}: {found.says}"
    plan: list[tuple[Path, Callable[[Path], object]]] = []
    if settings.only_faces:
        names = [target.with_name(f"{target.stem}_face{n + 1}.png") for n in range(len(found.faces))]
        plan += [(path, partial(_save, face=face.after)) for path, face in zip(names, found.faces, strict=True)]
    elif found.faces or settings.scale > 1:
        plan.append((target.with_suffix(photo.suffix), lambda path: write_photo(path, found.photo, says)))
    else:
        plan.append((target, lambda path: _copy(source, path)))
    if settings.comparison:
        where = target.with_name(f"{target.stem}_comparison.jpg")
        plan.append((where, partial(_save, face=side_by_side(photo.shown, found.image))))
    refuse_inputs((path for path, _ in plan), taken)
    for path, _ in plan:
        if mine is not None and path.exists() and path not in mine:
            raise ValueError(f"{path}: exists already; --overwrite replaces it")
    for path, write in plan:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    return [path for path, _ in plan], found


def side_by_side(before: Pixels, after: Pixels) -> Pixels:
    """Two pictures of one photograph beside each other, at the larger one's size, at most 2000 pixels high."""
    height, width = after.shape[:2]
    shrink = min(1.0, HIGHEST / height)
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    kind = cv2.INTER_AREA if shrink < 1 else cv2.INTER_CUBIC
    shown = [x if x.shape[1::-1] == size else cv2.resize(x, size, interpolation=kind) for x in (before, after)]
    gap = np.full((size[1], GAP, 3), 255, np.uint8)
    return np.hstack([shown[0], gap, shown[1]])


def _save(path: Path, face: Pixels) -> None:
    save_image(path, face)


def _copy(source: Path, target: Path) -> None:
    beside = target.with_name(f".{target.name}.partial")
    try:
        shutil.copyfile(source, beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


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


def _below(path: Path, out: Path) -> str:
    return path.relative_to(out).as_posix()
