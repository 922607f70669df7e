"""Plots, HTML pages, and the log of a run."""
