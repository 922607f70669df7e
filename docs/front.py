"""Draw docs/front.jpg, the first picture of the README: two public-domain photographs, damaged and restored.

The photographs come with packages, Eileen Collins with scikit-image and Grace Hopper with matplotlib. Both are
in the public domain. The shipped weights never saw them. Example: python docs/front.py
"""

import argparse
from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np
from skimage import data

import hifacegan_lib as hf
from hifacegan_lib.restoration import detect
from hifacegan_lib.restoration.alignment import cut
from hifacegan_lib.utils import images, measures

SIDE, LABEL = 256, 26  # of a face, and of the text below it, pixels
SEEDS = (3, 12)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    hopper = images.load_image(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    recipe = hf.load_recipe("face_renov")
    models = {name: hf.load_model("compact-256", blend) for name, blend in (("fidelity", 0.0), ("realism", 1.0))}
    cells = []
    for photo, seed in zip((data.astronaut(), hopper), SEEDS, strict=True):
        clean = cut(photo, detect(photo)[0].alignment, SIDE)
        damaged = recipe.sample(seed, grid=SIDE).apply(clean)
        columns = {"damaged": damaged, **{name: model.restore([damaged])[0] for name, model in models.items()}}
        for name, face in columns.items():
            cells.append(labelled(face, f"{name}, {measures.psnr(clean, face):.1f} dB"))
        cells.append(labelled(clean, "clean"))
    sheet = images.grid(cells, columns=4)
    Path(__file__).with_name("front.jpg").write_bytes(
        cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()
    )


def labelled(face: images.Pixels, text: str) -> images.Pixels:
    """The face with a line of text below it."""
    strip = np.full((LABEL, SIDE, 3), 255, np.uint8)
    cv2.putText(strip, text, (4, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
    return np.vstack([face, strip])


if __name__ == "__main__":
    main()
