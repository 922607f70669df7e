"""The parameters of every notebook: names, types, ranges, defaults and meanings, in one place.

The cell tagged ``parameters`` of a notebook lists the same names, defaults and meanings (a test compares them).
papermill injects values after it, and the next cell validates: ``p = params.Training.from_namespace(globals())``.
A profile is a folder of files ``params/<profile>/<notebook>.yaml``. The message about an unknown key, a wrong type or a
value out of range names the file, the key and the allowed values. The defaults suit two CPU cores.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hifacegan_lib.names import NOTEBOOK_NAMES, ParamsError
from hifacegan_lib.parameter_messages import read_yaml, sentence

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")]
Size = Annotated[int, Field(ge=16, le=4096)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]

MAY_CHANGE = {
    *("profile", "run_name", "data_dir", "resume", "overwrite", "progress"),
    *("device", "workers", "accumulate", "activation_checkpointing"),
    *("log_every", "picture_every", "checkpoint_every", "keep_checkpoints", "flow_steps"),
}
"""Parameters that may change when a run is resumed: the weights do not depend on them, but for rounding."""

PICTURE_LOSSES = ("l1", "charbonnier", "perceptual", "lpips", "focal", "parts", "identity")
ADVERSARIAL_LOSSES = ("adversarial", "feature_matching")
"""The generator's losses; each has a ``<name>_weight`` among the parameters of notebook 04."""

_PLAIN = (str, int, float, list, dict, type(None))


def param(default: Any, meaning: str, **limits: Any) -> Any:
    """A field of a model: its default, the text about it that notebooks, profiles and commands show, and its range."""
    return Field(default, description=meaning, **limits)


class Params(BaseModel):
    """The parameters that all notebooks share. Frozen, with known keys only and no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    profile: Name = param("demo", "folder below params/; its values make missing results of earlier notebooks")
    data_dir: str = param("data/demo", "folder with manifest.json, made by notebook 01")
    seed: Seed = param(0, "seed of all random numbers")

    @classmethod
    def checked(cls, values: Mapping[str, Any], source: str) -> Self:
        """Validate ``values``. Raises ParamsError; the message begins with ``source``, a file or a command."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise ParamsError("\n".join(sentence(cls, source, e) for e in error.errors())) from None

    @classmethod
    def from_namespace(cls, namespace: Mapping[str, Any]) -> Self:
        """Read the parameters from a notebook's ``globals()``.

        Raises:
            ParamsError: a parameter is missing or not allowed; or the notebook has another variable with a plain value,
                because papermill injects a misspelt key as such a variable.
        """
        missing = [name for name in cls.model_fields if name not in namespace]
        if missing:
            raise ParamsError(f"parameters cell of {cls.__name__}: missing {', '.join(missing)}")
        plain = {k: v for k, v in namespace.items() if k[0].islower() and isinstance(v, _PLAIN)}
        mine = {name: namespace[name] for name in cls.model_fields}
        return cls.checked({**plain, **mine}, "parameters cell")

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: Mapping[str, Any] | None = None) -> Self:
        """Read a profile's file; ``overrides`` replace its values, and missing keys have their defaults."""
        return cls.checked({**read_yaml(path), **(overrides or {})}, str(path))

    def as_yaml(self, notebook: str) -> str:
        """The parameters as YAML, a line ``key: value  # meaning`` each."""
        lines = [f"# {notebook}"]
        for key, field in type(self).model_fields.items():
            value = yaml.safe_dump(getattr(self, key), width=1000).removesuffix("...\n").strip()
            lines.append(f"{key}: {value}  # {field.description}")
        return "\n".join(lines) + "\n"


class DataPreparation(Params):
    """Notebook 01: choose images and split them into training and validation."""

    source: Literal["synthetic", "folder", "hub"] = param("synthetic", "where the images come from")
    source_path: str = param("", "folder: folder with images, at any depth; hub: folder with local parquet files")
    dataset_name: str = param("", "hub: name of a Hugging Face image dataset, 'parquet' for local files")
    dataset_split: str = param("train", "hub: split of the dataset to read")
    image_column: str = param("image", "hub: column with the images")
    synthetic_size: Size = param(96, "synthetic: side of a drawn portrait, pixels")
    train_glob: str = param("**", "folder: glob of the paths below it that may be trained on")
    valid_glob: str = param("**", "folder: glob for validation; equal to train_glob, or disjoint from it")
    train_size: Count = param(600, "images to train on")
    valid_size: Count = param(64, "images to validate on; none of them is trained on")
    overwrite: bool = param(False, "replace data_dir when it holds other data")

    @model_validator(mode="after")
    def _source_is_named(self) -> Self:
        if self.source == "folder" and not self.source_path:
            raise ValueError("source_path must name a folder when source is 'folder'")
        if self.source == "hub" and not self.dataset_name:
            raise ValueError("dataset_name must name a dataset when source is 'hub'")
        return self


class _Study(Params):
    """What notebooks 02 and 03 share: they draw figures of a recipe's faces."""

    run_name: RunName = param("demo", "folder below runs/ for figures")
    image_size: Size = param(64, "side of the face, pixels")
    recipe: str = param("report", "a shipped recipe's name or a JSON file")


class Degradation(_Study):
    """Notebook 02: show the damage of a recipe."""

    examples: int = param(8, "faces in the contact sheet", ge=1, le=32)


class ModulePrototyping(_Study):
    """Notebook 03: study suppression and replenishment alone."""

    window: Literal[3, 5] = param(3, "K, side of the suppression window, pixels")
    correlation_dim: int = param(8, "d, length of G(f)", ge=1, le=256)


class Training(Params):
    """Notebook 04: train a network."""

    run_name: RunName = param("demo", "folder below runs/ for all files of the run")
    image_size: Size = param(64, "side of the face, pixels")
    recipe: str = param("report", "a shipped recipe's name or a JSON file")
    crop_min: float = param(0.9, "smallest random crop, share of the side", gt=0, le=1)
    flip_probability: Fraction = param(0.5, "chance of a left-right flip of the clean face")
    network: str = param(
        "hifacegan", "hifacegan, a class of spandrel (spandrel:NAFNet), or of a module (my_networks:Smoother)"
    )
    network_options: str = param("", "options of such a class, a JSON object; hifacegan has those below")
    suppression: Literal["inner_product", "lip", "conv"] = param("inner_product", "suppression operator of the encoder")
    guidance: Literal["features", "image"] = param("features", "input of SPADE: encoder features or degraded image")
    start: Literal["image", "features"] = param("image", "input of the decoder: subsampled image or last features")
    modulation: Literal["one_plus_gamma", "gamma"] = param("one_plus_gamma", "scale of SPADE: 1 + gamma or gamma")
    width: int = param(24, "channels at full resolution; paper 48 or 64", ge=4, le=256)
    widest: int = param(16, "largest number of channels, as a multiple of width; paper 16", ge=1, le=16)
    stages: int = param(2, "how often the resolution is halved; paper 5", ge=1, le=8)
    patch: Literal[1, 2, 4] = param(2, "side of the pixel blocks that become channels of one pixel; paper 1")
    hidden: int = param(24, "largest number of channels of SPADE's hidden layer; paper 128", ge=4, le=512)
    skip: bool = param(True, "predict a correction of the degraded image; paper false")
    spectral_norm: bool = param(False, "spectral normalization of the generator's decoder; paper true")
    init_from: str = param("", "checkpoint to start from, ours or published; replaces the architecture above")
    discriminator: Literal["patch", "unet"] = param("patch", "patch: scores of patches, paper; unet: of each pixel")
    discriminator_width: int = param(16, "channels of the discriminator's first layer", ge=4, le=256)
    discriminator_detail: Weight = param(0.0, "gain of extra channels with fine detail; paper 0: none")
    augment: Literal["none", "diffaugment"] = param("none", "diffaugment: change the discriminator's inputs at random")
    batch_size: Count = param(8, "pairs in a step")
    accumulate: Count = param(1, "parts of a batch, computed one after another: less memory, the same step")
    steps: Count = param(400, "optimizer steps in all")
    decay_steps: int = param(200, "number of last steps, in which the learning rates fall", ge=0)
    schedule: Literal["linear", "cosine"] = param("linear", "shape of that fall")
    warmup_steps: int = param(0, "number of first steps, in which the learning rates rise linearly", ge=0)
    lr_generator: float = param(0.002, "learning rate of the generator; paper 1e-4", gt=0, le=1)
    lr_discriminator: float = param(0.004, "learning rate of the discriminator; paper 4e-4", gt=0, le=1)
    beta1: float = param(0.9, "Adam's first beta; paper 0", ge=0, lt=1)
    beta2: float = param(0.99, "Adam's second beta; paper 0.9", ge=0, lt=1)
    objective: Literal["pixels", "adversarial", "flow"] = param(
        "adversarial", "pixels: without discriminator; flow: a loss of its own, and none of the losses below"
    )
    flow_mean: str = param("", "flow: the frozen restorer before it, shipped weights or a checkpoint")
    flow_sigma: Weight = param(0.1, "flow: standard deviation of the noise that is added to the mean; white is 1")
    flow_clip: Weight = param(1.0, "flow: largest gradient norm, in the place of gradient_clip; 0 is off")
    flow_steps: Count = param(10, "flow: network passes for a face, in the strip and in evaluations")
    adversarial: Literal["lsgan", "hinge", "non_saturating"] = param("lsgan", "kind of adversarial loss; paper lsgan")
    adversarial_weight: Weight = param(1.0, "weight of the adversarial loss; paper 1; 0 trains no discriminator")
    adversary_from: int = param(350, "first step with adversarial loss; paper 0", ge=0)
    discriminator_warmup: int = param(0, "steps before adversary_from with discriminator training", ge=0)
    r1_weight: Weight = param(0.0, "weight of the gradient penalty on clean faces; 10 with non_saturating")
    r1_every: Count = param(16, "steps between two penalties; each is multiplied by this number")
    feature_matching_weight: Weight = param(10.0, "weight of multi-scale feature matching; paper 10")
    perceptual_weight: Weight = param(0.0, "weight of the VGG-19 loss; paper 10; needs downloaded weights")
    perceptual_file: str = param("", "safetensors file with VGG-19's first layers; empty: torchvision's VGG-19")
    lpips_weight: Weight = param(0.0, "weight of LPIPS with VGG-16; needs downloaded weights")
    focal_weight: Weight = param(0.0, "weight of the focal frequency loss")
    parts_weight: Weight = param(0.0, "weight of L1 around eyes and mouth; needs YuNet")
    identity_weight: Weight = param(0.0, "weight of 1 - cosine of SFace's embeddings; needs YuNet, SFace and onnx")
    l1_weight: Weight = param(100.0, "weight of the L1 loss; paper 0")
    charbonnier_weight: Weight = param(0.0, "weight of the Charbonnier loss, which is L1 made smooth at 0")
    charbonnier_epsilon: float = param(
        0.001, "error below which the Charbonnier loss is quadratic; 0.1 favours PSNR", gt=0
    )
    ema_decay: float = param(0.99, "decay of the exponential moving average of the weights", ge=0, lt=1)
    gradient_clip: Weight = param(0.0, "largest gradient norm; 0 is off")
    precision: Literal["float32", "bfloat16", "float16"] = param("float32", "number type of autocast")
    activation_checkpointing: bool = param(False, "recompute activations: less memory, a third more time")
    device: Device = param("auto", "auto, cpu, cuda, cuda:N or mps")
    workers: int = param(0, "worker processes that make pairs", ge=0, le=64)
    progress: Literal["auto", "live", "bar", "plain", "none"] = param("auto", "display of the run's progress")
    log_every: Count = param(25, "steps between lines of metrics.jsonl")
    picture_every: Count = param(200, "steps between pictures of the validation strip")
    checkpoint_every: Count = param(200, "steps between checkpoints")
    keep_checkpoints: Count = param(2, "number of newest checkpoints to keep")
    resume: bool = param(True, "continue from the run's last checkpoint")
    overwrite: bool = param(False, "delete the run's files and start again")

    @field_validator("network")
    @classmethod
    def _names_a_network(cls, value: str) -> str:
        if value != "hifacegan" and not all(value.partition(":")):
            raise ValueError("expected hifacegan, spandrel:ARCHITECTURE or MODULE:CLASS")
        return value

    @field_validator("network_options", mode="before")
    @classmethod
    def _is_json_object(cls, value: Any) -> Any:
        """A mapping, which YAML makes of an unquoted JSON object, as JSON text."""
        text = json.dumps(value) if isinstance(value, dict) else value
        try:
            if text and not isinstance(json.loads(text), dict):
                raise ValueError
        except (TypeError, ValueError):
            raise ValueError('expected a JSON object such as {"width": 24}') from None
        return text

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        limits = {"decay_steps": "steps", "warmup_steps": "steps", "discriminator_warmup": "adversary_from"}
        for key, most in limits.items():
            if getattr(self, key) > getattr(self, most):
                raise ValueError(f"{key} = {getattr(self, key)} must not exceed {most} = {getattr(self, most)}")
        if self.objective == "flow" and not self.flow_mean:
            raise ValueError("flow_mean must name shipped weights or a checkpoint when objective is 'flow'")
        weights = [f"{name}_weight" for name in PICTURE_LOSSES]
        weights += [f"{name}_weight" for name in ADVERSARIAL_LOSSES if self.objective == "adversarial"]
        if self.objective != "flow" and not any(getattr(self, weight) for weight in weights):
            raise ValueError(f"no loss: one of {', '.join(weights)} must be above 0 (1.0e-6 beside a loss of your own)")
        return self


class Evaluation(Params):
    """Notebook 05: compare a model with baselines on unseen faces."""

    run_name: RunName = param("demo", "folder below runs/ of the run to evaluate")
    checkpoint: str = param("", "a shipped name or a safetensors file; empty: the run's newest checkpoint")
    flow_steps: int = param(0, "of a flow: network passes for a face; 0: as in its training", ge=0)
    image_size: Size = param(64, "side of the face, pixels")
    recipe: str = param("report", "a shipped recipe's name or a JSON file")
    tuning_size: Count = param(32, "training faces on which the baselines are tuned")
    batch_size: Count = param(16, "pairs at a time")
    bootstrap_samples: int = param(1000, "bootstrap resamples for an interval", ge=100)
    surface_faces: Count = param(16, "validation faces for each cell of the robustness surface")
    groups: str = param("", "CSV file with key and label columns, for results by label; empty: none")
    keep_pictures: bool = param(True, "save every evaluated face, for `hifacegan compare`")
    device: Device = param("auto", "auto, cpu, cuda, cuda:N or mps")


class PhotoRestoration(Params):
    """Notebook 06: restore the faces of a photograph."""

    run_name: RunName = param("demo", "folder below runs/ for figures")
    weights: str = param(
        "compact-256", "a shipped name, a file of any restorer (docs/restore.md); empty: the run's newest"
    )
    blend: Fraction = param(0.0, "of shipped weights: 0 is fidelity, 1 realism")
    flow_steps: int = param(0, "of a flow: network passes for a face; 0: as in its training", ge=0)
    strength: Fraction = param(1.0, "share of the network's change that is applied")
    detector: Literal["auto", "yunet", "haar"] = param(
        "auto", "face detector; auto: YuNet if it was fetched, else haar"
    )
    scale: Literal["auto", 1, 2, 4] = param(
        "auto", "enlargement: 1, 2, 4, or auto: until the smallest face keeps its detail"
    )
    photo: str = param("", "an image file; empty: scikit-image's astronaut")
    recipe: str = param("report", "damage for the demonstration; a recipe's name or a JSON file")
    device: Device = param("auto", "auto, cpu, cuda, cuda:N or mps")


_MODELS = (DataPreparation, Degradation, ModulePrototyping, Training, Evaluation, PhotoRestoration)
NOTEBOOKS: dict[str, type[Params]] = dict(zip(NOTEBOOK_NAMES, _MODELS, strict=True))
"""Notebook (in running order) -> the model of its parameters."""
