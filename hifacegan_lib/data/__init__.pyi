from . import duplicates as duplicates
from .drawn_portraits import portrait as portrait
from .duplicates import distance as distance, face_hash as face_hash
from .manifest import Manifest as Manifest
from .pairs import LoaderConfig as LoaderConfig, get_face_loader as get_face_loader, load_entry as load_entry
from .preparation import prepare as prepare, sample as sample
