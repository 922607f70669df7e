"""The parameters of every notebook: names, types, ranges, defaults, in one place.

A notebook's cell tagged ``parameters`` lists the same names with the same defaults (a test holds this), papermill
injects values after it, and the next cell validates: ``p = params.Training.from_namespace(globals())``.
Profiles are files ``params/<profile>/<notebook>.yaml``. Unknown keys, wrong types and values out of range are errors
that name the file, the key and what is allowed. Defaults are the demo's: small enough for two CPU cores.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hifacegan_lib.names import NOTEBOOK_NAMES, ParamsError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")]
Size = Annotated[int, Field(ge=16, le=4096)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]

_PLAIN = (str, int, float, list, dict, type(None))


class Params(BaseModel):
    """What all notebooks share. Frozen; unknown keys are refused; no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    profile: Name = Field("demo", description="folder below params/ that makes what is missing upstream")
    data_dir: str = Field("data/demo", description="folder with manifest.json, made by notebook 01")
    seed: Seed = Field(0, description="every draw follows from it")

    @classmethod
    def checked(cls, values: Mapping[str, Any], source: str) -> Self:
        """Validate ``values``; ``source`` (a file, a command) opens the error message."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise ParamsError("\n".join(_sentence(cls, source, e) for e in error.errors())) from None

    @classmethod
    def from_namespace(cls, namespace: Mapping[str, Any]) -> Self:
        """Take the model's names out of a notebook's ``globals()``.

        A name that is missing is an error; so is a plain value under a name that the model does not know, for that is
        how papermill would inject a misspelt key.
        """
        missing = [name for name in cls.model_fields if name not in namespace]
        if missing:
            raise ParamsError(f"parameters cell of {cls.__name__}: missing {', '.join(missing)}")
        plain = {k: v for k, v in namespace.items() if k[0].islower() and isinstance(v, _PLAIN)}
        mine = {name: namespace[name] for name in cls.model_fields}
        return cls.checked({**plain, **mine}, "parameters cell")

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: Mapping[str, Any] | None = None) -> Self:
        """Read a profile file (keys it lacks keep their defaults), then ``overrides``."""
        return cls.checked({**read_yaml(path), **(overrides or {})}, str(path))

    def as_yaml(self, notebook: str) -> str:
        """Every parameter of a notebook as a line ``key: value  # meaning``."""
        lines = [f"# {notebook}"]
        for key, field in type(self).model_fields.items():
            value = yaml.safe_dump(getattr(self, key), width=1000).removesuffix("...\n").strip()
            lines.append(f"{key}: {value}  # {field.description}")
        return "\n".join(lines) + "\n"


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    Raises:
        ParamsError: no such file, not YAML, or not a mapping.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML ({error})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: expected `key: value` lines, got {type(values).__name__}")
    return values


def _sentence(model: type[BaseModel], source: str, error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{source}: unknown key '{key}'; known keys: {', '.join(model.model_fields)}"
    said = error["msg"].removeprefix("Value error, ")
    if not key:
        return f"{source}: {said}"
    return f"{source}: {key} = {error['input']!r}: {said}; allowed: {_allowed(model, key)}{_hint(error['input'])}"


def _allowed(model: type[BaseModel], key: str) -> str:
    """A field's type and range in words."""
    schema = model.model_json_schema()["properties"][key]
    if "enum" in schema:
        return ", ".join(repr(value) for value in schema["enum"])
    words = {
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMinimum": "above",
        "exclusiveMaximum": "below",
        "pattern": "of the form",
    }
    return ", ".join([schema["type"], *(f"{said} {schema[k]}" for k, said in words.items() if k in schema)])


def _hint(value: Any) -> str:
    """YAML 1.1 wants a point in a number with an exponent."""
    try:
        return f" (YAML reads {value} as text; write {float(value):#})" if isinstance(value, str) else ""
    except ValueError:
        return ""


class DataPreparation(Params):
    """Notebook 01: which images, split how, listed where."""

    source: Literal["synthetic", "folder", "hub"] = Field("synthetic", description="where the images come from")
    source_path: str = Field("", description="folder: any tree of images; hub: may hold local parquet files")
    dataset_name: str = Field("", description="hub: name of a Hugging Face image dataset, 'parquet' for local files")
    dataset_split: str = Field("train", description="hub: which of its splits to stream")
    image_column: str = Field("image", description="hub: the column with the images")
    synthetic_size: Size = Field(96, description="synthetic: side of a drawn portrait, pixels")
    train_glob: str = Field("**", description="folder: keys (paths below it) that may train, as a glob")
    valid_glob: str = Field("**", description="folder: keys that may validate; the same glob, or a disjoint one")
    train_size: Count = Field(600, description="images to train on")
    valid_size: Count = Field(64, description="images to validate on, disjoint from those")
    overwrite: bool = Field(False, description="replace data_dir when it holds other data")

    @model_validator(mode="after")
    def _source_is_named(self) -> Self:
        if self.source == "folder" and not self.source_path:
            raise ValueError("source_path must name a folder when source is 'folder'")
        if self.source == "hub" and not self.dataset_name:
            raise ValueError("dataset_name must name a dataset when source is 'hub'")
        return self


class Degradation(Params):
    """Notebook 02: look at a recipe's damage."""

    run_name: RunName = Field("demo", description="folder below runs/ for figures")
    image_size: Size = Field(64, description="side of the face, pixels")
    recipe: str = Field("report", description="a shipped recipe's name or a JSON file")
    examples: Annotated[int, Field(ge=1, le=32)] = Field(8, description="faces in the contact sheet")


class ModulePrototyping(Params):
    """Notebook 03: the suppression operator and replenishment, taken apart."""

    run_name: RunName = Field("demo", description="folder below runs/ for figures")
    image_size: Size = Field(64, description="side of the face, pixels")
    recipe: str = Field("report", description="a shipped recipe's name or a JSON file")
    window: Literal[3, 5] = Field(3, description="K, side of the suppression window, pixels")
    correlation_dim: Annotated[int, Field(ge=1, le=256)] = Field(8, description="d, length of G(f)")


class Training(Params):
    """Notebook 04: one training run."""

    run_name: RunName = Field("demo", description="folder below runs/ for everything the run makes")
    image_size: Size = Field(64, description="side of the face, pixels")
    recipe: str = Field("report", description="a shipped recipe's name or a JSON file")
    crop_min: Annotated[float, Field(gt=0, le=1)] = Field(0.9, description="smallest random crop, share of the side")
    flip_probability: Fraction = Field(0.5, description="chance of a left-right flip of the clean face")
    suppression: Literal["inner_product", "lip", "conv"] = Field("inner_product", description="encoder's operator")
    guidance: Literal["features", "image"] = Field("features", description="what guides the decoder's stages")
    start: Literal["image", "features"] = Field(
        "image", description="what it begins from: input made small, or features"
    )
    modulation: Literal["one_plus_gamma", "gamma"] = Field("one_plus_gamma", description="SPADE's scale")
    width: Annotated[int, Field(ge=4, le=256)] = Field(24, description="channels at full resolution; paper 48 or 64")
    widest: Annotated[int, Field(ge=1, le=16)] = Field(16, description="most channels, in widths; paper 16")
    stages: Annotated[int, Field(ge=1, le=8)] = Field(2, description="halvings down to the trunk; paper 5")
    patch: Literal[1, 2, 4] = Field(2, description="side of the pixel blocks taken as one pixel; paper 1")
    hidden: Annotated[int, Field(ge=4, le=512)] = Field(24, description="widest hidden layer of SPADE; paper 128")
    skip: bool = Field(True, description="the network corrects its input; paper false: it draws anew")
    spectral_norm: bool = Field(False, description="on the generator's decoder; paper true")
    init_from: str = Field("", description="checkpoint to go on from, ours or published; its shape replaces these")
    discriminator_width: Annotated[int, Field(ge=4, le=256)] = Field(16, description="first channels")
    discriminator_detail: Weight = Field(
        0.0, description="fine detail, so many times as strong, in channels of its own; paper 0"
    )
    batch_size: Count = Field(8, description="pairs a step")
    accumulate: Count = Field(1, description="parts in which a batch is worked off: less memory, the same step")
    steps: Count = Field(400, description="optimizer steps in all")
    decay_steps: Annotated[int, Field(ge=0)] = Field(200, description="last steps, with linearly falling rates")
    lr_generator: Annotated[float, Field(gt=0, le=1)] = Field(0.002, description="Adam's rate; paper 1e-4")
    lr_discriminator: Annotated[float, Field(gt=0, le=1)] = Field(0.004, description="two time scales; paper 4e-4")
    beta1: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="Adam's first beta; paper 0")
    beta2: Annotated[float, Field(ge=0, lt=1)] = Field(0.99, description="Adam's second beta; paper 0.9")
    adversarial: Literal["lsgan", "hinge", "non_saturating"] = Field("lsgan", description="which game; paper lsgan")
    adversarial_weight: Weight = Field(1.0, description="adversarial term; paper 1; 0 trains no discriminator")
    adversary_from: Annotated[int, Field(ge=0)] = Field(
        350, description="step at which the discriminator joins; paper 0"
    )
    discriminator_warmup: Annotated[int, Field(ge=0)] = Field(0, description="steps that it learns alone before")
    r1_weight: Weight = Field(0.0, description="gradient penalty on clean faces; with non_saturating, 10")
    r1_every: Count = Field(16, description="steps between penalties, each that much stronger")
    feature_matching_weight: Weight = Field(10.0, description="multi-scale feature matching; paper 10")
    perceptual_weight: Weight = Field(0.0, description="VGG-19 term; paper 10; needs downloaded weights")
    perceptual_file: str = Field("", description="safetensors with VGG-19's first layers; empty: all of torchvision's")
    l1_weight: Weight = Field(100.0, description="pixel term; paper 0")
    charbonnier_weight: Weight = Field(0.0, description="pixel term that forgives outliers as L1 does, smooth at 0")
    charbonnier_epsilon: Annotated[float, Field(gt=0)] = Field(
        0.001, description="below it squares count, above it L1; 0.1 aims at PSNR"
    )
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = Field(0.99, description="exponential moving average of weights")
    gradient_clip: Weight = Field(0.0, description="largest gradient norm; 0 is off")
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="autocast type")
    activation_checkpointing: bool = Field(
        False, description="recompute the generator's insides: less memory, a third more time"
    )
    device: Device = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    workers: Annotated[int, Field(ge=0, le=64)] = Field(0, description="processes that make pairs")
    progress: Literal["auto", "live", "bar", "plain", "none"] = Field("auto", description="how the run shows itself")
    log_every: Count = Field(25, description="steps between lines of metrics.jsonl")
    picture_every: Count = Field(200, description="steps between pictures of the validation strip")
    checkpoint_every: Count = Field(200, description="steps between checkpoints")
    keep_checkpoints: Count = Field(2, description="newest checkpoints that stay")
    resume: bool = Field(True, description="go on from the run's last checkpoint")
    overwrite: bool = Field(False, description="delete the run's own artefacts and start anew")

    @model_validator(mode="after")
    def _decay_fits(self) -> Self:
        if self.decay_steps > self.steps:
            raise ValueError(f"decay_steps = {self.decay_steps} must not exceed steps = {self.steps}")
        return self

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.discriminator_warmup > self.adversary_from:
            raise ValueError(
                f"discriminator_warmup = {self.discriminator_warmup} must not exceed adversary_from = "
                f"{self.adversary_from}: it is the last part of the steps before"
            )
        return self

    @model_validator(mode="after")
    def _something_is_asked(self) -> Self:
        names = ("adversarial", "feature_matching", "perceptual", "l1", "charbonnier")
        if not any(getattr(self, f"{name}_weight") for name in names):
            raise ValueError(f"nothing to learn from: one of {', '.join(f'{name}_weight' for name in names)} above 0")
        return self


class Evaluation(Params):
    """Notebook 05: a model against baselines on unseen faces."""

    run_name: RunName = Field("demo", description="the run to judge")
    checkpoint: str = Field("", description="shipped weights' name or a safetensors; empty: the run's newest")
    image_size: Size = Field(64, description="side of the face, pixels")
    recipe: str = Field("report", description="a shipped recipe's name or a JSON file")
    tuning_size: Count = Field(32, description="training faces on which the baselines are tuned")
    batch_size: Count = Field(16, description="pairs at a time")
    bootstrap_samples: Annotated[int, Field(ge=100)] = Field(1000, description="resamples behind an interval")
    surface_faces: Count = Field(16, description="validation faces behind each cell of the robustness surface")
    groups: str = Field("", description="CSV file: key and columns of labels, for a breakdown; empty: none")
    keep_pictures: bool = Field(True, description="keep every face that is scored, for `hifacegan compare`")
    device: Device = Field("auto", description="auto, cpu, cuda, cuda:N or mps")


class PhotoRestoration(Params):
    """Notebook 06: restore the faces of a photograph."""

    run_name: RunName = Field("demo", description="folder below runs/ for figures")
    weights: str = Field("compact-256", description="shipped weights, a safetensors file, or empty: the run's newest")
    blend: Fraction = Field(0.0, description="of shipped weights: 0 is fidelity, 1 realism")
    strength: Fraction = Field(1.0, description="share of the network's change that is applied")
    detector: Literal["auto", "yunet", "haar"] = Field("auto", description="what finds faces; auto: YuNet if fetched")
    photo: str = Field("", description="an image file; empty: scikit-image's astronaut")
    recipe: str = Field("report", description="damage for the demonstration; a recipe's name or a JSON file")
    device: Device = Field("auto", description="auto, cpu, cuda, cuda:N or mps")


_MODELS = (DataPreparation, Degradation, ModulePrototyping, Training, Evaluation, PhotoRestoration)
NOTEBOOKS: dict[str, type[Params]] = dict(zip(NOTEBOOK_NAMES, _MODELS, strict=True))
"""Notebook (in running order) -> the model of its parameters."""
