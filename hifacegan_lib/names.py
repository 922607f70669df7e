"""Names that the command line offers, and its error of misuse; nothing is loaded here, so that it starts at once."""

METRICS = (
    *("psnr", "ssim", "ms_ssim", "lpips", "lpips_vgg", "lpips_squeeze", "identity", "fed", "lle"),
    *("niqe", "sharpness", "colour_cast", "colour_shift", "fid", "kid"),
)
"""What an evaluation can measure; :mod:`hifacegan_lib.metrics.registry` says how."""

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
