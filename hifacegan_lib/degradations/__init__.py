"""Damage: operations, recipes that draw them, and traces that replay them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
