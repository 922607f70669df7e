from . import checkpoints as checkpoints
from . import suppression as suppression
from .discriminator import Discriminator as Discriminator
from .exporting import export as export
from .generator import Generator as Generator, GeneratorConfig as GeneratorConfig, PRESETS as PRESETS, PUBLISHED as PUBLISHED
from .published import read_any as read_any
from .replenishment import modulate as modulate, normalise as normalise
