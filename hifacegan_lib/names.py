"""Names of metrics and notebooks, and the error of a wrong parameter. No imports: the command line starts quickly."""

DEFAULT_METRICS = (
    *("psnr", "ssim", "ms_ssim", "lpips", "lpips_vgg", "lpips_squeeze", "identity", "fed", "lle"),
    *("niqe", "sharpness", "colour_cast", "colour_shift", "fid", "kid"),
)
"""The metrics of an evaluation that names none; :mod:`hifacegan_lib.metrics.registry` computes them."""

TO_INPUT = ("identity_to_input", "moved")
"""Metrics that compare a restored face with the restorer's input; measured by default where there are no originals."""

METRICS = (
    *DEFAULT_METRICS,
    *("dists", "degrees", "lmd", "clip_iqa", "arniqa", "musiq", "maniqa", "topiq", "qalign"),
    *TO_INPUT,
)
"""All metrics. The others, not in a default list, say the same in another unit, or need large networks."""

NOTEBOOK_NAMES = (
    "01_data_preparation",
    "02_degradation_exploration",
    "03_module_prototyping",
    "04_training",
    "05_evaluation",
    "06_photo_restoration",
)
"""In running order."""


class ParamsError(ValueError):
    """A parameter that is unknown, missing, of the wrong type or out of range."""
