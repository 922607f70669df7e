"""Runs: where things lie, what a profile says, and notebooks executed one after the other.

``runs/<name>/`` holds everything that a number depends on: params.json, environment.json, manifest.json, metrics.jsonl,
checkpoints/, figures/, the executed notebooks/ and report.html. Relative ``runs/`` and ``data/`` lie in the project's
root, or in the folder that the environment variable HIFACEGAN_HOME names (a mounted drive, say).
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hifacegan_lib.params import NOTEBOOKS, Params, ParamsError
from hifacegan_lib.utils.environment import environment
from hifacegan_lib.utils.files import write_json

_PACKAGE = Path(__file__).resolve().parent
RESUMABLE = frozenset(  # may differ on resume: the weights do not depend on them, but for rounding
    {
        *("profile", "run_name", "data_dir", "resume", "overwrite", "progress"),
        *("device", "workers", "accumulate", "activation_checkpointing"),
        *("log_every", "picture_every", "checkpoint_every", "keep_checkpoints"),
    }
)


def project_root() -> Path:
    """Where relative paths begin: the checkout above the working folder or beside the package; else that folder."""
    for folder in (Path.cwd(), *Path.cwd().parents, _PACKAGE.parent):
        if (folder / "notebooks").is_dir() and (folder / "params").is_dir():
            return folder
    return Path.cwd()


def profile_folder() -> Path:
    """The folder of the profiles: ``params/`` of the checkout, else the copy that a wheel carries."""
    folder = project_root() / "params"
    return folder if folder.is_dir() else _PACKAGE / "profiles"


def notebook_folder() -> Path:
    """The folder of the notebooks: ``notebooks/`` of the checkout, else the copy that a wheel carries."""
    folder = project_root() / "notebooks"
    return folder if folder.is_dir() else _PACKAGE / "notebooks"


def home() -> Path:
    """Where data/ and runs/ lie: HIFACEGAN_HOME, else the project's root."""
    return Path(os.environ.get("HIFACEGAN_HOME") or project_root()).expanduser().resolve()


def run_folder(name: str) -> Path:
    """``runs/<name>``; not made here."""
    return home() / "runs" / name


def data_folder(data_dir: str | Path) -> Path:
    """A notebook's ``data_dir``, absolute."""
    return home() / Path(data_dir).expanduser()


def shown(path: Path) -> str:
    """A path as people and notebooks should see it: below home without what lies above it."""
    return path.relative_to(home()).as_posix() if path.is_relative_to(home()) else str(path)


def open_run(p: Params, name: str, overwrite: bool = False) -> Path:
    """Make or re-open ``runs/<name>`` for a training run with these parameters; writes params.json, environment.json.

    Raises:
        FileExistsError: the folder holds a run with other parameters; the message lists them. ``overwrite`` removes
            what that run made (never anything else in the folder).
    """
    folder, path = run_folder(name), run_folder(name) / "params.json"
    asked = {key: value for key, value in p.model_dump().items() if key not in RESUMABLE}
    if path.exists() and overwrite:
        for part in ("checkpoints", "figures", "tensorboard"):
            shutil.rmtree(folder / part, ignore_errors=True)
        for part in ("metrics.jsonl", "warnings.jsonl", "metrics.json", "result.json", "report.html", "params.json"):
            (folder / part).unlink(missing_ok=True)
    elif path.exists():
        defaults = {key: field.default for key, field in type(p).model_fields.items()}  # a run of before the key
        there = {**defaults, **json.loads(path.read_text(encoding="utf-8"))}
        differ = [f"{k}: {there.get(k)!r} there, {v!r} asked" for k, v in asked.items() if there.get(k) != v]
        if differ:
            raise FileExistsError(
                f"{shown(folder)} holds a run with other parameters ({'; '.join(differ)}); "
                "choose another run_name, or overwrite = true"
            )
    write_json(path, p.model_dump())
    write_json(folder / "environment.json", environment())
    return folder


def profiles() -> list[str]:
    """Names of the folders below params/; ``recipes`` holds what the explorer saves."""
    folders = (path for path in profile_folder().iterdir() if path.is_dir())
    return sorted(path.name for path in folders if path.name != "recipes")


def load_profile(profile: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Params]:
    """Notebook -> validated parameters, if the profile has a file for it; overrides go to all that know their key.

    Raises:
        ParamsError: no such profile, a file that is no notebook's, or a key, type or value that is not allowed.
    """
    if profile not in profiles():
        raise ParamsError(f"params/{profile}: no such profile; there are: {', '.join(profiles())}")
    files = {path.stem: path for path in (profile_folder() / profile).glob("*.yaml")}
    if unknown := sorted(files.keys() - NOTEBOOKS.keys()):
        raise ParamsError(f"{files[unknown[0]]}: no notebook has this name; there are: {', '.join(NOTEBOOKS)}")
    overrides = dict(overrides or {})
    known = {key for name in files for key in NOTEBOOKS[name].model_fields}
    if unknown := sorted(set(overrides) - known):
        raise ParamsError(f"-p {unknown[0]}: no notebook knows this key; known keys: {', '.join(sorted(known))}")
    return {
        name: model.from_yaml(files[name], {k: v for k, v in overrides.items() if k in model.model_fields})
        for name, model in NOTEBOOKS.items()
        if name in files
    }


def load_notebook(profile: str, notebook: str, overrides: Mapping[str, Any] | None = None) -> Params:
    """One notebook's parameters of :func:`load_profile`; ParamsError when the profile has no file for it."""
    chosen = load_profile(profile, overrides)
    if notebook not in chosen:
        raise ParamsError(f"params/{profile} has no {notebook}.yaml; it has: {', '.join(chosen)}")
    return chosen[notebook]


@contextmanager
def _plain_lines() -> Iterator[None]:
    """Nobody looks at a notebook that papermill runs, wherever it was started: kernels inherit this."""
    before = os.environ.get("HIFACEGAN_PROGRESS")
    os.environ["HIFACEGAN_PROGRESS"] = before or "plain"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HIFACEGAN_PROGRESS"]


def run_profile(
    profile: str, overrides: Mapping[str, Any] | None = None, only: Sequence[str] = ()
) -> tuple[Path, dict[str, float]]:
    """Execute a profile's notebooks in order with papermill; the run's folder, and seconds by notebook.

    Everything is validated before the first kernel starts. Executed notebooks go to ``runs/<name>/notebooks/``; their
    printed lines pass to this process's output.

    Raises:
        ParamsError: see :func:`load_profile`; or ``only`` names no notebook of the profile.
        papermill.PapermillExecutionError: a cell failed; the executed notebook shows which.
    """
    import papermill
    from traitlets.config import Config

    chosen = load_profile(profile, overrides)
    if unknown := [name for name in only if name not in chosen]:
        raise ParamsError(f"{unknown[0]!r} is no notebook of this profile; there are: {', '.join(chosen)}")
    names = [name for name in chosen if not only or name in only]
    beside = project_root() / "notebooks"  # a wheel's copies run in the working folder
    named = (p.model_dump().get("run_name") for p in reversed(chosen.values()))
    folder = run_folder(next(filter(None, named), profile))
    seconds: dict[str, float] = {}
    for number, name in enumerate(names, 1):
        print(f"[{number}/{len(names)}] notebooks/{name}.ipynb", flush=True)
        start = time.monotonic()
        output = folder / "notebooks" / f"{name}.ipynb"
        output.parent.mkdir(parents=True, exist_ok=True)
        with _plain_lines():
            papermill.execute_notebook(
                notebook_folder() / f"{name}.ipynb",
                output,
                parameters=chosen[name].model_dump(),
                cwd=str(beside if beside.is_dir() else project_root()),
                progress_bar=False,
                stdout_file=sys.stdout,
                stderr_file=sys.stderr,
                config=Config(KernelManager={"transport_encryption": "auto"}),  # its ports are open to all users
            )
        seconds[name] = time.monotonic() - start
    return folder, seconds
