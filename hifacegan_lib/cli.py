"""``hifacegan``: the command line. The signature and docstring of a command are its help.

Exit codes: 0 done, 1 failed or incomplete, 2 wrong arguments, 130 stopped by hand. Each command imports the library
when it is called, so that ``--help`` and ``restore`` do not wait for PyTorch.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from hifacegan_lib import __version__
from hifacegan_lib import cli_images as images
from hifacegan_lib.names import ParamsError

app = App(
    name="hifacegan",
    help="Face renovation workbench: damage faces, train a network to undo the damage, measure, restore.\n\n"
    "Each command has its own --help with an example. The first command to try: hifacegan run demo",
    help_format="markdown",
    version=__version__,
    default_parameter=Parameter(negative=""),
    result_action="return_value",
)
Pairs = Annotated[
    list[tuple[str, str]] | None, Parameter("-p", json_list=False, help="KEY VALUE: set one parameter; repeatable")
]
Words = Annotated[list[str] | None, Parameter(consume_multiple=True)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code."""
    try:
        return app(argv, exit_on_error=False, print_error=False) or 0
    except (ParamsError, CycloptsError) as error:
        print(f"hifacegan: {error}", file=sys.stderr)
        return 2
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        print(f"hifacegan: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hifacegan: stopped; finished work is kept", file=sys.stderr)
        return 130


def overrides(pairs: Sequence[tuple[str, str]] | None) -> dict[str, Any]:
    """Parse values as YAML: 8 is a number, true a Boolean, other words are text."""
    return {key: _value(value) if value else "" for key, value in pairs or ()}


def _value(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:  # a glob such as ** is no YAML
        return text


@app.command
def run(profile: str, /, *, only: Words = None, p: Pairs = None) -> int:
    """Execute a profile's notebooks in order, with papermill.

    For example:

        hifacegan run demo
        hifacegan run folder256 --only 04_training -p steps 2000 -p decay_steps 1000 -p suppression lip

    Args:
        profile: folder below params/: demo, folder256, colab, ffhq512 or your own.
        only: names of the notebooks to execute (all).
    """
    from papermill import PapermillExecutionError

    from hifacegan_lib import runs

    try:
        folder, seconds = runs.run_profile(profile, overrides(p), only or ())
    except PapermillExecutionError as error:
        print(f"hifacegan: cell {error.exec_count}: {error.ename}: {error.evalue}", file=sys.stderr)
        return 1
    print("\n" + "\n".join(f"{name:24} {taken:6.0f} s" for name, taken in seconds.items()))
    print(f"{'':24} {sum(seconds.values()):6.0f} s\n")
    for what, part in (("report", "report.html"), ("numbers", "metrics.json"), ("pictures", "figures")):
        if (folder / part).exists():
            print(f"{what:9}{folder / part}")
    print(f"{'executed':9}{folder / 'notebooks'}")
    return 0


@app.command
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


@app.command
def train(profile: str, /, *, p: Pairs = None) -> int:
    """Train a profile's network without a notebook; under torchrun with several processes.

    For example:

        hifacegan train demo -p steps 100 -p decay_steps 50 -p run_name short
        torchrun --nproc-per-node 4 -m hifacegan_lib.cli train ffhq512

    Args:
        profile: folder below params/, with 04_training.yaml.
    """
    from hifacegan_lib import pipeline, runs
    from hifacegan_lib.models import checkpoints
    from hifacegan_lib.params import Training
    from hifacegan_lib.utils.files import read_json

    chosen = runs.load_notebook(profile, "04_training", overrides(p))
    folder = pipeline.train_model(Training.checked(chosen.model_dump(), profile))
    if not (folder / "result.json").exists():
        return 130  # stopped by hand; the run has printed it
    if int(os.environ.get("RANK", 0)) == 0:
        found = read_json(folder / "result.json")
        print(
            f"{found['faces']} unseen faces: {found['psnr']:.2f} dB, {found['gain']:+.2f} dB over the input, "
            f"SSIM {found['ssim']:.3f}; {found['steps']} steps in {found['seconds']:.0f} s on {found['device']}"
        )
        print(f"report   {folder / 'report.html'}\nweights  {checkpoints.latest_generator(folder)}")
    return 0


@app.command
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


@app.command
def prepare(*, profile: str = "demo", overwrite: bool = False, p: Pairs = None) -> int:
    """Choose images, split them into training and validation, write the manifest.

    For example:

        hifacegan prepare -p source folder -p source_path ~/faces -p data_dir data/mine \\
            -p train_size 900 -p valid_size 100

    Args:
        profile: folder below params/ with the values of all other parameters.
        overwrite: replace the data folder's manifest.
    """
    from hifacegan_lib import pipeline, runs
    from hifacegan_lib.params import DataPreparation

    values = {**overrides(p), **({"overwrite": True} if overwrite else {})}
    chosen = runs.load_notebook(profile, "01_data_preparation", values)
    manifest = pipeline.prepare_data(DataPreparation.checked(chosen.model_dump(), profile))
    counts = ", ".join(f"{len(manifest.files(split))} {split}" for split in ("train", "valid"))
    print(f"{runs.data_folder(chosen.data_dir) / 'manifest.json'}: {counts}", end="")
    print(f", {len(manifest.rejected)} rejected, {len(manifest.near_duplicates)} near-duplicates across the split")
    return 0


@app.command
def export(checkpoint: Path, out: Path, /, *, size: int = 0, fixed: bool = False, overwrite: bool = False) -> int:
    """Convert a checkpoint, ours or a published one, for other programs: ONNX or torch.export.

    For example:

        hifacegan export ema.safetensors face.onnx
        hifacegan export ema.safetensors face.pt2 --size 512 --fixed

    Args:
        checkpoint: .safetensors of ours; .pth or .safetensors of the published code.
        out: file to write: .onnx (needs the extra [export]) or .pt2.
        size: side of the example image for tracing, pixels (the training's image size).
        fixed: the written network takes images of this size only.
        overwrite: replace an existing file.
    """
    from hifacegan_lib.models import exporting
    from hifacegan_lib.utils import inputs

    inputs.check_output(out, [checkpoint], overwrite)
    print(exporting.command(checkpoint, out, size, "fixed" if fixed else "any"))
    return 0


@app.command
def doctor(
    checkpoint: Path,
    /,
    *,
    images: Path | None = None,
    out: Path | None = None,
    size: int | None = None,
    count: int = 8,
    norm: Literal["instance", "rms"] | None = None,
    overwrite: bool = False,
) -> int:
    """Examine a checkpoint, ours or a published one, and write it without batch statistics and spectral norms.

    For example:

        hifacegan doctor latest_net_G.pth --images damaged/ --out safe.safetensors

    Args:
        checkpoint: .safetensors of ours; .pth or .safetensors of the published code.
        images: damaged images for the examination (drawn faces).
        out: file to write, with an eval() that is safe; --images, if given, freeze its statistics.
        size: side of the images, pixels (the checkpoint's image size, else 256).
        count: number of images.
        norm: normalization for a file without batch statistics (instance).
        overwrite: replace an existing file.
    """
    from hifacegan_lib.evaluation import doctor as examination
    from hifacegan_lib.utils import inputs

    if out:
        inputs.check_output(out, [checkpoint, *(inputs.images_in(images)[0] if images else [])], overwrite)
    print(examination.command(checkpoint, images, out, size, count, norm))
    return 0


@app.command
def weights(action: Literal["list", "fetch", "verify", "convert"], /, *names: str) -> int:
    """List, fetch or verify the downloadable weights of losses and metrics; convert a file of VGG-19.

    For example:

        hifacegan weights list
        hifacegan weights fetch vgg19
        hifacegan weights convert vgg_normalised_conv3_1.pth vgg_first_layers.safetensors

    Args:
        names: of weights (list, verify: all); for convert: SOURCE.pth TARGET.safetensors.
    """
    from hifacegan_lib.utils import weight_registry

    if action != "convert":
        return weight_registry.command(action, names)
    from hifacegan_lib.training import perceptual

    if len(names) != 2:
        raise ValueError(f"weights convert: {len(names)} files named, expected SOURCE.pth TARGET.safetensors")
    path = perceptual.convert(*names)
    size = f"{path.stat().st_size / 2**20:.1f} MB"
    print(f"{path}: VGG-19 up to {perceptual.LAYERS[-1]}, {size}; the parameter perceptual_file takes it")
    return 0


for command in (images.degrade, images.replay, images.recipes, images.restore, images.evaluate, images.compare):
    app.command(command)

if __name__ == "__main__":
    sys.exit(main())
