from . import photos as photos
from . import pretrained as pretrained
from . import uncertainty as uncertainty
from .batch import restore_folder as restore_folder
from .detection import detect as detect
from .photo_files import Photo as Photo, read_photo as read_photo, write_photo as write_photo
from .photos import Model as Model, Restored as Restored
from .pretrained import load_model as load_model, restore as restore
from .video import restore_video as restore_video
