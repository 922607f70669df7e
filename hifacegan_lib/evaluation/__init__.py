"""Judge restorers: scores, baselines, comparisons, robustness, identity."""
