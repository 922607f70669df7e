"""``hifacegan``: the workbench from a shell. Parses, calls the library, prints.

Exit codes: 0 done, 1 failed or something was left out, 2 misused, 130 stopped by hand.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from hifacegan_lib import __version__
from hifacegan_lib.params import NOTEBOOKS, DataPreparation, ParamsError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.call(arguments)
    except ParamsError as error:
        print(f"hifacegan: {error}", file=sys.stderr)
        return 2
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        print(f"hifacegan: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hifacegan: stopped; what was finished is kept", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hifacegan",
        description="Face renovation workbench: damage faces, train a network to undo it, measure, restore.",
        epilog="example: hifacegan run demo\neach command has its own --help with an example",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hifacegan {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = _command(
        commands,
        _run,
        "execute a profile's notebooks in order, with papermill",
        "hifacegan run demo\n  hifacegan run folder256 --only 04_training -p steps 2000 -p suppression lip",
    )
    run.add_argument("profile", help="folder below params/: demo, folder256, colab, ffhq512 or your own")
    run.add_argument("--only", nargs="+", default=[], metavar="NOTEBOOK", help=f"some of {', '.join(NOTEBOOKS)}")
    _add_overrides(run)

    prepare = _command(
        commands,
        _prepare,
        "choose images, split them, write the manifest",
        "hifacegan prepare -p source folder -p source_path ~/faces -p data_dir data/mine \\\n"
        "                    -p train_size 900 -p valid_size 100",
    )
    prepare.add_argument("--profile", default="demo", help="whose values hold where -p gives none (demo)")
    prepare.add_argument("--overwrite", action="store_true", help="replace the data folder's former manifest")
    _add_overrides(prepare)

    degrade = _command(
        commands,
        _degrade,
        "write a degraded copy of each image of a folder, with its trace",
        "hifacegan degrade faces/ damaged/ --recipe face_renov --size 256 --seed 1",
    )
    degrade.add_argument("source", type=Path, help="an image or a folder of them")
    degrade.add_argument("out", type=Path, help="folder for PNG files and traces.json")
    degrade.add_argument("--recipe", default="report", help="a shipped recipe's name or a JSON file (report)")
    degrade.add_argument(
        "--size", type=int, help="square the image and resample it to this side first, pixels; noise is then of these"
    )
    degrade.add_argument("--seed", type=int, default=0, help="another seed draws other damage (0)")
    degrade.add_argument("--overwrite", action="store_true", help="replace files that are there")

    replay = _command(
        commands,
        _replay,
        "give the pixels of a trace again",
        "hifacegan replay damaged/traces.json faces/0001.png again.png\n"
        "  hifacegan replay trace.json 0001.png again.png",
    )
    replay.add_argument("traces", type=Path, help="a trace, or traces.json, metrics.json, strip.json with many")
    replay.add_argument("image", type=Path, help="the source image, before the crop that the trace tells of")
    replay.add_argument("out", type=Path, help="image file to write; PNG keeps every pixel")
    replay.add_argument("--key", help="which of several traces (the image's name)")
    replay.add_argument("--overwrite", action="store_true", help="replace a file that is there")

    recipes = _command(
        commands,
        _recipes,
        "list the shipped recipes, or print one as JSON to begin one's own with",
        "hifacegan recipes\n  hifacegan recipes face_renov > mine.json\n  hifacegan recipes --schema > schema.json",
    )
    recipes.add_argument("name", nargs="?", help="a shipped recipe or a JSON file, which is checked")
    recipes.add_argument(
        "--schema", action="store_true", help="print the JSON schema that recipes follow, for an editor"
    )

    restore = _command(
        commands,
        _restore,
        "restore a face crop or a folder of them",
        "hifacegan restore old.jpg restored/ --checkpoint runs/demo/checkpoints/step_000500/ema.safetensors",
    )
    restore.add_argument("source", type=Path, help="an image or a folder of them, each one face")
    restore.add_argument("out", type=Path, help="folder for PNG files")
    restore.add_argument("--checkpoint", type=Path, required=True, help="a generator.safetensors or ema.safetensors")
    restore.add_argument("--size", type=int, help="side at which the network works, pixels; 0: the image's own")
    restore.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (auto)")
    restore.add_argument("--overwrite", action="store_true", help="replace files that are there")

    doctor = _command(
        commands,
        _doctor,
        "examine a checkpoint, ours or a published one, and write it without batch statistics and spectral norms",
        "hifacegan doctor latest_net_G.pth --images damaged/ --out safe.safetensors",
    )
    doctor.add_argument(
        "checkpoint", type=Path, help=".safetensors of ours; .pth or .safetensors of the published code"
    )
    doctor.add_argument(
        "--images", type=Path, help="images of the kind that it restores (faces drawn and damaged here)"
    )
    doctor.add_argument("--out", type=Path, help="eval-safe file to write; --images, if given, freeze its statistics")
    doctor.add_argument("--size", type=int, help="side of the squares that it is shown (its own, else 256)")
    doctor.add_argument("--count", type=int, default=8, help="how many of the images (8)")
    doctor.add_argument("--norm", choices=["instance", "rms"], help="of a file without batch statistics (instance)")
    doctor.add_argument("--overwrite", action="store_true", help="replace a file that is there")

    weights = _command(
        commands,
        _weights,
        "list, fetch or verify the downloadable weights that losses and metrics use",
        "hifacegan weights list\n  hifacegan weights fetch vgg19",
    )
    weights.add_argument("action", choices=["list", "fetch", "verify"])
    weights.add_argument("names", nargs="*", metavar="NAME", help="which (list, verify: all)")
    return parser


def _command(commands: Any, call: Any, says: str, example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        call.__name__.removeprefix("_"),
        help=says,
        description=f"{says[0].upper()}{says[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(call=call)
    return parser


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), dest="overrides", help="one parameter"
    )


def _overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """VALUE as YAML would read it: 8 is a number, true a truth value, the rest text."""
    return {key: yaml.safe_load(value) if value else "" for key, value in arguments.overrides}


def _run(arguments: argparse.Namespace) -> int:
    from papermill import PapermillExecutionError

    from hifacegan_lib import runs

    try:
        folder, seconds = runs.run_profile(arguments.profile, _overrides(arguments), arguments.only)
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


def _prepare(arguments: argparse.Namespace) -> int:
    from hifacegan_lib import pipeline, runs

    overrides = {**_overrides(arguments), **({"overwrite": True} if arguments.overwrite else {})}
    path = runs.project_root() / "params" / arguments.profile / "01_data_preparation.yaml"
    p = DataPreparation.from_yaml(path, overrides)
    manifest = pipeline.prepare_data(p)
    train, valid = (len(manifest.files(split)) for split in ("train", "valid"))
    print(f"{runs.data_folder(p.data_dir) / 'manifest.json'}: {train} train, {valid} valid", end="")
    print(f", {len(manifest.rejected)} rejected, {len(manifest.near_duplicates)} near-duplicates across the split")
    return 0


def _degrade(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from hifacegan_lib import images
    from hifacegan_lib.degradations import load_recipe, pair_seed
    from hifacegan_lib.framing import whole_frame
    from hifacegan_lib.runs import write_json
    from hifacegan_lib.traces import REFERENCE_SIZE, parse_json

    recipe, traces, failures = load_recipe(arguments.recipe), {}, 0
    sources, root = _images_in(arguments.source)
    for source in tqdm(sources, desc="degrade"):
        key = source.relative_to(root).as_posix()
        target = (arguments.out / key).with_suffix(".png")
        try:
            if target.exists() and not arguments.overwrite:
                raise ValueError(f"{target}: exists already; --overwrite replaces it")
            image = images.load_image(source)
            trace = recipe.sample(pair_seed(key, 0, arguments.seed), grid=arguments.size or REFERENCE_SIZE)
            if arguments.size:
                trace = trace.framed(whole_frame(image, arguments.size))
            images.save_image(target, trace.replay(image))
            traces[key] = trace.to_dict()
        except (ValueError, OSError) as error:
            tqdm.write(f"left out: {error}", file=sys.stderr)
            failures += 1
    if traces:
        kept = arguments.out / "traces.json"  # an earlier call's pictures are still there
        before = parse_json(kept.read_bytes(), str(kept)) if kept.exists() else {}
        write_json(kept, {**before, **traces})
    print(f"{len(traces)} degraded by {recipe.name} into {arguments.out}; {failures} left out")
    return 1 if failures else 0


def _replay(arguments: argparse.Namespace) -> int:
    from hifacegan_lib import images, traces

    if arguments.out.exists() and not arguments.overwrite:
        raise ValueError(f"{arguments.out}: exists already; --overwrite replaces it")
    where = str(arguments.traces)
    content = traces.parse_json(arguments.traces.read_bytes(), where)
    if isinstance(content, dict) and isinstance(content.get("traces"), dict):
        content, where = content["traces"], f"{where}: traces"
    if isinstance(content, dict) and "operations" not in content:
        path = arguments.image.as_posix()
        key = arguments.key or next((name for name in content if path.endswith(name)), arguments.image.name)
        if key not in content:
            raise ValueError(f"{where}: no trace of {key!r}; --key names one of {', '.join(list(content)[:5])} ...")
        content, where = content[key], f"{where}: {key}"
    trace = traces.Trace.from_dict(content, where)
    images.save_image(arguments.out, trace.replay(images.load_image(arguments.image)))
    print(f"{arguments.out}: {trace.describe()}")
    return 0


def _recipes(arguments: argparse.Namespace) -> int:
    from hifacegan_lib import schema
    from hifacegan_lib.degradations import load_recipe, recipe_names

    if arguments.schema:
        print(schema.schema_json(), end="")
        return 0
    if arguments.name:
        print(load_recipe(arguments.name).to_json())
        return 0
    for name in recipe_names():
        print(f"{name:22} {load_recipe(name).description}")
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from hifacegan_lib import checkpoints, photos, training

    generator, info = checkpoints.load_generator(arguments.checkpoint, training.pick_device(arguments.device))
    size = info.get("image_size") if arguments.size is None else arguments.size or None
    sources, root = _images_in(arguments.source)
    bar = tqdm(sources, desc="restore")
    written, failed = photos.restore_files(
        bar, arguments.out, generator, size, root, arguments.overwrite, lambda line: bar.write(line, file=sys.stderr)
    )
    print(f"{len(written)} restored into {arguments.out}; {len(failed)} left out")
    return 1 if failed else 0


def _doctor(arguments: argparse.Namespace) -> int:
    from hifacegan_lib import doctor

    a = arguments
    print(doctor.command(a.checkpoint, a.images, a.out, a.size, a.count, a.norm, a.overwrite))
    return 0


def _weights(arguments: argparse.Namespace) -> int:
    from hifacegan_lib import weights

    return weights.command(arguments.action, arguments.names)


def _images_in(source: Path) -> tuple[list[Path], Path]:
    """The image files of a file or folder, sorted, and the folder that their names start from."""
    from hifacegan_lib.images import SUFFIXES

    if source.is_file():
        return [source], source.parent
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: no such file or folder")
    found = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not found:
        raise ValueError(f"{source}: no image file below it ({', '.join(sorted(SUFFIXES))})")
    return found, source


if __name__ == "__main__":
    sys.exit(main())
