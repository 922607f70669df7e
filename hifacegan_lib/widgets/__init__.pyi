from . import guidance_swap as guidance_swap
from . import microscope as microscope
from .explorer import degradation_explorer as degradation_explorer
from .photo_restorer import Restorer as Restorer
