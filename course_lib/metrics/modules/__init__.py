"""Modules of `evaluate`, one to a folder as it wants them; `metrics.load` loads them by their path."""
