"""The losses; the VGG-19 loss is in ``perceptual``, those of eyes, mouth and identity are in ``face_losses``.

r and c are D's scores of restored and clean faces; each expectation is over patches and faces:

    lsgan             D: ½ E r² + ½ E (c - 1)²                   G: E (r - 1)²
    hinge             D: E max(0, 1 + r) + E max(0, 1 - c)       G: - E r
    non_saturating    D: - E ln σ(-r) - E ln σ(c)                G: - E ln σ(r)            goes with R1
    feature matching  L1 between D's features of restored and clean, mean over scales
    focal             mean |F|^a |F|² / max |F|^a, F: Fourier transform of restored - clean, a = 1
    lpips             LPIPS 0.1 with VGG-16's features
    l1, charbonnier   L1, or L1 made smooth at 0; the paper's author suggests L1 against colour casts

The paper's weights are 1 for lsgan, 10 for feature matching and 10 for the VGG-19 loss; the other losses are not in it.
The output of a discriminator is, for each scale, a list of features with the scores last. To add your own loss, write a
function of (restored, clean, degraded) and call the loop with ``losses={"edges": (10.0, edges)}``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from hifacegan_lib.params import ADVERSARIAL_LOSSES, PICTURE_LOSSES, Training
from hifacegan_lib.training import face_losses, perceptual

Answers = Sequence[Sequence[Tensor]]
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Restored, clean and degraded faces, each N x 3 x H x W in [0, 1], to a scalar: a mean over the N pairs."""
Weighted = tuple[float, Loss]

NAMES = (*PICTURE_LOSSES, *ADVERSARIAL_LOSSES)
RESERVED = (
    *(*NAMES, "flow", "discriminator", "r1"),
    *("step", "seconds", "lr", "psnr", "droplets", "d_margin", "d_accuracy"),
)
"""Keys of metrics.jsonl: not allowed as names of your own losses, as is the prefix ``cast_``."""


def image_losses(
    p: Training, own: Mapping[str, Weighted] | None = None, device: torch.device | None = None
) -> dict[str, Weighted]:
    """The losses of the restored image: name -> (weight, function of restored, clean, degraded).

    Args:
        own: additional losses, in the same form. Each must be a mean over the pairs, so that a batch can be processed
            in parts.
        device: the device of the networks in losses.
    Raises:
        FileNotFoundError: a loss needs a network whose weights are missing. ImportError: identity without onnx.
        ValueError: a name is in use, or a weight is NaN or infinite.
    """
    found: dict[str, Weighted] = {"l1": (p.l1_weight, lambda restored, clean, _: F.l1_loss(restored, clean))}
    if p.charbonnier_weight:
        found["charbonnier"] = (p.charbonnier_weight, partial(charbonnier, epsilon=p.charbonnier_epsilon))
    if p.perceptual_weight:
        vgg = perceptual.load(p.perceptual_file).to(device)
        found["perceptual"] = (p.perceptual_weight, lambda restored, clean, _: vgg(restored, clean))
    if p.focal_weight:
        found["focal"] = (p.focal_weight, _exact(focal_frequency))
    if p.lpips_weight:
        distance = perceptual.lpips_loss(device)
        found["lpips"] = (p.lpips_weight, _exact(lambda restored, clean, _: distance(restored, clean)))
    if p.parts_weight or p.identity_weight:
        points = face_losses.Landmarks()
    if p.parts_weight:
        found["parts"] = (p.parts_weight, lambda r, c, _: face_losses.parts(r, c, points(c)))
    if p.identity_weight:
        sface = face_losses.sface(device)
        found["identity"] = (p.identity_weight, _exact(lambda r, c, _: face_losses.identity(r, c, points(c), sface)))
    for name, given in (own or {}).items():
        if not (isinstance(given, tuple) and len(given) == 2):
            raise ValueError(f"loss {name!r}: expected (weight, function), got {given!r}")
        weight, loss = given
        if name in RESERVED or name.startswith("cast_"):
            raise ValueError(f"loss {name!r}: the name is in use; in use are {', '.join(RESERVED)} and cast_...")
        if not math.isfinite(weight):
            raise ValueError(f"loss {name!r}: the weight is {weight}, expected a finite number")
        found[name] = (weight, _scalar(name, loss))
    return found


def _exact(loss: Loss) -> Loss:
    """The loss in float32 whatever the precision: sums of squares overflow float16."""

    def exact(restored: Tensor, clean: Tensor, degraded: Tensor) -> Tensor:
        with torch.autocast(restored.device.type, enabled=False):
            return loss(restored.float(), clean.float(), degraded.float())

    return exact


def _scalar(name: str, loss: Loss) -> Loss:
    """The loss, with a check that its result is a scalar tensor."""

    def checked(restored: Tensor, clean: Tensor, degraded: Tensor) -> Tensor:
        value = loss(restored, clean, degraded)
        if not isinstance(value, Tensor) or value.ndim:
            found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"loss {name!r}: expected a tensor with one number (shape ()), got {found}")
        return value

    return checked


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
    """The discriminator's loss, mean over scales; ``kind`` is one of :data:`ADVERSARIAL`.

    LSGAN (arXiv 1611.04076), hinge (1705.02894), non-saturating (1406.2661). Only LSGAN is halved, as in pix2pixHD.

    Raises:
        ValueError: the kind is unknown.
    """
    loss = _DISCRIMINATOR[_known(kind)]
    pairs = zip(restored, clean, strict=True)
    return torch.stack([loss(_float32(r[-1]), _float32(c[-1])) for r, c in pairs]).mean()


def generator_loss(kind: str, restored: Answers) -> Tensor:
    """The generator's adversarial loss, mean over scales; errors as in :func:`discriminator_loss`."""
    loss = _GENERATOR[_known(kind)]
    return torch.stack([loss(_float32(r[-1])) for r in restored]).mean()


def r1_penalty(clean_answers: Answers, clean: Tensor) -> Tensor:
    """½ E ‖∇ Σ c‖²: D should be flat where the clean faces lie (Mescheder 2018, arXiv 1801.04406, its R1 for γ = 1).

    The gradient is of a face's scores, summed over patches and scales, with respect to that clean face, not to the
    damaged one beside it; the squares are summed over its pixels and channels; the expectation is over the batch. The
    result can be differentiated by D's weights. Compute the answers in float32: these gradients overflow float16.

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
    """L1 between the features of both outputs: sum over layers without the scores, mean over scales."""
    scales = [
        sum((F.l1_loss(a, b.detach()) for a, b in zip(r[:-1], c[:-1], strict=True)), start=r[-1].new_zeros(()))
        for r, c in zip(restored, clean, strict=True)
    ]
    return torch.stack(scales).mean()


def charbonnier(restored: Tensor, clean: Tensor, _: Tensor | None = None, *, epsilon: float = 1e-3) -> Tensor:
    """Mean of √(d² + ε²): L1 for differences d above ε, squares below; ε for equal faces (Charbonnier 1994).

    If ε is above most differences, the optimal prediction moves from the median of the possible faces towards their
    mean, which PSNR rewards.
    """
    return ((restored - clean).square() + epsilon**2).sqrt().mean()


def focal_frequency(restored: Tensor, clean: Tensor, _: Tensor | None = None, *, alpha: float = 1.0) -> Tensor:
    """Focal frequency loss (Jiang 2021, arXiv 2012.12821): two batches N x 3 x H x W -> scalar.

    The squared error of each frequency, weighted by its size to the power ``alpha``. The weights have no gradient; the
    largest of each face and channel is 1. The transform is orthonormal, so with ``alpha`` 0 this is the mean square.
    """
    power = torch.view_as_real(torch.fft.fft2(restored - clean, norm="ortho")).square().sum(-1)  # N x 3 x H x W
    weight = power.detach() ** (alpha / 2)
    return (weight / weight.amax((2, 3), keepdim=True).clamp_min(1e-12) * power).mean()


def _float32(scores: Tensor) -> Tensor:
    """16-bit scores as float32, because squares and the loss scale overflow float16."""
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


def _known(kind: str) -> str:
    if kind not in ADVERSARIAL:
        raise ValueError(f"adversarial loss {kind!r}: unknown; expected one of: {', '.join(ADVERSARIAL)}")
    return kind
