"""Lesson 04: from a model that continues text to one that answers."""
