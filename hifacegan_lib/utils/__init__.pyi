from . import files as files
from . import images as images
from . import measures as measures
from .environment import environment as environment
from .statistics import mean_interval as mean_interval, paired as paired
from .weight_registry import fetch as fetch
