from . import losses as losses
from .distributed import pick_device as pick_device
from .loop import train as train
