"""``hifacegan``: the workbench from a shell. What it understands; ``commands`` does it.

Exit codes: 0 done, 1 failed or something was left out, 2 misused, 130 stopped by hand.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hifacegan_lib import __version__, commands
from hifacegan_lib.names import METRICS, NOTEBOOK_NAMES, ParamsError


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
    parsers = parser.add_subparsers(required=True, metavar="COMMAND")

    run = _command(
        parsers,
        commands.run,
        "execute a profile's notebooks in order, with papermill",
        "hifacegan run demo\n  hifacegan run folder256 --only 04_training -p steps 2000 -p decay_steps 1000",
    )
    run.add_argument("profile", help="folder below params/: demo, folder256, colab, ffhq512 or your own")
    run.add_argument("--only", nargs="+", default=[], metavar="NOTEBOOK", help=f"some of {', '.join(NOTEBOOK_NAMES)}")
    _add_overrides(run)

    train = _command(
        parsers,
        commands.train,
        "train a profile's network without a notebook; under torchrun with several processes",
        "hifacegan train demo -p steps 100 -p decay_steps 50 -p run_name short\n"
        "  torchrun --nproc-per-node 4 -m hifacegan_lib.cli train ffhq512",
    )
    train.add_argument("profile", help="folder below params/, whose 04_training.yaml holds")
    _add_overrides(train)

    sweep = _command(
        parsers,
        commands.sweep,
        "execute one notebook for each cell of a grid of parameters, then compare: a table over seeds, pictures",
        "hifacegan sweep 04_training demo -p suppression=inner_product,lip,conv -p seed=0,1,2\n"
        "  hifacegan sweep 04_training demo -p seed=0,1,2 --name again --scheduler tcp://10.0.0.1:8786\n\n"
        "The same command goes on where it was stopped, and tries what failed again; one with other values adds cells.",
    )
    sweep.add_argument("notebook", help=f"one of {', '.join(NOTEBOOK_NAMES)}")
    sweep.add_argument("profile", help="folder below params/: whose values hold where -p gives none")
    sweep.add_argument(
        "-p", action="append", default=[], metavar="KEY=V1,V2", dest="choices", help="a key to vary; one value: to fix"
    )
    sweep.add_argument("--name", help="folder below runs/ for the sweep (PROFILE-sweep)")
    where = sweep.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, metavar="N", help="runs at once on this machine (half as many as cores)")
    where.add_argument(
        "--scheduler",
        default="",
        metavar="ADDRESS",
        help="of a Dask cluster, whose every thread takes a run; its machines see the same folders as this one",
    )
    where.add_argument("--collect", action="store_true", help="run nothing: make table and pictures of what is there")

    prepare = _command(
        parsers,
        commands.prepare,
        "choose images, split them, write the manifest",
        "hifacegan prepare -p source folder -p source_path ~/faces -p data_dir data/mine \\\n"
        "                    -p train_size 900 -p valid_size 100",
    )
    prepare.add_argument("--profile", default="demo", help="whose values hold where -p gives none (demo)")
    prepare.add_argument("--overwrite", action="store_true", help="replace the data folder's former manifest")
    _add_overrides(prepare)

    degrade = _command(
        parsers,
        commands.degrade,
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
        parsers,
        commands.replay,
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
        parsers,
        commands.recipes,
        "list the shipped recipes, or print one as JSON to begin one's own with",
        "hifacegan recipes\n  hifacegan recipes face_renov > mine.json\n  hifacegan recipes --schema > schema.json",
    )
    recipes.add_argument("name", nargs="?", help="a shipped recipe or a JSON file, which is checked")
    recipes.add_argument(
        "--schema", action="store_true", help="print the JSON schema that recipes follow, for an editor"
    )

    evaluate = _command(
        parsers,
        commands.evaluate,
        "score a folder of restored faces against clean ones, whoever made them",
        "hifacegan evaluate --restored theirs/ --reference clean/ --degraded damaged/ --out scores/theirs\n"
        "  hifacegan evaluate --restored x4/ --reference clean/ --metrics psnr ssim --resize bicubic --crop 4\n\n"
        "Pictures pair by name (path without suffix); names that do not pair are an error, pairs that cannot be read\n"
        "are counted, listed, and make the exit code 1.",
    )
    evaluate.add_argument("--restored", type=Path, required=True, metavar="FOLDER", help="pictures to judge")
    evaluate.add_argument("--reference", type=Path, required=True, metavar="FOLDER", help="the clean ones")
    evaluate.add_argument("--degraded", type=Path, metavar="FOLDER", help="what they were restored from, for the gain")
    evaluate.add_argument(
        "--out", type=Path, metavar="FOLDER", help="for metrics.json, .csv, report.html (runs/evaluate-NAME)"
    )
    evaluate.add_argument("--metrics", nargs="+", metavar="NAME", help=f"some of {', '.join(METRICS)} (all)")
    evaluate.add_argument(
        "--resize", default="", metavar="KERNEL", help="area, bilinear, bicubic or lanczos: to the reference's size"
    )
    evaluate.add_argument("--crop", type=int, default=0, metavar="PIXELS", help="left out at each border (0)")
    evaluate.add_argument(
        "--groups", type=Path, metavar="FILE.csv", help="columns key and one or more labels, for a breakdown"
    )
    evaluate.add_argument("--samples", type=int, default=1000, help="bootstrap resamples (1000)")
    evaluate.add_argument("--seed", type=int, default=0, help="of the resamples (0)")
    evaluate.add_argument(
        "--device", default="auto", help="of the metrics' networks: auto, cpu, cuda, cuda:N or mps (auto)"
    )
    evaluate.add_argument("--overwrite", action="store_true", help="replace an evaluation that is there")

    compare = _command(
        parsers,
        commands.compare,
        "compare two evaluated runs face by face: differences, intervals, wins, the faces that changed most",
        "hifacegan compare demo demo-lip\n  hifacegan compare scores/theirs scores/ours --metric lpips",
    )
    compare.add_argument("run_a", metavar="RUN_A", help="a run's name, or a folder with metrics.json")
    compare.add_argument("run_b", metavar="RUN_B", help="the other one")
    compare.add_argument("--method", default="", help="row of both evaluations (model, or restored)")
    compare.add_argument("--metric", default="", help="the first of the table; orders the faces (psnr)")
    compare.add_argument("--out", type=Path, metavar="FOLDER", help="for comparison.json and .html (runs/compare-A-B)")

    restore = _command(
        parsers,
        commands.restore,
        "restore the faces of a photograph, a folder of photographs, or a film",
        "hifacegan restore old.jpg restored/ --comparison\n"
        "  hifacegan restore album/ restored/ --blend 0.5 --strength 0.8 --scale 2\n"
        "  hifacegan restore clip.mp4 restored/ --smooth 0.7\n"
        "  hifacegan restore crops/ restored/ --aligned --weights runs/demo/checkpoints/step_000400/ema.safetensors\n\n"
        "A photograph without a face is copied as it is. The same command goes on where it was interrupted; what\n"
        "cannot be read is listed and makes the exit code 1. restored.jsonl says what was done to each photograph.",
    )
    restore.add_argument("source", type=Path, help="an image, a folder of images, or a film (.mp4, .mov, .avi, ...)")
    restore.add_argument("out", type=Path, help="folder for the results; names and formats are kept")
    restore.add_argument(
        "--weights",
        "--checkpoint",
        default="compact-256",
        help="a shipped name, a .safetensors or an .onnx file (compact-256)",
    )
    restore.add_argument("--blend", type=float, default=0.0, help="of shipped weights: 0 fidelity to 1 realism (0)")
    restore.add_argument(
        "--detector",
        choices=["auto", "yunet", "haar"],
        default="auto",
        help="of faces; auto: YuNet when fetched (auto)",
    )
    restore.add_argument("--strength", type=float, default=1.0, help="of the change, 0 to 1 (1)")
    restore.add_argument(
        "--scale", type=int, default=1, choices=[1, 2, 4], help="enlarge, with Lanczos around faces (1)"
    )
    restore.add_argument(
        "--least",
        type=int,
        metavar="PIXELS",
        help="narrowest face that is restored (16, or 1/96 of the shorter side; 1/48 by haar)",
    )
    restore.add_argument("--smooth", type=float, default=0.6, help="of a film: 0 each frame alone, to below 1 (0.6)")
    restore.add_argument("--only-faces", action="store_true", help="write the restored faces, not the photographs")
    restore.add_argument("--comparison", action="store_true", help="write before and after beside each other, too")
    restore.add_argument("--aligned", action="store_true", help="each image is one face, framed as in training")
    restore.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (auto)")
    restore.add_argument(
        "--precision",
        choices=["float32", "bfloat16", "auto"],
        default="float32",
        help="of the network's insides; bfloat16: by PyTorch; auto: that where the device is made for it (float32)",
    )
    restore.add_argument("--overwrite", action="store_true", help="replace files that are there, and do all again")

    export = _command(
        parsers,
        commands.export,
        "write a checkpoint, ours or a published one, for other programs: ONNX or torch.export",
        "hifacegan export safe.safetensors face.onnx\n  hifacegan export ema.safetensors face.pt2 --size 512 --fixed",
    )
    export.add_argument(
        "checkpoint", type=Path, help=".safetensors of ours; .pth or .safetensors of the published code"
    )
    export.add_argument("out", type=Path, help="file to write: .onnx (needs the extra [export]) or .pt2")
    export.add_argument(
        "--size", type=int, default=0, help="side of the picture that it is traced with, pixels (its training's)"
    )
    export.add_argument("--fixed", action="store_true", help="for pictures of that size alone")
    export.add_argument("--overwrite", action="store_true", help="replace a file that is there")

    doctor = _command(
        parsers,
        commands.doctor,
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
        parsers,
        commands.weights,
        "list, fetch or verify the downloadable weights that losses and metrics use; convert a file of one's own",
        "hifacegan weights list\n  hifacegan weights fetch vgg19\n"
        "  hifacegan weights convert vgg_normalised_conv3_1.pth vgg_first_layers.safetensors",
    )
    weights.add_argument("action", choices=["list", "fetch", "verify", "convert"])
    weights.add_argument(
        "names", nargs="*", metavar="NAME", help="which (list, verify: all); convert: SOURCE.pth TARGET.safetensors"
    )
    return parser


def _command(parsers: Any, call: Any, says: str, example: str) -> argparse.ArgumentParser:
    parser = parsers.add_parser(
        call.__name__,
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


if __name__ == "__main__":
    sys.exit(main())
