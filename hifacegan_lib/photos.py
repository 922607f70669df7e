"""Restore a picture of one face: bring it to the size that the network was trained at, restore, bring it back.

For crops framed as the training faces are. A whole photograph's faces are cropped by ``faces.crop_face`` first.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import nn

from hifacegan_lib import images
from hifacegan_lib.images import Pixels


@torch.no_grad()
def restore_face(image: Pixels, generator: nn.Module, size: int | None = None) -> Pixels:
    """Restore one face crop.

    Args:
        image: uint8 H x W x 3.
        generator: a ``Generator`` in ``eval()`` or what ``bake`` made of one, on any device.
        size: the shorter side at which the network works, pixels: the size that it was trained at. None: as it is.
    Returns:
        uint8 H x W x 3, the input's size.
    """
    height, width = image.shape[:2]
    scale = 1.0 if size is None else size / min(height, width)
    work = images.resize(image, max(1, round(height * scale)), max(1, round(width * scale)))
    device = next(generator.parameters()).device
    restored = images.to_uint8(generator(images.to_float(work)[None].to(device))[0])
    return images.resize(restored, height, width)


def restore_files(
    sources: Iterable[Path],
    out: Path,
    generator: nn.Module,
    size: int | None = None,
    root: Path | None = None,
    overwrite: bool = False,
    report: Callable[[str], None] = print,
) -> tuple[list[Path], list[str]]:
    """Restore face crops into ``out`` as PNG files of the same name, tree below ``root`` kept.

    What cannot be read, and what would overwrite a file, is reported and left out; the rest is done.

    Returns:
        Files written, and one sentence for each that failed.
    """
    written: list[Path] = []
    failed: list[str] = []
    for source in sources:
        target = (out / (source.relative_to(root) if root else source.name)).with_suffix(".png")
        try:
            if target.resolve() == source.resolve():
                raise ValueError(f"{source}: the output would replace the input; choose another folder")
            if target.exists() and not overwrite:
                raise ValueError(f"{target}: exists already; --overwrite replaces it")
            written.append(images.save_image(target, restore_face(images.load_image(source), generator, size)))
        except (ValueError, OSError) as error:
            failed.append(str(error))
            report(f"left out: {error}")
    return written, failed
