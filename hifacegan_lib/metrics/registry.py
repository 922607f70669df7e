"""The metrics of an evaluation: which there are, how each is computed, what it needs.

Of a pair: PSNR, SSIM, MS-SSIM, LPIPS, the shift of the mean colour; likeness of the person, place of the landmarks. Of
one picture: NIQE, sharpness, colour cast. Of two sets of pictures: FID, KID. What is not downloaded is missing, with
the command that gets it.
"""

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Literal

from torch import Tensor

from hifacegan_lib.metrics import fid_kid, no_reference
from hifacegan_lib.metrics.full_reference import Lpips, Metric, MetricUnavailable, ms_ssim, psnr, ssim
from hifacegan_lib.metrics.identity import Identity
from hifacegan_lib.metrics.niqe import Niqe
from hifacegan_lib.names import METRICS

FACES = ("identity", "fed", "lle")  # have no value for a picture in which no face is found


def standard(names: Sequence[str] = METRICS) -> dict[str, Metric]:
    """The metrics of an evaluation, or those named, in the order of ``names``; networks load when they are called.

    Raises:
        ValueError: no such metric.
    """
    if unknown := [name for name in names if name not in METRICS]:
        raise ValueError(f"metric '{unknown[0]}': unknown; there are: {', '.join(METRICS)}")
    everything = {**_of_pairs(), **_of_faces(), **_of_pictures(), **_of_sets()}
    return {name: everything[name] for name in names}


def known(name: str, implementation: str) -> Metric:
    """How to speak of a metric that was measured before, ``implementation`` as it was then; of an unknown one too."""
    if name in METRICS:
        return standard([name])[name]._replace(implementation=implementation)
    return Metric(partial(_measured_elsewhere, name), name, "", None, 4, implementation)


def _measured_elsewhere(name: str, *_: Tensor) -> Tensor:
    raise MetricUnavailable(f"{name}: another program's, read from a file; it cannot be computed here")


def _of_pairs() -> dict[str, Metric]:
    ours = f"hifacegan_lib, OpenCV {version('opencv-python-headless')}"
    window = "Gaussian window 11, sigma 1.5, data range 1, per RGB channel, windows inside only"
    package = f"lpips {version('lpips')}, heads 0.1, RGB"
    networks: tuple[tuple[str, Literal["alex", "vgg", "squeeze"], str], ...] = (
        ("lpips", "alex", "AlexNet"),
        ("lpips_vgg", "vgg", "VGG-16"),
        ("lpips_squeeze", "squeeze", "SqueezeNet"),
    )
    found = {
        "psnr": Metric(psnr, "PSNR", "dB", True, 2, "hifacegan_lib, over RGB, data range 1, mean over images of dB"),
        "ssim": Metric(ssim, "SSIM", "", True, 4, f"{ours}, {window}"),
        "ms_ssim": Metric(ms_ssim, "MS-SSIM", "", True, 4, f"{ours}, {window}, 5 scales"),
        "colour_shift": Metric(
            no_reference.colour_shift, "colour shift", "", False, 2, f"{ours}, CIELAB D65, distance of the mean a*, b*"
        ),
    }
    for name, net, words in networks:
        score = Lpips(net)
        label = "LPIPS" if net == "alex" else f"LPIPS {words}"
        found[name] = Metric(score, label, "", False, 4, f"{package}, {words}", (score.backbone,))
    return found


def _of_faces() -> dict[str, Metric]:
    faces = Identity()
    opencv = f"OpenCV {version('opencv-python-headless')}"
    sface = f"{opencv}, SFace, each picture aligned by its own YuNet landmarks"
    both = ("sface", "yunet")
    return {
        "identity": Metric(faces.similarity, "identity", "", True, 3, f"{sface}, cosine", both),
        "fed": Metric(faces.fed, "FED", "", False, 3, f"{sface}, Euclidean distance of unit embeddings", both),
        "lle": Metric(
            faces.landmark_error,
            "LLE",
            "% of eye distance",
            False,
            2,
            f"{opencv}, YuNet, mean distance of five landmarks",
            ("yunet",),
        ),
    }


def _of_pictures() -> dict[str, Metric]:
    ours = f"hifacegan_lib, OpenCV {version('opencv-python-headless')}"
    return {
        "niqe": Metric(Niqe(), "NIQE", "", False, 2, f"{ours}, BT.601 luma, blocks of 96", ("niqe",), False),
        "sharpness": Metric(
            no_reference.sharpness,
            "sharpness",
            "",
            None,
            2,
            f"{ours}, deviation of the luma's Laplacian",
            reference=False,
        ),
        "colour_cast": Metric(
            no_reference.colour_cast,
            "colour cast",
            "",
            None,
            2,
            f"{ours}, CIELAB D65, length of the mean a*, b*",
            reference=False,
        ),
    }


def _of_sets() -> dict[str, Metric]:
    inception = fid_kid.Inception()
    words = "Inception of 2015 as in torch-fidelity, resized to 299 by it, 2048 features"
    return {
        "fid": Metric(
            *(None, "FID", "", False, 2, f"hifacegan_lib, {words}; biased upwards below 2048 images", ("inception",)),
            features=inception,
            distance=fid_kid.fid_row,
        ),
        "kid": Metric(
            *(None, "KID", "", False, 4, f"hifacegan_lib, {words}, cubic kernel, unbiased", ("inception",)),
            features=inception,
            distance=fid_kid.kid_row,
        ),
    }
