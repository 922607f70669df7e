from . import explorer as explorer
from . import guidance_swap as guidance_swap
from . import microscope as microscope
from .photo_restorer import Restorer as Restorer
