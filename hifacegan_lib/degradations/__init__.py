"""Degradations: operations, recipes with ranges of numbers, and traces with fixed numbers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
