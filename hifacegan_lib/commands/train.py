"""``train`` trains the network of a profile without a notebook."""

import os

from hifacegan_lib.commands.options import Pairs, overrides


def train(profile: str, /, *, p: Pairs = None) -> int:
    """Train a profile's network without a notebook; under torchrun with several processes.

    For example:

        hifacegan train demo -p steps 100 -p decay_steps 50 -p run_name short
        torchrun --nproc-per-node 4 -m hifacegan_lib.cli train ffhq512 -p batch_size 4

    Args:
        profile: folder below params/, with 04_training.yaml.
    """
    from hifacegan_lib import pipeline, runs
    from hifacegan_lib.models import checkpoints
    from hifacegan_lib.params import Training
    from hifacegan_lib.utils.files import read_json

    chosen = runs.load_notebook(profile, "04_training", overrides(p))
    folder = pipeline.train_model(Training.checked(chosen.model_dump(), profile))
    if not (folder / "result.json").exists():
        return 130  # stopped by hand; the run has printed it
    if int(os.environ.get("RANK", 0)) == 0:
        found = read_json(folder / "result.json")
        print(
            f"{found['faces']} unseen faces: {found['psnr']:.2f} dB, {found['gain']:+.2f} dB over the input, "
            f"SSIM {found['ssim']:.3f}; {found['steps']} steps in {found['seconds']:.0f} s on {found['device']}"
        )
        print(f"report   {folder / 'report.html'}\nweights  {checkpoints.latest_generator(folder)}")
    return 0
