"""Run a benchmark: every method draws every set, and every pair of them is an evaluation of its own.

    out/SET/input, clean               where a recipe damages the set: its PNG files, and inputs.json with the traces
    out/SET/methods/METHOD/outputs     lossless PNG files, drawn once
    out/SET/methods/METHOD/metrics.json, metrics.csv

A run that was interrupted goes on where it stopped. A method that fails on a set is a row with its reason.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hifacegan_lib.data.face_sets import FaceSet, Source, damaged, open_set, set_cards
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.evaluation import methods as kinds
from hifacegan_lib.evaluation.baselines import FAMILIES, Tuned, tune_all
from hifacegan_lib.evaluation.benchmark_results import ROW, Asked, Benchmark
from hifacegan_lib.evaluation.folder_pairs import FolderPairs
from hifacegan_lib.evaluation.methods import INPUT, Restorer, Word
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.scoring import Method, evaluate
from hifacegan_lib.metrics.learned_quality import installed_version
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.utils.files import expanded, sha256
from hifacegan_lib.utils.folder_lock import locked
from hifacegan_lib.utils.images import load_image, to_float
from hifacegan_lib.utils.inputs import images_in, shortened
from hifacegan_lib.utils.item_guard import ItemGuard
from hifacegan_lib.utils.jobs import Each, workers
from hifacegan_lib.utils.weight_registry import is_present

Given = str | Path | Model | Method
"""A method: a word of the command line, a path, or what is loaded already."""
RESIZE = "bicubic"  # of outputs that do not have the clean face's size
PACKAGES = ("torchmetrics", "torch-fidelity", "pyiqa")  # with one more of them, more metrics can be measured
TUNING = 32  # training faces on which classical restorers are tuned


def run(
    methods: Sequence[str | Path] | Mapping[str, Given],
    sets: Sequence[str] | Mapping[str, Source],
    out: str | Path,
    asked: Asked | None = None,
    cards: Sequence[str | Path] = (),
    progress: bool = True,
    jobs: int = 1,
    scheduler: str = "",
) -> Benchmark:
    """Judge methods on sets; finished parts of an earlier run into the same folder are kept.

    Args:
        methods: words, see :func:`hifacegan_lib.evaluation.methods.parse`; or label -> word, path, model, or any
            function N x 3 x H x W in [0, 1] -> the same shape. The input itself is the first row.
        sets: words ``name=folder`` or ``folder``; or name -> folder, or name -> (name -> file) of clean faces.
        out: folder for all results.
        cards: JSON files with cards of further sets.
        jobs, scheduler: see :func:`hifacegan_lib.utils.jobs.workers`. Methods follow one another; their faces are
            drawn and scored by the workers.
    Raises:
        ValueError, FileNotFoundError: a method, set, metric, card or recipe that is unknown or given twice; a set
            without a face that can be read; clean faces without a recipe. Nothing was drawn then. BlockingIOError:
            another process writes into ``out``.
    """
    out, a = Path(out), asked or Asked()
    wanted, given = _words(methods), _sources(sets)
    a.standard()  # an unknown name ends it here
    known = set_cards(cards)
    recipe = load_recipe(a.recipe) if a.recipe else None
    with locked(out):
        faces = {name: open_set(name, source, known, out, bool(recipe)) for name, source in given.items()}
        for name, found in faces.items():
            if not found.inputs and not recipe:
                raise ValueError(f"{name}: clean faces: name the recipe that damages them (--recipe face_renov)")
        total = sum(len(f) * (2 * len(wanted) + 1 + (not f.inputs)) for f in faces.values())
        with workers(jobs, scheduler) as each, tqdm(total=total, unit="face", disable=not progress) as bar:
            for name, found in faces.items():
                if recipe and not found.inputs:
                    bar.set_description(f"{name}: {a.recipe}")
                    faces[name] = damaged(found, recipe, a.size, a.seed, out / name, bar.update, each)
            return _judge(wanted, faces, out, a, bar, each)


def _words(methods: Sequence[str | Path] | Mapping[str, Given]) -> dict[str, Word | Model | Method]:
    """Label -> a word that is understood, or what is loaded already."""
    found: dict[str, Word | Model | Method] = {}
    if isinstance(methods, Mapping):
        for label, given in methods.items():
            if not kinds.usable(label):
                raise ValueError(f"method {label!r}: this label cannot be used")
            found[label] = kinds.parse(str(given), label) if isinstance(given, str | Path) else given
    else:
        for text in methods:
            word = kinds.parse(str(text))
            if word.label in found:
                raise ValueError(f"method {word.label!r} comes twice; give one of them another label: label={text}")
            found[word.label] = word
    if not found:
        raise ValueError("no method: expected one at least")
    return found


def _sources(sets: Sequence[str] | Mapping[str, Source]) -> dict[str, Source]:
    """Name -> folder or files."""
    found: dict[str, Source] = {}
    for given in sets:
        if isinstance(sets, Mapping):
            name, source = given, sets[given]
        else:
            name, equals, folder = ("", "", given) if expanded(given).exists() else given.partition("=")
            source = expanded(folder or given)
            name = name if equals else source.resolve().name
        if name in found:
            raise ValueError(f"set {name!r} comes twice")
        if not kinds.usable(name):
            raise ValueError(f"set {given!r}: {name!r} cannot be a set's name; write NAME=FOLDER")
        found[name] = source
    if not found:
        raise ValueError("no set: expected one at least")
    return found


def _judge(
    wanted: Mapping[str, Word | Model | Method],
    faces: Mapping[str, FaceSet],
    out: Path,
    a: Asked,
    bar: Any,
    each: Each,
) -> Benchmark:
    """Each method on each set; the input first."""
    cards: dict[str, Mapping[str, Any] | None] = {}
    evaluations: dict[tuple[str, str], Evaluation] = {}
    files: dict[tuple[str, str], Mapping[str, Path]] = {}
    failed: dict[tuple[str, str], str] = {}
    tuned = _tuned(wanted.values(), out, a)
    for label, given in {INPUT: None, **wanted}.items():
        guard = ItemGuard(bar.write)
        restorer: Restorer | None = None
        with guard.item(label, given.name if isinstance(given, Word) else label):
            restorer = _ready(label, given, a.device, tuned)
        cards[label] = restorer.card if restorer else None
        for name, found in faces.items():
            bar.set_description(f"{name}: {label}")
            end = bar.n + len(found) * (1 if label == INPUT else 2)
            if restorer:
                with guard.item(f"{label} on {name}"):
                    place = out / name / "methods" / label
                    pictures = found.inputs
                    if label != INPUT:
                        made = found.inputs, found.conditions, place
                        pictures = kinds.outputs(restorer, name, *made, bar.update, each)
                    evaluations[name, label] = _evaluated(found, pictures, restorer.card, place, a, bar.update, each)
                    files[name, label] = pictures
            if (name, label) not in files:
                why = guard.failed.get(f"{label} on {name}") or guard.failed[label]
                failed[name, label] = why.removesuffix(" (ValueError)")
            bar.update(end - bar.n)
    return Benchmark(out, a, dict(faces), cards, evaluations, files, failed)


def _ready(label: str, given: Word | Model | Method | None, device: str, tuned: Mapping[str, Tuned]) -> Restorer:
    if given is None:
        return Restorer(INPUT, {"name": INPUT, "sha256": ""})
    if isinstance(given, Word):
        return kinds.open_method(given, device, tuned)
    return kinds.of_model(label, given) if isinstance(given, Model) else kinds.of_callable(label, given, device=device)


def _tuned(wanted: Iterable[Word | Model | Method], out: Path, a: Asked) -> dict[str, Tuned]:
    """The classical restorers that were asked for without a setting, tuned on the first training faces."""
    names = {word.name for word in wanted if isinstance(word, Word) and not word.settings}
    families = [name for name in FAMILIES if name in names]
    if not a.tune or not families:
        return {}
    if not a.recipe:
        raise ValueError(f"tune = {a.tune}: name the recipe of the damage (--recipe face_renov)")
    chosen = images_in(a.tune).files[:TUNING]
    faces = open_set("training faces", {path.name: path for path in chosen}, {})
    faces = damaged(faces, load_recipe(a.recipe), a.size, a.seed, out / ".tuning")
    batches = [
        {"clean": to_float(load_image(faces.clean[key]))[None], "degraded": to_float(load_image(path))[None]}
        for key, path in faces.inputs.items()
    ]
    return tune_all(batches, families)


def _evaluated(
    faces: FaceSet,
    pictures: Mapping[str, Path],
    card: Mapping[str, Any],
    place: Path,
    a: Asked,
    tick: Callable[[int], object],
    each: Each,
) -> Evaluation:
    """The evaluation of a method on a set; that of an earlier run if it asked for the same of the same pictures."""
    metrics = a.standard()
    marks = "".join(f"{key} {sha256(path)}\n" for key, path in pictures.items())
    asked = {
        "metrics": {n: [m.implementation, [b for b in m.backbone if is_present(b)]] for n, m in metrics.items()},
        "packages": {name: installed_version(name) for name in PACKAGES},
        "pictures_sha256": hashlib.sha256(marks.encode(errors="surrogateescape")).hexdigest(),
        "samples": a.samples,
        "seed": a.seed,
    }
    known = {**faces.conditions, "method": dict(card), "asked": asked}
    file = place / "metrics.json"
    earlier = Evaluation.load(file) if file.exists() else None
    if earlier and all(earlier.conditions.get(name) == value for name, value in known.items()):
        tick(len(faces))
        return earlier
    compared = (not faces.clean or faces.card.ntire) and pictures is not faces.inputs
    pairs = FolderPairs(faces.clean, ({"degraded": faces.inputs} if compared else {}) | {ROW: pictures}, RESIZE)
    how: dict[str, Any] = {"recogniser": a.recogniser, "statistics": a.statistics, "each": each, "tick": tick}
    found = evaluate({}, pairs, a.samples, a.seed, None, list(metrics), a.device, **how)
    if unreadable := found.conditions["unreadable"]:
        raise ValueError(f"{len(unreadable)} of {len(faces)} pictures cannot be read: {shortened(unreadable)}")
    found.conditions.update(pairs.conditions | known)
    found.save(file)
    return found
