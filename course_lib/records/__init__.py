"""Labelled texts: read, checked, split, and sampled.

``load`` does it all: it takes the name of a data set or a file of yours and gives training and test records that have
no text in common, not even nearly. ``read`` and ``split`` are its two halves. A row travels through `files` (opened,
checked) and `reading` (validated) to `collection` (`Records`); `splitting` and `duplicates` keep the test honest.

What is left out: cleaning. A record that is wrong is named, with its file, row and column, and mended by its owner.
"""

from course_lib.records.collection import Records
from course_lib.records.loading import load
from course_lib.records.reading import read
from course_lib.records.splitting import Split, split, without_copies

__all__ = ["Records", "Split", "load", "read", "split", "without_copies"]
