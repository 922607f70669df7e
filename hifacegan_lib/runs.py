"""Runs: their folders, the parameters of a profile, and notebooks executed one after the other.

``runs/<name>/`` holds everything that a number depends on: params.json, environment.json, manifest.json, metrics.jsonl,
checkpoints/, figures/, the executed notebooks/ and report.html. Relative ``runs/`` and ``data/`` lie in the project's
root, or in the folder that the environment variable HIFACEGAN_HOME names (a mounted drive, say).
"""

import io
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hifacegan_lib.data.mirrors import is_address, mirrored
from hifacegan_lib.models.checkpoints import differences
from hifacegan_lib.params import MAY_CHANGE, NOTEBOOKS, Params, ParamsError, Training
from hifacegan_lib.utils.files import expanded, read_json, write_bytes, write_json
from hifacegan_lib.utils.machine import environment

_PACKAGE = Path(__file__).resolve().parent
REMOVED_FOLDERS = ("checkpoints", "figures", "tensorboard")  # of a run that is overwritten


def project_root() -> Path:
    """The start of relative paths: the checkout that holds the working folder or the package; else the former."""
    for folder in (Path.cwd(), *Path.cwd().parents, _PACKAGE.parent):
        if (folder / "notebooks").is_dir() and (folder / "params").is_dir():
            return folder
    return Path.cwd()


def project_path(path: str | Path) -> Path:
    """A path of a parameter, absolute: relative ones begin at the project's root, those in runs/ and data/ at home.

    ``~`` is the user's folder.
    """
    found = expanded(path)
    return (home() if found.parts[:1] in (("runs",), ("data",)) else project_root()) / found


def profile_folder() -> Path:
    """The folder of the profiles: ``params/`` of the checkout, else the copy in an installed wheel."""
    folder = project_root() / "params"
    return folder if folder.is_dir() else _PACKAGE / "profiles"


def notebook_folder() -> Path:
    """The folder of the notebooks: ``notebooks/`` of the checkout, else the copy in an installed wheel."""
    folder = project_root() / "notebooks"
    return folder if folder.is_dir() else _PACKAGE / "notebooks"


def write_notebooks(folder: Path, overwrite: bool = False) -> list[Path]:
    """Write the package's notebooks and profiles to ``folder``/notebooks and /params, a project root to work in.

    Returns:
        The written files; those that are there with the same content are left out.
    Raises:
        FileExistsError: files there have other content; nothing is written. ``overwrite`` replaces them.
    """
    planned: dict[Path, bytes] = {}
    for part, packaged, pattern in (("notebooks", "notebooks", "*.ipynb"), ("params", "profiles", "*/*.yaml")):
        in_wheel = _PACKAGE / packaged
        source = in_wheel if in_wheel.is_dir() else _PACKAGE.parent / part  # of the checkout
        planned |= {folder / part / path.relative_to(source): path.read_bytes() for path in source.glob(pattern)}
    planned = {path: data for path, data in sorted(planned.items()) if not path.is_file() or path.read_bytes() != data}
    if not overwrite and (changed := [str(path) for path in planned if path.exists()]):
        raise FileExistsError(
            f"{', '.join(changed)}: other content than the package's; choose another folder, or --overwrite replaces it"
        )
    return [write_bytes(path, data) for path, data in planned.items()]


def working_folder() -> Path:
    """The working folder of executed notebooks: ``notebooks/`` of the checkout, else the present working folder."""
    folder = project_root() / "notebooks"
    return folder if folder.is_dir() else project_root()


def home() -> Path:
    """The folder of data/ and runs/: HIFACEGAN_HOME, else the project's root."""
    return expanded(os.environ.get("HIFACEGAN_HOME") or project_root()).resolve()


def run_folder(name: str) -> Path:
    """The path of ``runs/<name>``."""
    return home() / "runs" / name


def data_folder(data_dir: str) -> Path:
    """A notebook's ``data_dir``, absolute; of an address, such as s3://bucket/faces, its mirror below data/."""
    return mirrored(data_dir, home() / "data" / "mirrors") if is_address(data_dir) else home() / expanded(data_dir)


def shown(path: Path) -> str:
    """A path for messages: relative to home if it lies below."""
    return path.relative_to(home()).as_posix() if path.is_relative_to(home()) else str(path)


def open_run(p: Training, own: Mapping[str, Any] | None = None) -> Path:
    """Make or re-open the folder of a training run; writes params.json, environment.json.

    Args:
        own: values of params.json in the place of ``p``'s, such as the class of a network of one's own.
    Raises:
        FileExistsError: the folder holds a run with other parameters; the message lists them. ``p.overwrite`` removes
            the files of that run, and no other file in the folder.
    """
    folder, path, own = run_folder(p.run_name), run_folder(p.run_name) / "params.json", own or {}
    if path.exists() and p.overwrite:
        for part in REMOVED_FOLDERS:
            shutil.rmtree(folder / part, ignore_errors=True)
        for part in ("metrics.jsonl", "warnings.jsonl", "metrics.json", "result.json", "report.html", "params.json"):
            (folder / part).unlink(missing_ok=True)
    elif path.exists():
        asked = {**p.model_dump(exclude=MAY_CHANGE), **own}
        defaults = {key: field.default for key, field in Training.model_fields.items()}  # of keys newer than the run
        there = {**defaults, **read_json(path)}
        if found := differences({key: there[key] for key in asked}, asked):
            raise FileExistsError(
                f"{shown(folder)} holds a run with other parameters ({'; '.join(found)}); "
                "choose another run_name, or overwrite = true"
            )
    write_json(path, {**p.model_dump(), **own})
    write_json(folder / "environment.json", environment())
    return folder


def profiles() -> list[str]:
    """Names of the folders below params/, but for ``recipes``, where the explorer saves recipes."""
    folders = (path for path in profile_folder().iterdir() if path.is_dir())
    return sorted(path.name for path in folders if path.name != "recipes")


def load_profile(profile: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Params]:
    """Name of each notebook that the profile has a file for -> its validated parameters.

    Args:
        overrides: values by key; each replaces the value of all notebooks that have the key.
    Raises:
        ParamsError: no such profile, a file without a notebook, or a key, type or value that is not allowed.
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
    """Notebooks print plain progress lines, since nobody watches them: kernels inherit the variable."""
    before = os.environ.get("HIFACEGAN_PROGRESS")
    os.environ["HIFACEGAN_PROGRESS"] = before or "plain"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HIFACEGAN_PROGRESS"]


def run_profile(
    profile: str, overrides: Mapping[str, Any] | None = None, only: Sequence[str] = (), verbose: bool = False
) -> tuple[Path, dict[str, float]]:
    """Execute a profile's notebooks in order with papermill. Returns the run's folder, and each notebook's seconds.

    All parameters are validated before the first kernel starts. Executed notebooks go to ``runs/<name>/notebooks/``.
    One line is printed for each notebook, its time and its finding, see :func:`finding`. A terminal also shows the line
    that the notebook printed last.

    Args:
        overrides: as in :func:`load_profile`.
        only: names of notebooks or their beginnings, such as "01"; empty: all.
        verbose: print all lines of the notebooks.
    Raises:
        ParamsError: as :func:`load_profile`; or ``only`` has a name that is no notebook of the profile.
        papermill.PapermillExecutionError: a notebook cell failed; the executed notebook shows it.
    """
    import papermill
    from traitlets.config import Config

    chosen = load_profile(profile, overrides)
    if unknown := [part for part in only if not any(name.startswith(part) for name in chosen)]:
        raise ParamsError(f"{unknown[0]!r} is no notebook of this profile; there are: {', '.join(chosen)}")
    names = [name for name in chosen if not only or name.startswith(tuple(only))]
    named = (p.model_dump().get("run_name") for p in reversed(chosen.values()))
    folder = run_folder(next(filter(None, named), profile))
    seconds: dict[str, float] = {}
    for number, name in enumerate(names, 1):
        title = f"[{number}/{len(names)}] {name:26}"
        print(title, end="\n" if verbose else "", flush=True)
        start = time.monotonic()
        output = folder / "notebooks" / f"{name}.ipynb"
        output.parent.mkdir(parents=True, exist_ok=True)
        shows_last = sys.stdout.isatty() and not verbose
        with _plain_lines():
            papermill.execute_notebook(
                notebook_folder() / f"{name}.ipynb",
                output,
                parameters=chosen[name].model_dump(),
                cwd=str(working_folder()),
                progress_bar=False,
                stdout_file=_LastLine(title) if shows_last else sys.stdout if verbose else None,
                stderr_file=sys.stderr if verbose else None,
                config=Config(KernelManager={"transport_encryption": "auto"}),  # its ports are open to all users
            )
        seconds[name] = time.monotonic() - start
        begin = f"\r\x1b[K{title}" if shows_last else "" if not verbose else title
        print(f"{begin}{seconds[name]:6.0f} s  {finding(output)}", flush=True)
    return folder, seconds


def finding(executed: str | Path) -> str:
    """The result of an executed notebook in one line: all that its cells with the tag ``finding`` printed."""
    tagged = [cell for cell in read_json(executed)["cells"] if "finding" in cell["metadata"].get("tags", [])]
    texts = ["".join(output.get("text", "")) for cell in tagged for output in cell["outputs"]]
    return "; ".join(line for text in texts for line in text.splitlines() if line)


class _LastLine(io.TextIOBase):
    """Shows the last line written to it beside the title, in place."""

    def __init__(self, title: str) -> None:
        self.title = title

    def write(self, text: str) -> int:
        if lines := text.split("\r")[-1].strip().splitlines():
            room = max(0, shutil.get_terminal_size().columns - len(self.title) - 1)
            print(f"\r\x1b[K{self.title}{lines[-1][:room]}", end="", flush=True)
        return len(text)
