from . import loop as loop
from . import losses as losses
