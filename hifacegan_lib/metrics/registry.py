"""The registry of metrics: their names, computation, description and downloads.

A new metric is added here, and its name in ``names.py``. A metric whose weights are not downloaded is missing, with the
command that downloads them.
"""

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
from torch import Tensor

from hifacegan_lib.metrics.feature_statistics import Target
from hifacegan_lib.metrics.fid_kid import NETWORK, Inception, fid, kid
from hifacegan_lib.metrics.full_reference import moved, ms_ssim, psnr, ssim
from hifacegan_lib.metrics.identity import Identity
from hifacegan_lib.metrics.learned_distance import Dists, Lpips
from hifacegan_lib.metrics.learned_quality import SOURCES, LearnedQuality
from hifacegan_lib.metrics.metric import Metric, MetricUnavailable
from hifacegan_lib.metrics.niqe import Niqe
from hifacegan_lib.metrics.no_reference import colour_cast, colour_shift, sharpness
from hifacegan_lib.metrics.recognition import OnnxRecogniser
from hifacegan_lib.names import DEFAULT_METRICS, METRICS
from hifacegan_lib.utils.weight_registry import variant

FACES = ("identity", "degrees", "fed", "lle", "lmd", "identity_to_input")  # no value for an image without a face
FLOORS = {"lle": "0.48", "lmd": "0.59"}
"""LLE and LMD of the same clean face at 0.8 times its size: benchmarks/landmarks.py."""
_OPENCV = f"OpenCV {cv2.__version__}"
_OURS = f"hifacegan_lib, {_OPENCV}"
_LAB = f"{_OURS}, CIELAB D65"
_WINDOW = "Gaussian window 11, sigma 1.5, data range 1, per RGB channel, windows inside only"
_LPIPS = f"lpips {version('lpips')}, heads 0.1, RGB"


def standard(
    names: Sequence[str] = DEFAULT_METRICS,
    *,
    recogniser: str | Path | None = None,
    statistics: str | Path | None = None,
) -> dict[str, Metric]:
    """The named metrics, in the order of ``names``; networks are loaded at the first call.

    Args:
        recogniser: an ONNX file of ArcFace or AdaFace (``FILE@bgr``) for identity, degrees and FED in place of SFace.
        statistics: what FID and KID compare with in place of the clean faces: a file of mu and sigma, or a folder.
    Raises:
        ValueError: a name is unknown, or a file is not what is expected. FileNotFoundError: it does not exist.
    """
    if unknown := [name for name in names if name not in METRICS]:
        raise ValueError(f"metric '{unknown[0]}': unknown; expected one of: {', '.join(METRICS)}")
    inception = Inception()
    target = Target(statistics, inception) if statistics else None
    everything = {
        **_pixels(),
        **_features(),
        **_faces(OnnxRecogniser(recogniser) if recogniser else None),
        **_alone(),
        "fid": _sets(inception, target, _fid, "FID", 2, "; biased upwards below 2048 images"),
        "kid": _sets(inception, target, _kid, "KID", 4, ", cubic kernel, unbiased"),
    }
    return {name: everything[name] for name in names}


def _pixels() -> dict[str, Metric]:
    """Against the clean face or the input, pixel by pixel or window by window."""
    difference = "hifacegan_lib, mean absolute difference, 0 to 255"
    return {
        "psnr": Metric(psnr, "PSNR", "dB", True, 2, "hifacegan_lib, over RGB, data range 1, mean over images of dB"),
        "ssim": Metric(ssim, "SSIM", "", True, 4, f"{_OURS}, {_WINDOW}"),
        "ms_ssim": Metric(ms_ssim, "MS-SSIM", "", True, 4, f"{_OURS}, {_WINDOW}, 5 scales"),
        "colour_shift": Metric(colour_shift, "colour shift", "", False, 2, f"{_LAB}, distance of the mean a*, b*"),
        "moved": Metric(moved, "moved", "grey levels", None, 2, difference, against="degraded"),
    }


def _features() -> dict[str, Metric]:
    """Against the clean face, in the features of a network."""
    fitted = f"hifacegan_lib, alpha and beta of torchmetrics, VGG-16{variant('vgg16')}, not resized"
    return {
        "lpips": _lpips(Lpips("alex"), "LPIPS", "AlexNet"),
        "lpips_vgg": _lpips(Lpips("vgg"), "LPIPS VGG-16", "VGG-16"),
        "lpips_squeeze": _lpips(Lpips("squeeze"), "LPIPS SqueezeNet", "SqueezeNet"),
        "dists": Metric(Dists(), "DISTS", "", False, 4, fitted, ("vgg16",)),
    }


def _faces(network: OnnxRecogniser | None) -> dict[str, Metric]:
    """Against the clean face or the input, as a face."""
    faces = Identity(network)
    yunet, sface, onet = f"YuNet{variant('yunet')}", f"SFace{variant('sface')}", f"o-net{variant('onet')}"
    both = ("yunet",) if network else ("sface", "yunet")
    points = ("onet", "yunet")
    same = f"{_OPENCV}, {network.words if network else sface}, each picture aligned by its own {yunet} landmarks"
    found = f"{_OURS}, {onet} in windows of its own, first in {yunet}'s box, mean distance of five landmarks"
    floor = {n: f"{found}; the same clean face at 0.8 x has {x} (mean of 100 FFHQ faces)" for n, x in FLOORS.items()}
    identity = Metric(faces.similarity, "identity", "", True, 3, f"{same}, cosine", both)
    return {
        "identity": identity,
        "degrees": Metric(faces.degrees, "degrees", "°", False, 2, f"{same}, angle of the embeddings", both),
        "fed": Metric(faces.fed, "FED", "", False, 3, f"{same}, Euclidean distance of unit embeddings", both),
        "identity_to_input": identity._replace(label="identity to input", against="degraded"),
        "lle": Metric(faces.landmark_error, "LLE", "% of eye distance", False, 2, floor["lle"], points),
        "lmd": Metric(faces.landmark_distance, "LMD", "pixels at 512", False, 2, floor["lmd"], points),
    }


def _alone() -> dict[str, Metric]:
    """Of the restored face alone."""
    own = {
        "niqe": Metric(Niqe(), "NIQE", "", False, 2, f"{_OURS}, BT.601 luma, blocks of 96", ("niqe",)),
        "sharpness": Metric(sharpness, "sharpness", "", None, 2, f"{_OURS}, deviation of the luma's Laplacian"),
        "colour_cast": Metric(colour_cast, "colour cast", "", None, 2, f"{_LAB}, length of the mean a*, b*"),
    }
    learned = {
        name: Metric(LearnedQuality(name), source.label, "", True, source.digits, source.words)
        for name, source in SOURCES.items()
    }
    return {name: metric._replace(against="") for name, metric in (own | learned).items()}


def recorded(name: str, implementation: str) -> Metric:
    """The description of a metric of a saved evaluation, with the ``implementation`` of that time, for any name."""
    if name in METRICS:
        return standard([name])[name]._replace(implementation=implementation)
    return Metric(partial(_measured_elsewhere, name), name, "", None, 4, implementation)


def _measured_elsewhere(name: str, *_: Tensor) -> Tensor:
    raise MetricUnavailable(f"{name}: metric of another program, read from a file; it cannot be computed here")


def _lpips(score: Lpips, label: str, network: str) -> Metric:
    return Metric(score, label, "", False, 4, f"{_LPIPS}, {network}{variant(score.backbone)}", (score.backbone,))


def _fid(a: Any, b: Any) -> tuple[float, None, None]:
    return b.fid(a) if isinstance(b, Target) else fid(a, b), None, None


def _kid(a: Any, b: Any) -> tuple[float, float, float]:
    found = b.kid(a) if isinstance(b, Target) else kid(a, b)
    return found.mean, *found.interval


def _sets(inception: Inception, target: Target | None, distance: Any, label: str, digits: int, words: str) -> Metric:
    """A metric of sets, against the clean faces or the ``target``."""
    said = f"hifacegan_lib, {NETWORK}{words}" + (f"; {target.words}" if target else "")
    found = Metric(None, label, "", False, digits, said, ("inception",), features=inception, distance=distance)
    return found._replace(against="", distance=lambda a, _: distance(a, target)) if target else found
