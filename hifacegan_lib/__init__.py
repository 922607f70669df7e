"""Face renovation workbench: degrade, suppress, replenish, train, evaluate, restore.

Each module is one idea; import it by its name (``from hifacegan_lib import degradations``).
"""

__version__ = "0.1.0"
