"""Metrics: one or one family a file, and the registry that names them all."""
