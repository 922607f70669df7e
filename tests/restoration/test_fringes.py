"""No coloured fringes: at the strongest edges the restored chroma is that of the clean face, and grey stays grey."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.restoration.pretrained import load_model
from hifacegan_lib.utils.images import Pixels

SHIPPED = [("compact-256", 0.0), ("compact-256", 1.0), ("open-256", 0.0)]
FACES = range(6)


def chroma(image: Pixels) -> NDArray[np.float32]:
    """Cr and Cb of BT.601 around 0, grey levels, H x W x 2."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)[..., 1:].astype(np.float32) - 128


def edges(image: Pixels) -> NDArray[np.bool_]:
    """The tenth of the pixels where the luma is steepest."""
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    steep = np.hypot(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1))
    return steep > np.percentile(steep, 90)


def level(values: NDArray[np.float32]) -> float:
    """Root of the mean square length of N x 2 chroma values."""
    return float(np.sqrt((values**2).sum(1).mean()))


@pytest.mark.parametrize(("name", "blend"), SHIPPED)
def test_edges_of_a_grey_face_stay_grey(name: str, blend: float) -> None:
    clean = [np.repeat(cv2.cvtColor(portrait(seed, 256), cv2.COLOR_RGB2GRAY)[..., None], 3, 2) for seed in FACES]
    given = [load_recipe("sr4x8x").sample(seed, 256).apply(face) for seed, face in zip(FACES, clean, strict=True)]
    for face, restored in zip(clean, load_model(name, blend).restore(given), strict=True):
        assert level(chroma(restored)[edges(face)]) < 3


@pytest.mark.parametrize(("name", "blend"), SHIPPED)
def test_edges_keep_the_clean_faces_colours(name: str, blend: float) -> None:
    """The error of the chroma at edges falls, and its fine part (fringes) is not above the clean face's."""
    clean = [portrait(seed, 256) for seed in FACES]
    given = [load_recipe("face_renov").sample(seed, 256).apply(face) for seed, face in zip(FACES, clean, strict=True)]
    errors, fine = [], []
    for face, damaged, restored in zip(clean, given, load_model(name, blend).restore(given), strict=True):
        at, seen = edges(face), [chroma(image) for image in (face, damaged, restored)]
        errors.append([level((values - seen[0])[at]) for values in seen[1:]])
        fine.append([level((values - cv2.GaussianBlur(values, (0, 0), 3))[at]) for values in (seen[0], seen[2])])
    (before, after), (true, drawn) = np.mean(errors, 0), np.mean(fine, 0)
    assert after < 0.8 * before
    assert drawn < true
