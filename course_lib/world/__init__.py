"""A small invented place, and everything that is written about it."""
