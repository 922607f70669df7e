"""What a restored face is asked to be: believed, alike in features, alike in pixels. For perception: ``perceptual``.

With r and c for D's scores of restored and clean faces, each expectation over patches and faces:

    lsgan             D: ½ E r² + ½ E (c - 1)²                   G: E (r - 1)²             weight 1 in the paper
    hinge             D: E max(0, 1 + r) + E max(0, 1 - c)       G: - E r
    non_saturating    D: - E ln σ(-r) - E ln σ(c)                G: - E ln σ(r)            goes with R1
    feature matching  L1 between D's features of restored and clean, mean over scales      10
    pixel             L1, or Charbonnier's smooth one; the paper has neither, its author   0
                      suggests L1 against colour casts

A discriminator's answer is, for each scale, a list of features with the scores last.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Answers = Sequence[Sequence[Tensor]]

_DISCRIMINATOR: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "lsgan": lambda r, c: (r.square().mean() + (c - 1).square().mean()) / 2,
    "hinge": lambda r, c: F.relu(1 + r).mean() + F.relu(1 - c).mean(),
    "non_saturating": lambda r, c: F.softplus(r).mean() + F.softplus(-c).mean(),  # softplus(x) = -ln σ(-x)
}
_GENERATOR: dict[str, Callable[[Tensor], Tensor]] = {
    "lsgan": lambda r: (r - 1).square().mean(),
    "hinge": lambda r: -r.mean(),
    "non_saturating": lambda r: F.softplus(-r).mean(),
}
ADVERSARIAL = tuple(_DISCRIMINATOR)


def discriminator_loss(kind: str, restored: Answers, clean: Answers) -> Tensor:
    """What D minimises, mean over scales; ``kind`` is one of :data:`ADVERSARIAL`.

    LSGAN (arXiv 1611.04076), hinge (1705.02894), non-saturating (1406.2661). Only LSGAN's is halved, as in pix2pixHD.

    Raises:
        ValueError: no such kind.
    """
    loss = _DISCRIMINATOR[_known(kind)]
    return torch.stack([loss(_whole(r[-1]), _whole(c[-1])) for r, c in zip(restored, clean, strict=True)]).mean()


def generator_loss(kind: str, restored: Answers) -> Tensor:
    """What G minimises in that game, mean over scales; errors as in :func:`discriminator_loss`."""
    loss = _GENERATOR[_known(kind)]
    return torch.stack([loss(_whole(r[-1])) for r in restored]).mean()


def r1_penalty(clean_answers: Answers, clean: Tensor) -> Tensor:
    """½ E ‖∇ Σ c‖²: D should be flat where the clean faces lie (Mescheder 2018, arXiv 1801.04406, its R1 for γ = 1).

    The gradient is of a face's scores, summed over patches and scales, with respect to that clean face, not to the
    damaged one beside it; the squares are summed over its pixels and channels; the expectation is over the batch. The
    result can be differentiated by D's weights. Float32 answers, please: half a float has no room for these gradients.

    Args:
        clean_answers: of a discriminator that treats each face by itself.
        clean: N x 3 x H x W, requires grad, as it went into that discriminator.
    Raises:
        ValueError: ``clean`` requires no grad.
    """
    if not clean.requires_grad:
        raise ValueError("r1_penalty: clean requires no grad; expected clean.requires_grad_() before the discriminator")
    scores = torch.stack([scale[-1].sum() for scale in clean_answers]).sum()
    (slope,) = torch.autograd.grad(scores, clean, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean() / 2


def feature_matching(restored: Answers, clean: Answers) -> Tensor:
    """Sum over layers (without the scores) of the features' mean absolute difference, mean over scales."""
    scales = [
        sum((F.l1_loss(a, b.detach()) for a, b in zip(r[:-1], c[:-1], strict=True)), start=r[-1].new_zeros(()))
        for r, c in zip(restored, clean, strict=True)
    ]
    return torch.stack(scales).mean()


def charbonnier(restored: Tensor, clean: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of √(d² + ε²): L1 for differences above ε, squares below it; ε, not 0, for equal faces (Charbonnier 1994).

    With ε beyond most differences its best answer moves from the median of what is possible to the mean, as PSNR asks.
    """
    return ((restored - clean).square() + epsilon**2).sqrt().mean()


def _whole(scores: Tensor) -> Tensor:
    """Half a float has no room for squares, nor for the scale that float16's losses are multiplied by."""
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


def _known(kind: str) -> str:
    if kind not in ADVERSARIAL:
        raise ValueError(f"adversarial loss {kind!r}: unknown; there are: {', '.join(ADVERSARIAL)}")
    return kind
