"""``run`` executes a profile's notebooks, ``params`` prints its parameters, ``notebooks`` writes both to a folder."""

import sys
from pathlib import Path

from hifacegan_lib.commands.options import Pairs, Words, overrides
from hifacegan_lib.names import ParamsError


def run(profile: str, /, *, only: Words = None, verbose: bool = False, p: Pairs = None) -> int:
    """Execute a profile's notebooks in order, with papermill; print the time and the finding of each.

    For example:

        hifacegan run demo
        hifacegan run demo --only 01 02
        hifacegan run folder256 --only 04_training -p steps 2000 -p decay_steps 1000 -p suppression lip

    Args:
        profile: folder below params/: demo, folder64, compact256, shipped256, folder256, colab, ffhq512 or your own.
        only: names or numbers of the notebooks to execute (all).
        verbose: print all lines of the notebooks, for the log of a long training.
    """
    from papermill import PapermillExecutionError

    from hifacegan_lib import runs

    try:
        folder, seconds = runs.run_profile(profile, overrides(p), only or (), verbose)
    except PapermillExecutionError as error:
        print(f"\nhifacegan: cell {error.exec_count}: {error.ename}: {error.evalue}", file=sys.stderr)
        return 1
    print(f"{'':32}{sum(seconds.values()):6.0f} s\n")
    numbers = folder / "metrics.json"
    if numbers.exists() and any(name.startswith("05") for name in seconds):
        from hifacegan_lib.evaluation import Evaluation

        found = Evaluation.load(numbers)
        print(f"{len(found.keys)} faces of {found.conditions['image_size']}, mean [95 % interval]")
        titles = [found.available[name].title for name in ("psnr", "ssim") if name in found.available]
        print(found.summary().loc[found.frame().index, titles].to_string() + "\n")
    for what, part in (("page", "report.html"), ("pictures", "figures"), ("numbers", "metrics.json")):
        if (folder / part).exists():
            print(f"{what:10}{folder / part}")
    print(f"{'notebooks':10}{folder / 'notebooks'}")
    return 0


def params(profile: str, notebook: str = "", /, *, p: Pairs = None) -> int:
    """Print every parameter of a profile with its value and meaning.

    For example:

        hifacegan params demo
        hifacegan params ffhq512 04_training

    Args:
        profile: folder below params/.
        notebook: one of the profile's notebooks; all of them when left out.
    """
    from hifacegan_lib import runs

    chosen = runs.load_profile(profile, overrides(p))
    if notebook and notebook not in chosen:
        raise ParamsError(f"{notebook!r}: the profile {profile} has {', '.join(chosen)}")
    print("\n".join(chosen[name].as_yaml(name) for name in ([notebook] if notebook else chosen)), end="")
    return 0


def notebooks(folder: Path, /, *, overwrite: bool = False) -> int:
    """Write the notebooks and the profiles to a folder, to work on them there.

    For example:

        hifacegan notebooks work/
        cd work && hifacegan run demo

    Commands that are called in the folder, or below it, use its notebooks and profiles, and keep data and runs there.
    Files that you changed are not replaced.

    Args:
        folder: gets notebooks/ and params/.
        overwrite: replace changed files too.
    """
    from hifacegan_lib import runs

    written = runs.write_notebooks(folder, overwrite)
    print(f"{len(written)} files written\nnotebooks {folder / 'notebooks'}\nprofiles  {folder / 'params'}")
    return 0
