"""Controls for notebooks; the only wing that imports ipywidgets."""
