"""Names of metrics and notebooks, and the error of a wrong parameter. No imports: the command line starts quickly."""

METRICS = (
    *("psnr", "ssim", "ms_ssim", "lpips", "lpips_vgg", "lpips_squeeze", "identity", "fed", "lle"),
    *("niqe", "sharpness", "colour_cast", "colour_shift", "fid", "kid"),
)
"""The metrics of an evaluation; :mod:`hifacegan_lib.metrics.registry` computes them."""

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
