"""``prepare`` chooses images and writes the manifest."""

import sys
from typing import Annotated

from cyclopts import Parameter

from hifacegan_lib.commands.options import Pairs, overrides

SAMPLE = 100
"""Files of an existing manifest whose bytes are compared, without ``--all``."""


def prepare(
    *,
    profile: str = "demo",
    overwrite: bool = False,
    workers: int = 0,
    every: Annotated[bool, Parameter("--all")] = False,
    shards: bool = False,
    side: int = 0,
    p: Pairs = None,
) -> int:
    """Choose images, split them into training and validation, write the manifest.

    An unusable image is rejected, and another takes its place. Rejected images are listed and make the exit code 1.
    A preparation of a folder that was interrupted goes on. A manifest that is there is compared with its files.

    For example:

        hifacegan prepare -p source folder -p source_path ~/faces -p data_dir data/mine \\
            -p train_size 900 -p valid_size 100
        hifacegan prepare --profile folder256 -p source_path FACES -p data_dir data/mine --shards

    Args:
        profile: folder below params/ with the values of all other parameters.
        overwrite: replace the data folder's manifest.
        workers: threads that check images; 0: one for each core. The manifest does not depend on it.
        every: compare the bytes of every file with the manifest, not of a hundred.
        shards: also write the faces into tar files in the data folder, at the size for the profile's training, which
            then decodes nothing; the last line names their folder, which is another data_dir.
        side: shorter side of the training faces in shards, pixels; 0: twice what the smallest crop needs.
    """
    from hifacegan_lib import pipeline, runs
    from hifacegan_lib.data.shards import working_side, write_shards
    from hifacegan_lib.params import DataPreparation, ParamsError, Training

    if side and not shards:
        raise ParamsError(f"--side {side}: of the faces in shards; it needs --shards")
    values = {**overrides(p), **({"overwrite": True} if overwrite else {})}
    chosen = runs.load_notebook(profile, "01_data_preparation", values)
    manifest = pipeline.prepare_data(DataPreparation.checked(chosen.model_dump(), profile), workers)
    manifest.verify(None if every else SAMPLE)
    counts = ", ".join(f"{len(manifest.files(split))} {split}" for split in ("train", "valid"))
    print(f"{runs.data_folder(chosen.data_dir) / 'manifest.json'}: {counts}", end="")
    print(f", {len(manifest.rejected)} rejected, {len(manifest.near_duplicates)} near-duplicates across the split")
    for record in manifest.rejected:
        print(f"left out: {record.file}: {record.reason}", file=sys.stderr)
    if shards:
        training = Training.checked(runs.load_notebook(profile, "04_training", values).model_dump(), profile)
        size, crop = training.image_size, training.crop_min
        folder = manifest.folder / f"shards-{size}-{working_side(size, crop, side)}"
        write_shards(manifest, folder, size, crop, side, workers)
        print(f"shards, for -p data_dir: {folder}")
    return 1 if manifest.rejected else 0
