from . import files as files
from . import images as images
from . import measures as measures
from .machine import environment as environment
from .machine import find_device as find_device
from .statistics import mean_interval as mean_interval
from .statistics import paired as paired
from .weight_registry import fetch as fetch
