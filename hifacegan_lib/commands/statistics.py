"""``statistics`` writes what FID compares with: mean and covariance of a folder's Inception features."""

import sys
from pathlib import Path


def statistics(folder: Path, out: Path, /, *, device: str = "auto", overwrite: bool = False) -> int:
    """Write the mean and covariance of a folder's Inception features: `evaluate --statistics` compares with it.

    For example:

        hifacegan statistics faces/ faces.npz

    The file has the keys of pytorch-fid, mu and sigma, and the number of images, the network and the folder's
    fingerprint. It holds no features of single images, so KID needs the folder itself. Unreadable images are listed,
    left out, and make the exit code 1. Inception is a download: `hifacegan weights fetch inception`.

    Args:
        folder: folder of images, for example the field's reference, FFHQ.
        out: file to write, .npz (34 MB).
        device: of the network: auto, cpu, cuda, cuda:N or mps.
        overwrite: replace an existing file.
    """
    from hifacegan_lib.metrics import feature_statistics
    from hifacegan_lib.metrics.fid_kid import Inception, small_set_warning
    from hifacegan_lib.utils import inputs
    from hifacegan_lib.utils.item_guard import ItemGuard
    from hifacegan_lib.utils.machine import find_device

    if out.suffix != ".npz":
        raise ValueError(f"{out}: expected a name that ends with .npz")
    inputs.check_output(out, inputs.images_in(folder).files, overwrite)
    guard = ItemGuard(lambda said: print(said, file=sys.stderr))
    features = feature_statistics.features_of(folder, Inception(), guard, find_device(device))
    found = feature_statistics.statistics_of(features, fingerprint=feature_statistics.fingerprint(folder))
    feature_statistics.write(out, found)
    print(f"{out}: {found.words}")
    if caution := small_set_warning(found.images):
        print(f"note: {caution}")
    return 1 if guard.failed else 0
