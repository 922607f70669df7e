"""Face renovation workbench: degrade, suppress, replenish, train, evaluate, restore.

    import hifacegan_lib as hf

loads neither PyTorch nor OpenCV; each name is loaded when it is first used. ``__init__.pyi`` lists the names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.1.0"
