"""``hifacegan``: the command line. The signature and docstring of a command are its help.

Exit codes: 0 done, 1 failed or incomplete, 2 wrong arguments, 130 stopped by hand. The commands stand in
:mod:`hifacegan_lib.commands`. Each imports the library when it is called, so that ``--help`` and ``restore`` do not
wait for PyTorch.
"""

import io
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from hifacegan_lib import __version__
from hifacegan_lib.commands import (
    benchmark,
    checkpoint_files,
    degrade,
    evaluate,
    prepare,
    restore,
    run,
    statistics,
    sweep,
    train,
)
from hifacegan_lib.names import ParamsError
from hifacegan_lib.utils.files import expanded

app = App(
    name="hifacegan",
    help="Face renovation workbench: damage faces, train a network to undo the damage, measure, restore.\n\n"
    "Each command has its own --help with an example. The first command to try: hifacegan run demo",
    help_format="markdown",
    version=__version__,
    default_parameter=Parameter(negative=""),
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # main says what becomes of the work
)
for command in (
    *(run.run, run.params, run.notebooks, prepare.prepare),
    *(degrade.degrade, degrade.replay, degrade.recipes, train.train, sweep.sweep),
    *(evaluate.evaluate, evaluate.compare, statistics.statistics, benchmark.benchmark, restore.restore),
    *(checkpoint_files.export, checkpoint_files.doctor, checkpoint_files.weights),
):
    app.command(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may be no valid text
    given = [_expanded(word) for word in (sys.argv[1:] if argv is None else argv)]
    try:
        return app(given, exit_on_error=False, print_error=False) or 0
    except (ParamsError, CycloptsError) as error:
        print(f"hifacegan: {error}", file=sys.stderr)
        return 2
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        print(f"hifacegan: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hifacegan: stopped; finished work is kept", file=sys.stderr)
        return 130


def _expanded(word: str) -> str:
    """``~/x`` or ``--option=~/x`` with the user's folder: a shell expands neither what is quoted nor the latter."""
    option, equals, path = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + equals + str(expanded(path)) if path.startswith("~") else word


if __name__ == "__main__":
    sys.exit(main())
