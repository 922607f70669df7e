"""The methods of a benchmark, each given by a word; their outputs, drawn once and kept.

    compact-256@blend=1            shipped weights, a file of weights, a folder of somebody's results
    flow.safetensors@steps=5       a flow, drawn in another number of steps
    realesrgan-x4plus@size=64      faces are shown to the network at 64 pixels
    bicubic@factor=3               a classical restorer of evaluation/baselines.py
    mine=runs/a/ema.safetensors    any of them, under a label of your own

Outputs are lossless PNG files. A method whose mark did not change (its sha256 and settings, and how its inputs were
made) draws only the faces that are missing.
"""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch

from hifacegan_lib.evaluation import baselines
from hifacegan_lib.evaluation.baselines import Tuned
from hifacegan_lib.evaluation.scoring import Method, restore
from hifacegan_lib.restoration import pretrained
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.utils.files import expanded, read_json, write_json
from hifacegan_lib.utils.images import Pixels, load_image, save_image, to_float, to_uint8
from hifacegan_lib.utils.inputs import shortened
from hifacegan_lib.utils.item_guard import ItemGuard
from hifacegan_lib.utils.jobs import Each, serial

INPUT = "input"
"""The damaged faces as they are, the first row of every benchmark."""
RECORD = "method.json"
_WORD = re.compile(r"(?:(?P<label>[^@=/\\]+)=)?(?P<name>.+?)(?:@(?P<settings>[^@/\\]*))?")


@dataclass(frozen=True)
class Word:
    """A method as it was asked for.

    Attributes:
        label: of its rows, and of the folder of its outputs.
        name: of shipped weights or a classical restorer, or a path.
        settings: name -> number.
    """

    label: str
    name: str
    settings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Restorer:
    """A method that is ready: it draws faces, or its faces lie in a folder.

    Attributes:
        card: what it is, as JSON values; "sha256" None: it cannot be recognised, and its outputs are never reused.
        draw: uint8 H x W x 3 each -> the same shapes.
        results: key -> picture; where keys begin with the set's name and "/", these alone are taken.
    """

    label: str
    card: Mapping[str, Any]
    draw: Callable[[Sequence[Pixels]], Sequence[Pixels]] | None = None
    results: Mapping[str, Path] | None = None


def parse(text: str, label: str = "") -> Word:
    """Read ``[label=]name[@setting=number,...]``; nothing is loaded.

    Args:
        label: goes before the text's own.
    Raises:
        ValueError: a setting that is unknown, no number or out of range; a label that cannot be a folder's name.
        FileNotFoundError: not a shipped name, a classical restorer or an existing path.
    """
    found = None if expanded(text).exists() else _WORD.fullmatch(text)
    own, name, given = found.groups("") if found else ("", text, "")
    if given and expanded(f"{name}@{given}").exists():
        name, given = f"{name}@{given}", ""
    classical, named = baselines.DEFAULTS.get(name), pretrained.is_name(name)
    if not name or (classical is None and not named and not expanded(name).exists()):
        names = ", ".join((*pretrained.names(), *pretrained.FETCHED))
        raise FileNotFoundError(
            f"method {text!r}: unknown: expected a file, a folder, weights by name ({names}) or a classical restorer "
            f"({', '.join(baselines.DEFAULTS)})"
        )
    known = list(classical or ([] if expanded(name).is_dir() else ["blend", "steps", "size"]))
    settings: dict[str, float] = {}
    for part in given.split(",") if given else ():
        key, _, value = part.partition("=")
        if key not in known:
            raise ValueError(f"method {text!r}: unknown setting {key!r}; there are: {', '.join(known) or 'none'}")
        try:
            settings[key] = float(value)
        except ValueError:
            raise ValueError(f"method {text!r}: {part!r}: expected {key}=NUMBER") from None
    if not 0 <= settings.get("blend", 0) <= 1:
        raise ValueError(f"method {text!r}: blend = {settings['blend']:g}: expected 0 (fidelity) to 1 (realism)")
    for key, least, unit in (("size", 16, " of pixels"), ("steps", 1, "")):
        if not (number := settings.get(key, least)) >= least or number % 1:
            raise ValueError(f"method {text!r}: {key} = {number:g}: expected a whole number{unit}, at least {least}")
    path = expanded(name)
    short = name if classical is not None or named else path.resolve().name if path.is_dir() else path.stem
    label = label or own or short + (f"@{given}" if given else "")
    if not usable(label):
        raise ValueError(f"method {text!r}: the label {label!r} cannot be used; name another: label={name}")
    return Word(label, name, settings)


def usable(label: str) -> bool:
    """Whether a label can be the name of a folder, and is not the input's."""
    return label not in ("", INPUT, "clean") and not label.startswith(".") and not set(label) & set("/\\\0")


def open_method(word: Word, device: str = "cpu", tuned: Mapping[str, Tuned] | None = None) -> Restorer:
    """Load what a word names.

    Args:
        tuned: classical restorers with the settings that suit the damage; settings in the word go before these.
    Raises:
        ValueError, FileNotFoundError: as :func:`hifacegan_lib.restoration.pretrained.load_model`.
    """
    if word.name in baselines.DEFAULTS:
        best = (tuned or {}).get(word.name)
        chosen = {**baselines.DEFAULTS[word.name], **(best.setting if best else {}), **word.settings}
        how = "given" if word.settings else "tuned on training faces" if best else "default"
        return classical(word.label, word.name, chosen, how)
    steps = int(word.settings["steps"]) if "steps" in word.settings else None
    model = pretrained.load_model(word.name, word.settings.get("blend", 0.0), device, steps=steps)
    if "size" in word.settings:
        if model.card.square:
            said = f"{word.name} takes {model.card.size} pixels and nothing else"
            raise ValueError(f"method {word.label!r}: size: {said}")
        model = replace(model, card=replace(model.card, size=int(word.settings["size"])))
    return of_model(word.label, model)


def of_model(label: str, model: Model) -> Restorer:
    """A network, or a folder of results."""
    card = {**model.card.to_dict(), "name": Path(model.card.name).name, "engine": model.engine}
    return Restorer(label, card, model.restore, model.results)


def classical(label: str, family: str, setting: Mapping[str, Any], how: str) -> Restorer:
    """A classical restorer; ``how`` says in words where its settings come from."""
    whole = {name: int(value) if float(value).is_integer() else value for name, value in setting.items()}
    versions = f"OpenCV {cv2.__version__}, PyTorch {torch.__version__}"
    card = {"name": family, "sha256": "", "engine": versions, "settings": whole, "settings_are": how}
    method = partial(baselines.FAMILIES[family], **whole)
    method(torch.zeros(1, 3, 32, 32))  # refuses bad settings
    return of_callable(label, method, card)


def of_callable(label: str, method: Method, card: Mapping[str, Any] | None = None, device: str = "cpu") -> Restorer:
    """Any function N x 3 x H x W in [0, 1] -> the same shape; each face is a batch of its own, on ``device``."""
    return Restorer(label, card or {"name": label, "sha256": None}, partial(_by_callable, label, method, device))


def _by_callable(label: str, method: Method, device: str, faces: Sequence[Pixels]) -> list[Pixels]:
    return [to_uint8(restore(label, method, to_float(face)[None].to(device))[0]) for face in faces]


def outputs(
    restorer: Restorer,
    name: str,
    inputs: Mapping[str, Path],
    made: Mapping[str, Any],
    folder: Path,
    tick: Callable[[int], object] = lambda _: None,
    each: Each = serial,
) -> dict[str, Path]:
    """Key -> file of a method's faces; those that are not there yet are drawn into ``folder``/outputs.

    Args:
        name: of the set; ``inputs``: key -> file of the damaged face; ``made``: what they are, as JSON values.
        tick: is called with the number of faces that are done.
        each: of :func:`hifacegan_lib.utils.jobs.workers`; the faces are drawn by these.
    Raises:
        ValueError: a face without output; the message names it, the others' outputs are kept.
    """
    if restorer.results is not None:
        results = {k.removeprefix(f"{name}/"): path for k, path in restorer.results.items() if k.startswith(f"{name}/")}
        results = results or dict(restorer.results)
        if missing := [key for key in inputs if key not in results]:
            raise ValueError(f"no picture for {len(missing)} of {len(inputs)} faces: {shortened(missing)}")
        tick(len(inputs))
        return {key: results[key] for key in inputs}
    mark = {"method": dict(restorer.card), "inputs": dict(made)}
    if restorer.card["sha256"] is None or not (folder / RECORD).exists() or read_json(folder / RECORD) != mark:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(folder / RECORD, mark)
    files, guard = {key: folder / "outputs" / f"{key}.png" for key in inputs}, ItemGuard()
    missing = [key for key, path in files.items() if not path.exists()]
    tick(len(files) - len(missing))
    tasks = [(key, inputs[key], files[key]) for key in missing]
    for (key, source, _), result in each(partial(_draw_one, restorer), tasks):
        with guard.item(key, source):
            result()
        tick(1)
    if guard.failed:
        why = next(guard.failed[key] for key in missing if key in guard.failed)
        raise ValueError(f"no output for {len(guard.failed)} of {len(files)} faces: {shortened(guard.failed)}: {why}")
    return files


def _draw_one(restorer: Restorer, task: tuple[str, Path, Path]) -> None:
    """Face by face: no output depends on its neighbours, or on where a run was stopped."""
    _, source, target = task
    (drawn,) = restorer.draw([load_image(source)])  # type: ignore[misc]
    save_image(target, drawn)
