"""Losses that know where the face is: by the five landmarks of the clean face, which YuNet finds.

    parts       mean over right eye, left eye, mouth of mean |restored - clean| in a window
                sides of the windows: 0.6, 0.6 and 0.9 times the distance between the eyes
    identity    1 - cosine(e(restored), e(clean));  e: SFace's embedding of the face aligned to 112 x 112

Both are sums over faces divided by N. A face in which YuNet finds none adds 0; it is counted in N, so that a batch in
parts, or shared by processes, gives the same step. Only the restored face has a gradient: through the bilinear
alignment and SFace's graph.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hifacegan_lib.metrics.landmarks import faces_of_crop
from hifacegan_lib.metrics.recognition import SIDE, TEMPLATE
from hifacegan_lib.restoration.alignment import similarity
from hifacegan_lib.training.onnx_graph import OnnxGraph
from hifacegan_lib.utils import weight_registry
from hifacegan_lib.utils.images import to_uint8

SIDES = (0.6, 0.6, 0.9)  # of the windows of eyes and mouth, in distances between the eyes


class Landmarks:
    """The five landmarks of clean faces, N x 3 x H x W in [0, 1] -> N x 5 x 2 in pixels, float64; NaN without a face.

    The landmarks of the last batch are kept, since several losses ask for them.

    Raises:
        MissingWeights: YuNet is not downloaded.
    """

    def __init__(self) -> None:
        weight_registry.verify("yunet")
        self._last: tuple[Tensor, np.ndarray] = torch.empty(0), np.empty((0, 5, 2))

    def __call__(self, clean: Tensor) -> np.ndarray:
        if self._last[0] is not clean:
            found = [next(iter(faces_of_crop(to_uint8(face))), None) for face in clean]
            self._last = clean, np.array([np.full((5, 2), np.nan) if face is None else face.points for face in found])
        return self._last[1]


def parts(restored: Tensor, clean: Tensor, points: np.ndarray) -> Tensor:
    """L1 in windows around eyes and mouth: two batches N x 3 x H x W, N x 5 x 2 landmarks -> scalar."""
    values = [restored.new_zeros(())]
    for face, target, at in zip(restored, clean, points, strict=True):
        windows = [(slice(None), rows, columns) for rows, columns in _windows(at, face.shape[1:])]
        if windows:
            values.append(torch.stack([F.l1_loss(face[window], target[window]) for window in windows]).mean())
    return torch.stack(values).sum() / len(clean) + 0 * restored.mean()  # without a face the gradient is 0


def _windows(points: np.ndarray, shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """Rows and columns of the windows, as far as they are inside of the picture."""
    if np.isnan(points).any():
        return []
    unit = float(np.linalg.norm(points[0] - points[1]))
    centres = [points[0], points[1], points[3:].mean(0)]
    found = []
    for centre, side in zip(centres, SIDES, strict=True):
        first = np.rint(centre - side * unit / 2).astype(int)
        (left, top), (right, bottom) = first.clip(0), (first + max(1, round(side * unit))).clip(0)
        rows, columns = slice(top, min(bottom, shape[0])), slice(left, min(right, shape[1]))
        if rows.start < rows.stop and columns.start < columns.stop:
            found.append((rows, columns))
    return found


def identity(restored: Tensor, clean: Tensor, points: np.ndarray, embed: Callable[[Tensor], Tensor]) -> Tensor:
    """One minus the cosine of the embeddings, both faces aligned by the clean face's landmarks.

    Args:
        restored, clean: N x 3 x H x W in [0, 1].
        points: N x 5 x 2, pixels; NaN for a face without landmarks.
        embed: n x 3 x 112 x 112 in [0, 1] -> n x d, see :func:`sface`.
    """
    seen = torch.from_numpy(np.flatnonzero(~np.isnan(points).any((1, 2)))).to(clean.device)
    if not len(seen):
        return 0 * restored.mean()
    places = points[seen.cpu().numpy()]
    with torch.no_grad():
        target = embed(aligned(clean[seen], places))
    return (1 - F.cosine_similarity(embed(aligned(restored[seen], places)), target)).sum() / len(clean)


def aligned(faces: Tensor, points: np.ndarray) -> Tensor:
    """As :func:`hifacegan_lib.metrics.recognition.align`, differentiable: N x 3 x H x W -> N x 3 x 112 x 112."""
    (height, width), (y, x) = faces.shape[2:], np.mgrid[:SIDE, :SIDE]
    turns = (similarity(at, TEMPLATE) for at in points)
    source = np.stack([(x + 1j * y - move) / turn for turn, move in turns])  # N x 112 x 112, pixels of the picture
    grid = np.stack([(2 * source.real + 1) / width - 1, (2 * source.imag + 1) / height - 1], 3)
    return F.grid_sample(faces, torch.from_numpy(grid).to(faces), padding_mode="zeros", align_corners=False)


def sface(device: torch.device | None = None) -> Callable[[Tensor], Tensor]:
    """SFace, from aligned faces n x 3 x 112 x 112 in [0, 1] to n x 128, differentiable.

    Raises:
        MissingWeights: SFace is not downloaded. ImportError: the package onnx is missing.
    """
    graph = OnnxGraph(weight_registry.verify("sface"), device)
    return lambda faces: graph(255 * faces)
