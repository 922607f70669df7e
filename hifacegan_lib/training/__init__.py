"""The training loop, its losses, and the signs of a run that goes wrong."""
