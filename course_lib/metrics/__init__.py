"""Figures that lessons report, each with its uncertainty."""
