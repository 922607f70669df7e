"""Rectified flow from a posterior mean to a sharp face, with any network of one picture (PMRF, arXiv 2410.00418).

    Z_0 = mean(y) + sigma * noise        y: the damaged face; mean: a frozen restorer
    Z_1 = the clean face
    Z_t = (1 - t) Z_0 + t Z_1            t uniform in [0, 1)

The network draws the clean face x from Z_t, t and mean(y), and the velocity follows from it:

    v = (x - Z_t) / (1 - t)              loss = mean |v - (Z_1 - Z_0)|^2 = mean |x - Z_1|^2 / (1 - t)^2

For the loss 1 - t is at least ``NEAREST``: where Z_t is nearly the clean face, the error that is left is rounding and
clipping, and without the bound its weight would have no limit. Euler's method draws a face: Z += v / steps from t = 0.
Its last step ends at x, so a face is in [0, 1] if the network's pictures are. More steps follow the path more exactly:
one step of a flow that learned long enough ends at the mean of the possible faces, many steps at one of these faces.
"""

from typing import Self

import torch
from torch import Tensor, nn

NEAREST = 0.05


class Flow(nn.Module):
    """Damaged faces N x 3 x H x W in [0, 1] -> faces of the same shape and range, drawn in ``steps`` steps.

    The noise depends on ``seed`` and on the picture's size, and is the same for each face of a batch: a face's result
    does not depend on its neighbours.

    Args:
        mean: a restorer of such faces; frozen, and always in ``eval()``.
        network: the network that is trained; it maps such faces to such faces, its input may leave [0, 1].
        sigma: standard deviation of the noise; white is 1.
        steps: network passes for a face.
        seed: of the noise.
    """

    def __init__(self, mean: nn.Module, network: nn.Module, sigma: float = 0.1, steps: int = 10, seed: int = 0) -> None:
        super().__init__()
        self.mean, self.network = mean.eval().requires_grad_(False), network
        self.sigma, self.steps, self.seed = sigma, steps, seed
        self.enter = nn.Conv2d(7, 3, 1)  # Z_t, t and mean(y) become one picture, at first Z_t
        with torch.no_grad():
            self.enter.weight.copy_(torch.eye(3, 7)[:, :, None, None])
            self.enter.bias.zero_()  # type: ignore[union-attr]

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``, but for the mean."""
        super().train(mode)
        self.mean.eval()
        return self

    def predict(self, degraded: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """The network's clean faces at random times, and their weights in the loss.

        Times and noise come from PyTorch's generators of random numbers.

        Returns:
            x, N x 3 x H x W in [0, 1]; 1 / (1 - t)^2, N x 1 x 1 x 1.
        """
        mean = self._mean(degraded)
        t = torch.rand(len(clean), 1, 1, 1, device=clean.device)
        start = mean + self.sigma * torch.randn_like(clean)
        restored = self._clean(torch.lerp(start, clean, t), t.expand_as(clean[:, :1]), mean)
        return restored, (1 - t).clamp_min(NEAREST) ** -2

    @staticmethod
    def loss(restored: Tensor, clean: Tensor, weights: Tensor) -> Tensor:
        """Mean over faces of the mean square error times a face's weight; all of :meth:`predict`."""
        return (weights * (restored - clean).square()).mean()

    def forward(self, degraded: Tensor) -> Tensor:
        height, width = degraded.shape[2:]
        return self.sample(degraded, self.noise(height, width, degraded.device))

    def noise(self, height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
        """The standard normal noise of pictures of a size, 1 x 3 x H x W."""
        return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(self.seed)).to(device)

    def sample(self, degraded: Tensor, noise: Tensor) -> Tensor:
        """Faces from a given noise, which is broadcast to N x 3 x H x W."""
        mean = self._mean(degraded)
        z = mean + self.sigma * noise
        for step in range(self.steps):
            t = torch.full_like(z[:, :1], step / self.steps)
            z = torch.lerp(z, self._clean(z, t, mean).float(), 1 / (self.steps - step))  # v / steps added
        return z

    @torch.no_grad()
    def _mean(self, degraded: Tensor) -> Tensor:
        return self.mean(degraded).float()

    def _clean(self, z: Tensor, t: Tensor, mean: Tensor) -> Tensor:
        return self.network(self.enter(torch.cat([z, t, mean], 1)))
