from . import params as params
from . import pipeline as pipeline
from . import runs as runs
from . import sweeps as sweeps
from .api import benchmark as benchmark
from .api import compare as compare
from .api import evaluate as evaluate
from .api import load_params as load_params
from .api import pairs as pairs
from .api import prepare as prepare
from .api import train as train
from .data.drawn_portraits import portrait as portrait
from .degradations.recipes import load_recipe as load_recipe
from .restoration.pretrained import load_model as load_model
from .restoration.pretrained import restore as restore

__version__: str
