from . import baselines as baselines
from . import identity_drift as identity_drift
from . import robustness as robustness
from . import scoring as scoring
from . import severity as severity
from .comparison import Side as Side, compare as compare
from .image_pairs import pair_folders as pair_folders
from .results import Evaluation as Evaluation
from .scoring import evaluate as evaluate
