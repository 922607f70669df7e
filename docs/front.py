"""Draw docs/front.jpg, the first picture of the README: two public-domain photographs, damaged and restored.

The photographs come with packages, Eileen Collins with scikit-image and Grace Hopper with matplotlib. Both are
in the public domain. The shipped weights never saw them. Example: python docs/front.py
"""

import argparse
from pathlib import Path

import matplotlib.cbook
from gallery import save, sheet
from skimage import data

import hifacegan_lib as hf
from hifacegan_lib.restoration import detect
from hifacegan_lib.restoration.alignment import cut
from hifacegan_lib.utils import images, measures

SIDE = 256  # of a face, pixels
SEEDS = (3, 12)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    hopper = images.load_image(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    recipe = hf.load_recipe("face_renov")
    models = {name: hf.load_model("compact-256", blend) for name, blend in (("fidelity", 0.0), ("realism", 1.0))}
    faces, texts = [], []
    for photo, seed in zip((data.astronaut(), hopper), SEEDS, strict=True):
        clean = cut(photo, detect(photo, "yunet")[0].alignment, SIDE)
        damaged = recipe.sample(seed, grid=SIDE).apply(clean)
        drawn = {"damaged": damaged, **{name: model.restore([damaged])[0] for name, model in models.items()}}
        texts.append([*(f"{measures.psnr(clean, face):.1f} dB" for face in drawn.values()), ""])
        faces.append({**drawn, "clean": clean})
    save(sheet(faces, texts), Path(__file__).with_name("front.jpg"), 85)


if __name__ == "__main__":
    main()
