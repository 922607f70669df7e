"""What the commands of ``hifacegan`` do: call the library, print, return the exit code.

Each imports what it needs when it is called, so that ``--help`` does not wait for PyTorch.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from hifacegan_lib.names import METRICS, ParamsError


def _overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """VALUE as YAML would read it: 8 is a number, true a truth value, the rest text."""
    return {key: _value(value) if value else "" for key, value in arguments.overrides}


def _value(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:  # a glob such as **
        return text


def run(arguments: argparse.Namespace) -> int:
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


def train(arguments: argparse.Namespace) -> int:
    import json

    from hifacegan_lib import pipeline, runs
    from hifacegan_lib.models import checkpoints
    from hifacegan_lib.params import Training

    p = runs.load_notebook(arguments.profile, "04_training", _overrides(arguments))
    folder = pipeline.train_model(Training.checked(p.model_dump(), arguments.profile))
    result = folder / "result.json"
    if not result.exists():
        return 130  # stopped by hand, which the run has said itself
    if int(os.environ.get("RANK", 0)) == 0:
        found = json.loads(result.read_text(encoding="utf-8"))
        print(
            f"{found['faces']} unseen faces: {found['psnr']:.2f} dB, {found['gain']:+.2f} dB over the input, "
            f"SSIM {found['ssim']:.3f}; {found['steps']} steps in {found['seconds']:.0f} s on {found['device']}"
        )
        print(f"report   {folder / 'report.html'}\nweights  {checkpoints.latest_generator(folder)}")
    return 0


def sweep(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from hifacegan_lib import runs, sweep_tables, sweeps

    a = arguments
    name = a.name or f"{a.profile}-sweep"
    if a.collect:
        whole = sweeps.Sweep.load(name)
        if (whole.notebook, whole.profile) != (a.notebook, a.profile):
            raise ParamsError(
                f"{runs.shown(whole.folder)} is a sweep of {whole.notebook} {whole.profile}; name another"
            )
    else:
        if a.jobs is not None and a.jobs < 1:
            raise ParamsError(f"--jobs {a.jobs}: expected at least 1")
        whole, asked = sweeps.plan(a.notebook, a.profile, sweeps.read_grid(a.choices), name)
        todo = [cell for cell in asked if sweeps.result(whole, cell).status != "done"]
        print(f"{runs.shown(whole.folder)}: {len(asked)} cells, {len(asked) - len(todo)} done before", flush=True)
        sweeps.prepare(whole, todo)
        bar = tqdm(total=len(todo), desc="sweep", unit="cell", disable=not todo)
        try:
            for came in sweeps.run(whole, todo, a.jobs or sweeps.default_jobs(), a.scheduler):
                bar.write(str(came))
                bar.update()
        except KeyboardInterrupt:
            bar.close()
            print("hifacegan: stopped; the same command goes on, --collect compares what is done", file=sys.stderr)
            return 130
        bar.close()
    found = sweep_tables.write(whole)
    print(f"\n{sweep_tables.as_text(found)}\n")
    for part in ("table.md", "table.csv", "table.json", "grid.png", "curves.png"):
        if (whole.folder / part).exists():
            print(whole.folder / part)
    return 1 if found["open"] else 0


def prepare(arguments: argparse.Namespace) -> int:
    from hifacegan_lib import pipeline, runs
    from hifacegan_lib.params import DataPreparation

    overrides = {**_overrides(arguments), **({"overwrite": True} if arguments.overwrite else {})}
    path = runs.profile_folder() / arguments.profile / "01_data_preparation.yaml"
    p = DataPreparation.from_yaml(path, overrides)
    manifest = pipeline.prepare_data(p)
    train, valid = (len(manifest.files(split)) for split in ("train", "valid"))
    print(f"{runs.data_folder(p.data_dir) / 'manifest.json'}: {train} train, {valid} valid", end="")
    print(f", {len(manifest.rejected)} rejected, {len(manifest.near_duplicates)} near-duplicates across the split")
    return 0


def degrade(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from hifacegan_lib.degradations.crop import whole_frame
    from hifacegan_lib.degradations.recipes import load_recipe, pair_seed
    from hifacegan_lib.degradations.traces import REFERENCE_SIZE, parse_json
    from hifacegan_lib.utils import images, inputs
    from hifacegan_lib.utils.files import write_json

    recipe, traces, failures = load_recipe(arguments.recipe), {}, 0
    sources, root = inputs.images_in(arguments.source, arguments.out)
    kept = arguments.out / "traces.json"
    targets = [(arguments.out / source.relative_to(root)).with_suffix(".png") for source in sources]
    inputs.refuse_inputs([*targets, kept], [*sources, Path(arguments.recipe)])
    written: set[Path] = set()
    for source, target in zip(tqdm(sources, desc="degrade"), targets, strict=True):
        key = source.relative_to(root).as_posix()
        try:
            if target in written:
                raise ValueError(f"{source}: {target} was written for another image of that name")
            if target.exists() and not arguments.overwrite:
                raise ValueError(f"{target}: exists already; --overwrite replaces it")
            image = images.load_image(source)
            trace = recipe.sample(pair_seed(key, 0, arguments.seed), grid=arguments.size or REFERENCE_SIZE)
            if arguments.size:
                trace = trace.framed(whole_frame(image, arguments.size))
            images.save_image(target, trace.replay(image))
            traces[key] = trace.to_dict()
            written.add(target)
        except (ValueError, OSError) as error:
            tqdm.write(f"left out: {error}", file=sys.stderr)
            failures += 1
    if traces:
        before = parse_json(kept.read_bytes(), str(kept)) if kept.exists() else {}  # of pictures that are still there
        write_json(kept, {**before, **traces})
    print(f"{len(traces)} degraded by {recipe.name} into {arguments.out}; {failures} left out")
    return 1 if failures else 0


def replay(arguments: argparse.Namespace) -> int:
    from hifacegan_lib.degradations import traces
    from hifacegan_lib.utils import images, inputs

    inputs.check_output(arguments.out, [arguments.image, arguments.traces], arguments.overwrite)
    where = str(arguments.traces)
    content = traces.parse_json(arguments.traces.read_bytes(), where)
    if isinstance(content, dict) and isinstance(content.get("traces"), dict):
        content, where = content["traces"], f"{where}: traces"
    if isinstance(content, dict) and "operations" not in content:
        key = arguments.key or traces.key_of(arguments.image, content, where)
        if key not in content:
            raise ValueError(f"{where}: no trace of {key!r}; --key names one of {', '.join(list(content)[:5])} ...")
        content, where = content[key], f"{where}: {key}"
    trace = traces.Trace.from_dict(content, where)
    images.save_image(arguments.out, trace.replay(images.load_image(arguments.image)))
    print(f"{arguments.out}: {trace.describe()}")
    return 0


def recipes(arguments: argparse.Namespace) -> int:
    from hifacegan_lib.degradations import schema
    from hifacegan_lib.degradations.recipes import load_recipe, recipe_names

    if arguments.schema:
        print(schema.schema_json(), end="")
        return 0
    if arguments.name:
        print(load_recipe(arguments.name).to_json())
        return 0
    for name in recipe_names():
        print(f"{name:22} {load_recipe(name).description}")
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    from hifacegan_lib import runs
    from hifacegan_lib.reports import folder_reports, run_report
    from hifacegan_lib.training import distributed
    from hifacegan_lib.utils import inputs

    a = arguments
    out = a.out or runs.run_folder(f"evaluate-{a.restored.resolve().name}")
    inputs.refuse_inputs([out / "metrics.csv"], [a.groups] if a.groups else [])
    names, device = a.metrics or METRICS, str(distributed.pick_device(a.device))
    options = {"resize_kernel": a.resize, "crop": a.crop, "labels": a.groups, "bootstrap_samples": a.samples}
    found = folder_reports.evaluate_folders(
        a.restored, a.reference, out, a.degraded, names, **options, seed=a.seed, device=device, overwrite=a.overwrite
    )
    print(f"{len(found.keys)} faces of {found.conditions['image_size']}; {found.conditions['file_format']}\n")
    print(found.table() + "\n")
    if "degraded" in found.scores and "psnr" in found.available:
        print(f"restored over degraded: {found.gain('restored')} dB, face by face\n")
    for sentence in run_report.left_out(found):
        print(sentence)
    for key, reason in found.conditions["unreadable"].items():
        print(f"unreadable: {key}: {reason}", file=sys.stderr)
    for name, reason in found.conditions["unavailable"].items():
        print(f"{found.metrics[name].label} is missing: {reason}")
    print(f"\nnumbers  {out / 'metrics.json'}\nreport   {out / 'report.html'}")
    return 1 if found.conditions["unreadable"] else 0


def compare(arguments: argparse.Namespace) -> int:
    from hifacegan_lib import runs
    from hifacegan_lib.reports import folder_reports

    a = arguments
    folders = [path if (path := Path(name)).is_dir() else runs.run_folder(name) for name in (a.run_a, a.run_b)]
    out = a.out or runs.run_folder(f"compare-{folders[0].name}-{folders[1].name}")
    found = folder_reports.compare_folders(folders[0], folders[1], out, a.method, a.metric)
    for caution in found.cautions:
        print(f"note: {caution}")
    print(f"{found.table()}\n\n{found.verdict()}\n")
    for key, change in list(found.changed.items())[:5]:
        print(f"{change:+.{found.lines[0].digits}f}  {key}")
    for name, (before, after) in found.params.items():
        print(f"{name}: {before} -> {after}")
    print(f"\nnumbers  {out / 'comparison.json'}\npage     {out / 'comparison.html'}")
    return 0


def restore(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from hifacegan_lib.restoration import batch, pretrained, video
    from hifacegan_lib.utils.inputs import images_in

    a = arguments
    if a.aligned and (a.scale != 1 or a.only_faces):
        raise ValueError("--aligned: the picture is the face; --scale and --only-faces are for whole photographs")
    if a.source.is_dir() and a.source.resolve() == a.out.resolve():
        raise ValueError(f"{a.out}: the outputs would replace the inputs; choose another folder, or one inside it")
    model = pretrained.load(a.weights, a.blend, a.device, a.precision)
    if a.source.suffix.lower() in video.SUFFIXES:
        return _restore_film(a, model)
    settings = batch.Settings(a.detector, a.strength, a.scale, a.least, a.only_faces, a.comparison, a.aligned)
    sources, root = images_in(a.source, a.out)
    bar = tqdm(sources, desc="restore", unit="photo")
    say = partial(bar.write, file=sys.stderr)
    done = batch.restore_folder(sources, root, a.out, model, settings, a.overwrite, say, lambda _: bar)
    before = f", {done.before} done before" if done.before else ""
    empty = f", {done.without_face} without a face" if done.without_face else ""
    count = len(sources) - done.before - len(done.failed)
    print(f"{count} of {len(sources)} done{before}{empty}, {len(done.failed)} left out; weights: {model.name}")
    print(f"files    {a.out}\ntraces   {a.out / batch.JOURNAL}")
    return 1 if done.failed else 0


def _restore_film(a: argparse.Namespace, model: Any) -> int:
    from tqdm import tqdm

    from hifacegan_lib.restoration import video
    from hifacegan_lib.utils import inputs

    if a.aligned or a.scale != 1 or a.only_faces or a.comparison:
        raise ValueError(f"{a.source}: a film takes --detector, --strength, --least and --smooth, no other option")
    target = (a.out / a.source.name).with_suffix(".mp4")
    inputs.check_output(target, [a.source], a.overwrite)
    with tqdm(desc="restore", unit="frame") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        film = video.restore_video(a.source, target, model, a.detector, a.strength, a.smooth, a.least, progress)
    print(f"{film.says}; sound is not kept; weights: {model.name}\nfilm     {film.path}")
    return 0


def export(arguments: argparse.Namespace) -> int:
    from hifacegan_lib.models import exporting
    from hifacegan_lib.utils import inputs

    a = arguments
    inputs.check_output(a.out, [a.checkpoint], a.overwrite)
    print(exporting.command(a.checkpoint, a.out, a.size, "fixed" if a.fixed else "any"))
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    from hifacegan_lib.evaluation import doctor
    from hifacegan_lib.utils import inputs

    a = arguments
    if a.out:
        shown = inputs.images_in(a.images)[0] if a.images else []
        inputs.check_output(a.out, [a.checkpoint, *shown], a.overwrite)
    print(doctor.command(a.checkpoint, a.images, a.out, a.size, a.count, a.norm))
    return 0


def weights(arguments: argparse.Namespace) -> int:
    from hifacegan_lib.utils import weight_registry

    if arguments.action != "convert":
        return weight_registry.command(arguments.action, arguments.names)
    from hifacegan_lib.training import perceptual

    if len(arguments.names) != 2:
        raise ValueError(f"weights convert: {len(arguments.names)} files named, expected SOURCE.pth TARGET.safetensors")
    path = perceptual.convert(*arguments.names)
    size = f"{path.stat().st_size / 2**20:.1f} MB"
    print(f"{path}: VGG-19 up to {perceptual.LAYERS[-1]}, {size}; perceptual_file takes it in training")
    return 0
