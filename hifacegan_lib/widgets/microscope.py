"""The suppression microscope: one pixel's weight for every other pixel of the picture, before and after noise.

    H(f_j, f_i) = D( G(f_j)^T G(f_i) / sqrt(d) )          symmetric in i and j

A layer looks at it through a small window; here it is shown for the whole image.
"""

import cv2
import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from hifacegan_lib.models.suppression import Activation, bounded
from hifacegan_lib.reports.plots import _canvas, _show
from hifacegan_lib.utils.images import Pixels, to_float, to_uint8

Place = tuple[int, int]  # row and column
REACH = 4  # of the surroundings, pixels


def surroundings_offset(image: Tensor, reach: int = REACH) -> Tensor:
    """A stand-in for a learnt G: each colour's offset from its surroundings, of unit spread. N x 3 x H x W."""
    pad = F.pad(image, [reach] * 4, mode="replicate")
    offset = image - F.avg_pool2d(pad, 2 * reach + 1, 1)
    return offset / offset.std().clamp_min(1e-3)


def weights_of(g: Tensor, place: Place, activation: Activation = "sigmoid") -> Tensor:
    """H(f_j, f_i) of the pixel i at ``place`` with every pixel j.

    Args:
        g: embedding G(f) of one image, d x H x W.
        place: row and column.
    Returns:
        H x W, in (0, 2); 1 where nothing correlates.
    Raises:
        ValueError: a place outside the image.
    """
    d, height, width = g.shape
    row, column = place
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"place {tuple(place)} lies outside {height} x {width} pixels")
    return bounded(torch.einsum("dhw,d->hw", g, g[:, row, column]) * d**-0.5, activation)


def with_noise(face: Pixels, sigma: float, seed: int = 0) -> Pixels:
    """The face with Gaussian noise of ``sigma`` grey levels; the same seed draws the same pattern at every strength."""
    noise = np.random.default_rng(seed).standard_normal(face.shape)
    return (face + sigma * noise).round().clip(0, 255).astype(np.uint8)


def weights_seen(face: Pixels, place: Place) -> np.ndarray:
    """:func:`weights_of` under the stand-in for G, H x W."""
    return weights_of(surroundings_offset(to_float(face)[None])[0], place).numpy()


def coloured(weights: np.ndarray) -> Pixels:
    """H from 0 (blue) over 1 (white) to 2 (red)."""
    return to_uint8(torch.from_numpy(matplotlib.colormaps["RdBu_r"](weights / 2)[..., :3].copy()).permute(2, 0, 1))


def crossed(image: Pixels, place: Place, times: int) -> Pixels:
    """The image ``times`` as large, its pixels as squares, a ring around one of them."""
    large = np.ascontiguousarray(image.repeat(times, 0).repeat(times, 1))
    centre = tuple(int((part + 0.5) * times) for part in reversed(place))
    for colour, thick in (((0, 0, 0), 4), ((255, 255, 255), 2)):
        cv2.circle(large, centre, max(5, 2 * times), colour, thick, cv2.LINE_AA)
    return large


def microscope_figure(face: Pixels, place: Place, sigma: float = 20.0, seed: int = 0) -> Figure:
    """The face and its pixel's weights without and with noise."""
    figure, axes = _canvas(1, 4, figsize=(10.4, 2.9), layout="constrained")
    noisy = with_noise(face, sigma, seed)
    for pair, (image, name) in zip(
        (axes[0, :2], axes[0, 2:]), ((face, "clean"), (noisy, f"noise {sigma:g}")), strict=True
    ):
        _show(pair[0], image, name)
        shown = pair[1].imshow(weights_seen(image, place), cmap="RdBu_r", vmin=0, vmax=2, interpolation="nearest")
        pair[1].set(xticks=[], yticks=[])
        pair[1].set_title("H of the ringed pixel with all others", fontsize=9)
        for axis in pair:
            axis.plot(place[1], place[0], "o", markersize=13, fillstyle="none", color="black", markeredgewidth=2.4)
            axis.plot(place[1], place[0], "o", markersize=13, fillstyle="none", color="white", markeredgewidth=1.2)
    figure.colorbar(shown, ax=axes[0].tolist(), shrink=0.9, label="H", ticks=[0, 1, 2])
    return figure
