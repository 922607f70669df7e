"""The front door: the verbs that a script or a notebook calls first.

prepare -> pairs -> train -> load_model -> evaluate, restore
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from hifacegan_lib import pipeline, runs
from hifacegan_lib.data.face_loader import FaceLoader
from hifacegan_lib.data.manifest import Manifest
from hifacegan_lib.evaluation import benchmark_runs, scoring
from hifacegan_lib.evaluation.benchmark_results import Asked, Benchmark
from hifacegan_lib.evaluation.comparison import Comparison
from hifacegan_lib.evaluation.folder_pairs import FolderPairs
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.names import DEFAULT_METRICS, TO_INPUT
from hifacegan_lib.params import DataPreparation, Params, ParamsError, Training
from hifacegan_lib.reports import benchmark_page, folder_reports
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.training.losses import Weighted
from hifacegan_lib.utils.machine import find_device


def load_params(profile: str, notebook: str, **values: Any) -> Params:
    """The checked parameters of a profile's notebook.

    Args:
        profile: folder below params/, ``demo`` for example.
        notebook: ``04_training`` for example.
        values: parameters that differ, by name.
    Raises:
        ParamsError: no such profile or notebook; an unknown name, a wrong type, a value out of range.
    """
    return runs.load_notebook(profile, notebook, values)


def prepare(profile: str = "demo", **values: Any) -> Manifest:
    """Choose images, split them into training and validation, write the manifest; an existing one is read.

    Args:
        profile: folder below params/, whose values hold where ``values`` has none.
        values: parameters of notebook 01: ``source``, ``source_path``, ``data_dir``, ``train_size``, ...
    Raises:
        ParamsError: as :func:`load_params`. FileExistsError: the folder holds other data. ValueError: too few images.
    """
    p = load_params(profile, "01_data_preparation", **values)
    return pipeline.prepare_data(DataPreparation.checked(p.model_dump(), profile))


def pairs(params: Params, split: str = "valid") -> FaceLoader:
    """Pairs of damaged and clean faces: whole faces, the same damage at every call; data are prepared when missing.

    Args:
        params: of notebook 04 or 05: its data, image size, recipe, batch size and seed.
        split: ``train`` or ``valid``.
    Returns:
        An iterable of batches with ``clean`` and ``degraded``, N x 3 x H x W in [0, 1], ``key`` and ``trace``.
    Raises:
        ParamsError: the parameters name no image size, recipe or batch size.
    """
    given = params.model_dump()
    missing = [name for name in ("image_size", "recipe", "batch_size") if name not in given]
    if missing:
        raise ParamsError(f"pairs: these parameters have no {', '.join(missing)}; give those of 04_training")
    return pipeline.fixed_pairs(params, split, *(given[name] for name in ("image_size", "recipe", "batch_size")))


def train(
    profile: str = "demo",
    losses: Mapping[str, Weighted] | None = None,
    generator: nn.Module | None = None,
    **values: Any,
) -> Path:
    """Train a network, or go on with a run that was stopped; the folder of the run.

    Args:
        profile: folder below params/, whose values hold where ``values`` has none.
        losses: your own: name -> (weight, function); the function maps restored, clean and degraded faces, each
            N x 3 x H x W in [0, 1], to one number, a mean over the N pairs.
        generator: a network of your own, N x 3 x H x W in [0, 1] -> the same shape; None: what the parameters say.
        values: parameters of notebook 04: ``run_name``, ``steps``, ``suppression``, ...
    Raises:
        ParamsError: as :func:`load_params`. FileExistsError: the run has other parameters. FloatingPointError: a loss
            or a gradient is NaN or infinite.
    """
    p = load_params(profile, "04_training", **values)
    return pipeline.train_model(Training.checked(p.model_dump(), profile), losses, generator)


def evaluate(
    restorers: Mapping[str, Any],
    batches: Iterable[Mapping[str, Any]],
    metrics: Sequence[str] | None = None,
    device: str = "auto",
    seed: int = 0,
    *,
    recogniser: str | Path | None = None,
    statistics: str | Path | None = None,
) -> Evaluation:
    """Score restorers on pairs, face by face; the input itself is the row ``degraded``.

    Folders of pictures need no restorer: ``evaluate({}, pair_folders("clean", {"restored": "theirs"}))``. With
    None in place of "clean" there are no originals, and metrics that need clean faces are left out.

    Args:
        restorers: name -> what :func:`load_model` gives (its card becomes a condition), or any callable N x 3 x H x W
            in [0, 1] -> the same shape.
        batches: of :func:`pairs`, of :func:`hifacegan_lib.evaluation.pair_folders`, or any with ``degraded``, ``key``
            and, if there are originals, ``clean``.
        metrics: names, ``("psnr", "ssim")`` for example; None: all that can be measured.
        device: auto, cpu, cuda, cuda:N or mps.
        seed: of the bootstrap.
        recogniser: an ArcFace or AdaFace ONNX file for the metrics of identity, in place of SFace.
        statistics: a file or a folder with which FID and KID compare, in place of the clean faces.
    Returns:
        ``.frame()`` is a table of means with 95 % intervals, ``.faces()`` has each face's values.
    Raises:
        ValueError: no pairs, no such metric, a restorer that changes the shape or draws NaN.
    """
    cards = {name: given.card.to_dict() for name, given in restorers.items() if isinstance(given, Model)}
    known = {"restorers": cards} if cards else {}
    options: dict[str, Any] = {"device": find_device(device), "recogniser": recogniser, "statistics": statistics}
    found = scoring.evaluate(restorers, batches, seed=seed, conditions=known, metrics=metrics, **options)
    if isinstance(batches, FolderPairs):
        found.conditions.update(batches.conditions)
    return found


def benchmark(
    methods: Sequence[str | Path] | Mapping[str, Any],
    sets: Sequence[str] | Mapping[str, Any],
    out: str | Path,
    recipe: str | Path = "",
    size: int | None = None,
    seed: int = 0,
    metrics: Sequence[str] = (*DEFAULT_METRICS, *TO_INPUT),
    tune: str | Path | None = None,
    recogniser: str | Path | None = None,
    statistics: str | Path | None = None,
    cards: Sequence[str | Path] = (),
    samples: int = 1000,
    device: str = "auto",
    progress: bool = True,
    jobs: int = 1,
    scheduler: str = "",
) -> Benchmark:
    """Judge restorers on sets of faces, ranked face by face; goes on where an earlier call into ``out`` stopped.

    Args:
        methods: words such as ``compact-256@blend=1``, ``bicubic``, ``theirs.pth``, ``results/vqfr``; or label -> word,
            what :func:`load_model` gives, or any callable N x 3 x H x W in [0, 1] -> the same shape.
        sets: ``name=folder`` each; or name -> folder, or name -> (name -> file) of clean faces.
        out: folder for benchmark.html, .md, .csv, .json, all outputs and evaluations.
        recipe, size: damage of the sets of clean faces, and the side to which they are resized, pixels.
        seed: of the damage and of the bootstrap, of ``samples`` resamples.
        metrics: names; ``recogniser``, ``statistics``: what identity and FID use, see ``metrics.registry.standard``.
        tune: folder of clean training faces, on which classical restorers are tuned; None: stated defaults.
        cards: JSON files that describe further sets.
        jobs: processes on this machine, 0: one for each core; ``scheduler``: address of a Dask cluster instead. The
            results are the same for any number.
    Returns:
        ``.frame()`` is a table of means, intervals and ranks, ``.differences(set, metric)`` the paired differences,
        ``.failed`` the reasons of methods without numbers.
    Raises:
        ValueError, FileNotFoundError: an unknown or repeated method, set, metric or recipe. BlockingIOError: another
            process writes into ``out``.
    """
    training = Path(tune) if tune else None
    where = find_device(device)
    asked = Asked(list(metrics), recipe, size, seed, samples, training, recogniser, statistics, where)
    found = benchmark_runs.run(methods, sets, out, asked, cards, progress, jobs, scheduler)
    benchmark_page.write_benchmark(found)
    return found


def compare(a: str | Path, b: str | Path, out: str | Path) -> Comparison:
    """Compare two evaluated runs face by face; writes comparison.json and comparison.html into ``out``.

    Args:
        a, b: a run's name, or a folder with metrics.json.
    Raises:
        FileNotFoundError: no evaluation there. ValueError: they judged other faces.
    """
    folders = [Path(name) if Path(name).is_dir() else runs.run_folder(str(name)) for name in (a, b)]
    return folder_reports.compare_folders(folders[0], folders[1], out)
