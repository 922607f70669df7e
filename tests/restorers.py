"""Networks of others with random weights, as small as spandrel recognises them, by spandrel's own classes."""

import warnings
from collections.abc import Callable

import torch
from spandrel.architectures.NAFNet import NAFNet
from spandrel.architectures.RestoreFormer import RestoreFormer
from spandrel.architectures.SwinIR import SwinIR
from torch import nn

SWINIR = {"img_size": 16, "embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 8, "mlp_ratio": 2}
SMALL: dict[str, Callable[[], nn.Module]] = {
    "NAFNet": lambda: NAFNet(width=4, middle_blk_num=1, enc_blk_nums=[1], dec_blk_nums=[1]),
    "SwinIR": lambda: SwinIR(**SWINIR, upscale=1, upsampler="", resi_connection="1conv"),
    "SwinIR x2": lambda: SwinIR(**SWINIR, upscale=2, upsampler="pixelshuffledirect", resi_connection="1conv"),
    "RestoreFormer": lambda: RestoreFormer(
        n_embed=8,
        embed_dim=32,
        ch=32,
        ch_mult=(1, 1, 1, 1, 1, 1),
        num_res_blocks=1,
        attn_resolutions=(16,),
        resolution=512,
        z_channels=32,
        double_z=False,
        enable_mid=True,
        head_size=8,
    ),
}


def made(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A network in ``eval()`` whose random weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        network = make().eval().requires_grad_(False)
        for name, values in network.named_parameters():
            if name.endswith(("beta", "gamma")):  # NAFNet begins with zeros, which leave its blocks out
                values.data.normal_(0, 0.5)
        return network
