"""Draw the pictures of docs/gallery.md and print its tables: 24 faces, chosen by a rule, each restored by five methods,
and 9 faces as old prints.

    python docs/gallery.py FACES/valid

The faces, their damage and the restorers are those of docs/benchmark.md; its results in ``--out`` are used again. Faces
are ordered by the gain in PSNR of compact-256 over the damaged face: the first 8, the 8 in the middle and the last 8.
The old prints are ordered by the gain of vintage-256: 3 of each.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import hifacegan_lib as hf
from hifacegan_lib.evaluation.benchmark_results import Benchmark
from hifacegan_lib.utils.images import Pixels, load_image

METRICS = ("psnr", "lpips")
SET, EACH = "ffhq100", 8
COLUMNS = {  # head -> the benchmark's label; the clean face is the last column
    "damaged": "input",
    "bicubic": "bicubic",
    "Real-ESRGAN": "realesrgan-x4plus",
    "fidelity": "compact-256",
    "realism": "compact-256@blend=1",
    "open-256": "open-256",
}
CROP = slice(68, 228), slice(48, 208)  # rows and columns of 256: the face, each pixel as it is
PRINTS, EACH_OF_PRINTS = "prints100", 3
COLUMNS_OF_PRINTS = {
    **{head: label for head, label in COLUMNS.items() if head not in ("realism", "open-256")},
    "vintage-256": "vintage-256",
}
GAP, HEAD, LABEL = 4, 34, 26  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path, help="folder of FFHQ's images 00000 to 00099")
    parser.add_argument("--out", type=Path, default=Path("runs/ffhq100"), help="of the benchmark (runs/ffhq100)")
    parser.add_argument(
        "--realesrgan", default="realesrgan-x4plus", help="a file of its weights, else they are fetched"
    )
    choice = parser.parse_args()
    shared = ["compact-256", "bicubic", f"realesrgan-x4plus={choice.realesrgan}@size=64"]
    methods = [*shared, "compact-256@blend=1", "open-256"]
    found = hf.benchmark(methods, [f"{SET}={choice.faces}"], choice.out, "face_renov", 256, metrics=METRICS)
    for part, places in chosen(found, SET, "compact-256", EACH).items():
        draw(found, SET, COLUMNS, {part: places}, part)
    methods, prints = [*shared, "vintage-256"], choice.out.with_name(PRINTS)
    found = hf.benchmark(methods, [f"{PRINTS}={choice.faces}"], prints, "old_photo", 256, metrics=METRICS)
    draw(found, PRINTS, COLUMNS_OF_PRINTS, chosen(found, PRINTS, "vintage-256", EACH_OF_PRINTS), "prints")


def chosen(found: Benchmark, of: str, method: str, each: int) -> dict[str, Sequence[int]]:
    """Places of the faces in the order of a method's gain in PSNR: the first, those in the middle, the last."""
    values = {label: found.of(of)[label].scores["restored"]["psnr"] for label in ("input", method)}
    order = np.argsort(values["input"] - values[method], kind="stable").tolist()  # the largest gain first
    middle = (len(order) - each) // 2
    return {"best": order[:each], "middle": order[middle : middle + each], "worst": order[-each:]}


def draw(found: Benchmark, of: str, columns: Mapping[str, str], parts: Mapping[str, Sequence[int]], name: str) -> None:
    """Save ``gallery_<name>.jpg`` with the faces at these places, and print a table of each part."""
    evaluations = found.of(of)
    keys = evaluations["input"].keys
    values = {label: evaluations[label].scores["restored"] for label in columns.values()}
    faces, texts = [], []
    for part, places in parts.items():
        head = ["face", *columns]
        print("\n".join(["", f"{name} {part}", "", f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]))
        for n in places:
            files = {column: found.files[of, label][keys[n]] for column, label in columns.items()}
            files["clean"] = found.sets[of].clean[keys[n]]
            face = Path(found.sets[of].names[keys[n]]).stem[-5:]
            faces.append({column: load_image(file)[CROP] for column, file in files.items()})
            texts.append([*(f"{v['psnr'][n]:.1f} dB" for v in values.values()), face])
            cells = [f"{v['psnr'][n]:.1f} / {v['lpips'][n]:.2f}" for v in values.values()]
            print(f"| {' | '.join([face, *cells])} |")
    save(sheet(faces, texts), Path(__file__).with_name(f"gallery_{name}.jpg"), 66)


def sheet(faces: Sequence[Mapping[str, Pixels]], texts: Sequence[Sequence[str]]) -> Image.Image:
    """Rows of pictures of one size, head -> uint8 H x W x 3, a text below each; the heads above."""
    height, width = next(iter(faces[0].values())).shape[:2]
    font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    small, large = (ImageFont.truetype(str(font), size) for size in (15, 19))
    canvas = Image.new("RGB", (len(faces[0]) * (width + GAP) - GAP, HEAD + len(faces) * (height + LABEL)), "white")
    draw = ImageDraw.Draw(canvas)
    for row, (pictures, below) in enumerate(zip(faces, texts, strict=True)):
        for column, ((head, picture), text) in enumerate(zip(pictures.items(), below, strict=True)):
            left, top = column * (width + GAP), HEAD + row * (height + LABEL)
            canvas.paste(Image.fromarray(picture), (left, top))
            draw.text((left + width / 2, top + height + 3), text, "black", small, "ma")
            draw.text((left + width / 2, HEAD / 2), head if row == 0 else "", "black", large, "mm")
    return canvas


def save(picture: Image.Image, path: Path, quality: int) -> None:
    picture.save(path, quality=quality, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
