"""``prepare`` chooses images and writes the manifest."""

import sys

from hifacegan_lib.commands.options import Pairs, overrides


def prepare(*, profile: str = "demo", overwrite: bool = False, p: Pairs = None) -> int:
    """Choose images, split them into training and validation, write the manifest.

    An unusable image is rejected, and another takes its place. Rejected images are listed and make the exit code 1.

    For example:

        hifacegan prepare -p source folder -p source_path ~/faces -p data_dir data/mine \\
            -p train_size 900 -p valid_size 100

    Args:
        profile: folder below params/ with the values of all other parameters.
        overwrite: replace the data folder's manifest.
    """
    from hifacegan_lib import pipeline, runs
    from hifacegan_lib.params import DataPreparation

    values = {**overrides(p), **({"overwrite": True} if overwrite else {})}
    chosen = runs.load_notebook(profile, "01_data_preparation", values)
    manifest = pipeline.prepare_data(DataPreparation.checked(chosen.model_dump(), profile))
    counts = ", ".join(f"{len(manifest.files(split))} {split}" for split in ("train", "valid"))
    print(f"{runs.data_folder(chosen.data_dir) / 'manifest.json'}: {counts}", end="")
    print(f", {len(manifest.rejected)} rejected, {len(manifest.near_duplicates)} near-duplicates across the split")
    for record in manifest.rejected:
        print(f"left out: {record.file}: {record.reason}", file=sys.stderr)
    return 1 if manifest.rejected else 0
