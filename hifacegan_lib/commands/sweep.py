"""``sweep`` executes one notebook for each cell of a grid of parameters."""

from typing import Annotated

from cyclopts import Parameter

from hifacegan_lib.names import ParamsError


def sweep(
    notebook: str,
    profile: str,
    /,
    *,
    p: Annotated[
        list[str] | None, Parameter("-p", json_list=False, help="KEY=V1,V2: values to vary; one value: to fix")
    ] = None,
    name: str = "",
    jobs: int | None = None,
    scheduler: str = "",
    collect: bool = False,
) -> int:
    """Execute one notebook for each cell of a grid of parameters, then compare the runs: a table over seeds, pictures.

    For example:

        hifacegan sweep 04_training demo -p suppression=inner_product,lip,conv -p seed=0,1,2
        hifacegan sweep 04_training demo -p seed=0,1,2 --name again --scheduler tcp://10.0.0.1:8786

    The same command continues a stopped sweep and runs failed cells again. A command with other values adds cells.

    Args:
        notebook: its name, 04_training for example.
        profile: folder below params/ with the values of all other parameters.
        name: folder below runs/ for the sweep (PROFILE-sweep).
        jobs: runs at once on this machine (half the number of cores).
        scheduler: address of a Dask cluster; each thread executes one run; all machines must see the same folders.
        collect: execute nothing; write the table and pictures of finished cells.
    """
    from hifacegan_lib import sweep_cells, sweep_tables, sweeps

    if sum((jobs is not None, bool(scheduler), collect)) > 1:
        raise ParamsError("--jobs, --scheduler and --collect exclude each other")
    name = name or f"{profile}-sweep"
    if collect:
        whole = sweeps.Sweep.load(name, notebook, profile)
    else:
        whole, cells = sweeps.plan(notebook, profile, sweeps.read_grid(p or []), name)
        if not sweep_cells.run_all(whole, cells, jobs, scheduler):
            return 130
    files = sweep_tables.write(whole)
    print(f"\n{sweep_tables.as_text(whole)}\n", *files, sep="\n")
    return int((whole.results()["status"] != "done").any())
