"""Measure the weights that ship and write their card: weights/measured.json, its pictures, weights/MODEL_CARD.md.

    python docs/model_card.py --data data/compact256 --kept data/select
    python docs/model_card.py --data data/compact256 --part prints      # the old prints alone, or --part beyond
    python docs/model_card.py                           # the card again, from measured.json

``--data`` is judged by its validation faces, baselines are tuned on its training faces. ``--kept`` has the faces that
were set aside to choose by; the pictures show the generated ones among them, which show no real person.
"""

import argparse
import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from skimage import data
from torch import Tensor

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.data.face_loader import FaceLoader, LoaderConfig
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.evaluation import baselines, scoring
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.metrics.full_reference import psnr
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.models.checkpoints import load_generator
from hifacegan_lib.restoration import pretrained
from hifacegan_lib.restoration.alignment import cut
from hifacegan_lib.restoration.detection import detect
from hifacegan_lib.training.health import DROPLETS, droplets
from hifacegan_lib.utils import images, measures
from hifacegan_lib.utils.images import Pixels

WEIGHTS = pretrained.FOLDER
NUMBERS, CARD, TEXT = WEIGHTS / "measured.json", WEIGHTS / "MODEL_CARD.md", Path(__file__).parent / "model_card.txt"
NAME, SIZE, RECIPE = pretrained.DEFAULT, pretrained.FRAME, "face_renov"
BLENDS = {"fidelity": 0.0, "half": 0.5, "realism": 1.0}
BEYOND = (1.0, 1.1, 1.2, 1.3)  # blends; those above 1 do not ship
OPEN, VINTAGE = "open-256", "vintage-256"
PRINTS = "old_photo"  # the recipe of vintage-256
PORTRAITS = 8  # drawn faces that hold the weights to their gain, with the astronaut
TUNING = 128  # training faces on which the baselines are tuned
METRICS = ("psnr", "ssim", "lpips", "identity", "sharpness")
DIGITS = {"psnr": 2, "ssim": 3, "lpips": 3, "identity": 3, "sharpness": 1}


def bilateral(x: Tensor, color: float, space: float) -> Tensor:
    """Mean of near pixels of like colour (Tomasi and Manduchi 1998), by OpenCV on 8 bits.

    Args:
        color, space: standard deviations of the two bells, grey levels and pixels; above 0.
    """
    smooth = [cv2.bilateralFilter(images.to_uint8(face), 0, color, space) for face in x]
    return torch.stack([images.to_float(face) for face in smooth]).to(x)


GRIDS: dict[Callable[..., Tensor], list[dict[str, float]]] = {
    baselines.bicubic: [{"factor": factor} for factor in (1.5, 2, 2.5, 3, 4, 5, 6, 8)],
    baselines.non_local_means: [
        {"h": h, "template": t, "search": s} for h in (10, 15, 20, 25, 30, 40) for t in (3, 7) for s in (7, 11, 21)
    ],
    bilateral: [{"color": c, "space": s} for c in (60, 90, 130, 200, 300) for s in (1.5, 2, 2.5, 4)],
}


def load(method: str) -> pretrained.Model:
    """The model of a row of the table."""
    name, blend = (method, 0.0) if method in (OPEN, VINTAGE) else (NAME, BLENDS[method])
    return pretrained.load_model(name, blend)


def held(method: str) -> dict[str, float]:
    """Gain in dB on the astronaut's face and on drawn ones, each damaged by a seed of its own: name -> gain."""
    model = load(method)
    photo = data.astronaut()
    faces = {"astronaut": cut(photo, detect(photo, "haar")[0].alignment, SIZE)}
    faces |= {f"portrait {n}": portrait(n, SIZE) for n in range(PORTRAITS)}
    gains = {}
    recipe = load_recipe(PRINTS if method == VINTAGE else RECIPE)
    for seed, (name, clean) in enumerate(faces.items()):
        damaged = recipe.sample(seed, grid=SIZE).apply(clean)
        gains[name] = round(measures.psnr(clean, model.restore([damaged])[0]) - measures.psnr(clean, damaged), 3)
    return gains


def prints(source: Path) -> dict[str, Any]:
    """The numbers of old prints."""
    models: dict[str, Any] = {name: load(name).network for name in ("fidelity", VINTAGE)}
    valid = FaceLoader(LoaderConfig(str(source), SIZE, PRINTS, 8, 1.0, 0.0), "valid")
    found = scoring.evaluate(models, valid, 1000, metrics=standard(METRICS))
    return {
        "recipe": PRINTS,
        "faces": len(found.keys),
        "rows": [_row(found, row["method"]) for row in found.rows],
        "gains": {name: _three(found.gain(name, "degraded", "psnr")) for name in models},
        "worse": {name: _worse(model, valid) for name, model in models.items()},
        "held": held(VINTAGE),
    }


@torch.inference_mode()
def beyond(source: Path) -> list[dict[str, Any]]:
    """Networks on the line through both flavours, up to and beyond realism: sharper, and farther from the truth."""
    first, last = (load_generator(WEIGHTS / f"{NAME}-{flavour}.safetensors")[0] for flavour in pretrained.FLAVOURS)
    networks: dict[str, Any] = {}
    for blend in BEYOND:
        mixed = {name: torch.lerp(value, last.state_dict()[name], blend) for name, value in first.state_dict().items()}
        networks[f"{blend:g}"] = copy.deepcopy(first)
        networks[f"{blend:g}"].load_state_dict(mixed)
    valid = FaceLoader(LoaderConfig(str(source), SIZE, RECIPE, 8, 1.0, 0.0), "valid")
    found = scoring.evaluate(networks, valid, 1000, metrics=standard(METRICS))
    gains = {name: found.scores[name]["psnr"] - found.scores["degraded"]["psnr"] for name in networks}
    worse = {n: {"faces": int((gain < 0).sum()), "least": round(float(gain.min()), 2)} for n, gain in gains.items()}
    over = {name: _three(found.gain(name, "degraded", "psnr")) for name in networks}
    return [_row(found, name) | {"gain": over[name], "worse": worse[name]} for name in networks]


def measure(source: Path) -> dict[str, Any]:
    """All numbers of the card but those of old prints and beyond realism."""
    config = LoaderConfig(str(source), SIZE, RECIPE, 8, 1.0, 0.0)
    train = _first(FaceLoader(config, "train"), TUNING)
    tuned = {family.__name__: baselines.tune(family, grid, train) for family, grid in GRIDS.items()}
    models: dict[str, Any] = {name: load(name).network for name in (*BLENDS, OPEN)}
    methods = {name: one.method for name, one in tuned.items()} | models
    valid = FaceLoader(config, "valid")
    found = scoring.evaluate(methods, valid, 1000, metrics=standard(METRICS))
    over = ["degraded", *tuned]
    return {
        "recipe": RECIPE,
        "faces": len(found.keys),
        "rows": [_row(found, row["method"]) for row in found.rows],
        "sharpness_of_clean_faces": round(found.clean["sharpness"].mean, 2),
        "tuned": {name: dict(one.setting) for name, one in tuned.items()},
        "gains": {m: {name: {o: _three(found.gain(name, o, m)) for o in over} for name in models} for m in METRICS[:2]},
        "worse": {name: _worse(model, valid) for name, model in models.items()},
        "clean_input": {name: _clean(model, valid) for name, model in models.items()},
        "droplets": {name: _droplets(model, valid) for name, model in models.items()},
        "held": {name: held(name) for name in (*pretrained.FLAVOURS, OPEN)},
    }


def _first(loader: FaceLoader, count: int) -> list[scoring.Batch]:
    batches: list[scoring.Batch] = []
    for batch in loader:
        batches.append(batch)
        if len(batches) * len(batch["key"]) >= count:
            break
    return batches


def _row(found: Evaluation, method: str) -> dict[str, Any]:
    row = next(row for row in found.rows if row["method"] == method)
    return {"method": method} | {n: [round(row[n + end], 4) for end in ("", "_low", "_high")] for n in METRICS}


def _three(interval: Any) -> list[float]:
    return [round(value, 4) for value in (interval.mean, interval.low, interval.high)]


@torch.inference_mode()
def _clean(model: Callable[[Tensor], Tensor], loader: FaceLoader) -> dict[str, float]:
    """What becomes of faces that need no restoring: PSNR to what they were, dB."""
    values = torch.cat([psnr(_rounded(model(batch["clean"])), batch["clean"]) for batch in loader])
    return {"mean": round(float(values.mean()), 2), "least": round(float(values.min()), 2)}


@torch.inference_mode()
def _worse(model: Callable[[Tensor], Tensor], loader: FaceLoader) -> dict[str, float]:
    """Faces whose PSNR is below that of their input, and the least gain in dB."""
    gains = torch.cat(
        [psnr(_rounded(model(b["degraded"])), b["clean"]) - psnr(b["degraded"], b["clean"]) for b in loader]
    )
    return {"faces": int((gains < 0).sum()), "least": round(float(gains.min()), 2)}


@torch.inference_mode()
def _droplets(model: Callable[[Tensor], Tensor], loader: FaceLoader) -> dict[str, float]:
    scores = torch.cat([droplets(model(batch["degraded"]).clamp(0, 1), batch["clean"]) for batch in loader])
    return {"largest": round(float(scores.max()), 2), "above": int((scores > DROPLETS).sum())}


def _rounded(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round() / 255


def pictures(kept: Path) -> None:
    """weights/faces.jpg and failures.jpg."""
    faces = FaceLoader(LoaderConfig(str(kept), SIZE, RECIPE, 1, 1.0, 0.0), "valid")
    generated = [batch for batch in faces if "cc0" in batch["key"][0]]
    models = {name: load(name) for name in BLENDS if name != "half"}
    shown: dict[str, list[tuple[float, dict[str, Pixels]]]] = {}  # key -> gain and pictures of each draw of damage
    for seed, batch in enumerate(generated * 5):
        clean = images.to_uint8(batch["clean"][0])
        damaged = load_recipe(RECIPE).sample(100 + seed, grid=SIZE).apply(clean)
        drawn = {name: model.restore([damaged])[0] for name, model in models.items()}
        gain = measures.psnr(clean, drawn["fidelity"]) - measures.psnr(clean, damaged)
        shown.setdefault(batch["key"][0], []).append((gain, {"damaged": damaged} | drawn | {"clean": clean}))
    draws = [sorted(found, key=lambda draw: draw[0]) for found in shown.values()]
    _sheet([found[2][1] for found in draws], WEIGHTS / "faces.jpg")
    _sheet([found[0][1] for found in sorted(draws, key=lambda found: found[0][0])[:4]], WEIGHTS / "failures.jpg")


def _sheet(faces: Sequence[Mapping[str, Pixels]], path: Path) -> None:
    from gallery import save, sheet  # beside this script

    small = [{name: images.resize(image, 208, 208) for name, image in face.items()} for face in faces]
    texts = [[f"{measures.psnr(f['clean'], f[n]):.1f} dB" if n != "clean" else "" for n in f] for f in faces]
    save(sheet(small, texts), path, 85)


def card(m: Mapping[str, Any]) -> str:
    """The card's text, docs/model_card.txt, with its numbers."""
    clean = m["sharpness_of_clean_faces"]
    over = ["| gain, dB | " + " | ".join(f"over {o.replace('_', ' ')}" for o in m["gains"]["psnr"]["fidelity"]) + " |"]
    over.append("| --- " * (len(m["gains"]["psnr"]["fidelity"]) + 1) + "|")
    for name, others in m["gains"]["psnr"].items():
        over.append(f"| {name} | " + " | ".join("{:+.2f} [{:.2f}, {:.2f}]".format(*v) for v in others.values()) + " |")
    old, vintage = m["prints"], m["prints"]["gains"][VINTAGE]
    values = {
        "TABLE": _table(m["rows"]),
        "BEYOND": _beyond(m["beyond"]),
        "PRINTS": _table(old["rows"]),
        "PRINTS_GAIN": "{:+.2f} dB [{:.2f}, {:.2f}]".format(*vintage),
        "PRINTS_WORSE": "{faces} (least gain {least:+.2f} dB)".format(**old["worse"][VINTAGE]),
        "PRINTS_HELD": f"{old['held']['astronaut']:+.2f} dB on the astronaut, {_mean(old['held']):+.2f} dB",
        "GAINS": "\n".join(over),
        "CLEAN_SHARPNESS": f"{clean:.1f}",
        "FACES": str(m["faces"]),
        "CLEAN_INPUT": "; ".join(
            f"{n} {v['mean']:.1f} dB (least {v['least']:.1f})" for n, v in m["clean_input"].items()
        ),
        "DROPLETS": "; ".join(f"{n} {v['above']} (largest {v['largest']:.1f})" for n, v in m["droplets"].items()),
        "TUNED": "; ".join(f"{n.replace('_', ' ')} {_words(v)}" for n, v in m["tuned"].items()),
        "WORSE": "; ".join(f"{n} {v['faces']} (least gain {v['least']:+.2f} dB)" for n, v in m["worse"].items()),
        "HELD": "; ".join(
            f"{n} {v['astronaut']:+.2f} dB on the astronaut, {_mean(v):+.2f} dB" for n, v in m["held"].items()
        ),
        "SHA256": "\n".join(f"    {sum_}  {name}" for name, sum_ in sums().items()),
    }
    text = TEXT.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"<{name}>", value)
    return text


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| | PSNR, dB | SSIM | LPIPS | identity | sharpness |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        low = "{0:.{d}f} [{1:.{d}f}, {2:.{d}f}]".format
        cells = [low(*row[name], d=digits) for name, digits in DIGITS.items()]
        ours = row["method"] in (*BLENDS, OPEN, VINTAGE)
        lines.append(
            f"| {'**' + row['method'] + '**' if ours else row['method'].replace('_', ' ')} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def _beyond(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| blend | gain, dB | least gain | worse than input | LPIPS | identity | sharpness |", "| --- " * 7 + "|"]
    for row in rows:
        gain, worse = "{:+.2f} [{:.2f}, {:.2f}]".format(*row["gain"]), row["worse"]
        values = [f"{row[name][0]:.{DIGITS[name]}f}" for name in ("lpips", "identity", "sharpness")]
        cells = [row["method"], gain, f"{worse['least']:+.2f}", str(worse["faces"]), *values]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(gains: Mapping[str, float]) -> float:
    return float(np.mean([value for name, value in gains.items() if name != "astronaut"]))


def _words(setting: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in setting.items())


def sums() -> dict[str, str]:
    """Of the shipped files."""
    files = [*(WEIGHTS / f"{NAME}-{flavour}.safetensors" for flavour in pretrained.FLAVOURS)]
    files += [WEIGHTS / f"{name}-fidelity.safetensors" for name in (OPEN, VINTAGE)]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


PARTS: dict[str, Callable[[Path], Any]] = {"prints": prints, "beyond": beyond}  # measured by themselves, or with all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="prepared faces: judged and tuned on")
    parser.add_argument("--part", choices=("all", *PARTS), default="all", help="of the numbers (all)")
    parser.add_argument("--kept", type=Path, help="prepared faces: those to choose by, for the pictures")
    choice = parser.parse_args()
    if choice.data:
        whole = choice.part == "all"
        known = measure(choice.data) if whole else json.loads(NUMBERS.read_text(encoding="utf-8"))
        known |= {part: measured(choice.data) for part, measured in PARTS.items() if whole or part == choice.part}
        NUMBERS.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    if choice.kept:
        pictures(choice.kept)
    CARD.write_text(card(json.loads(NUMBERS.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
