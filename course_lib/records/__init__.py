"""Records: labelled texts, and conversations to tune a model on; read, checked, split, converted.

``load`` does it all: it takes the name of a data set or a file of yours and gives training and test records that have
no text in common, not even nearly. ``read`` and ``split`` are its two halves. A row travels through `files` (opened,
checked) and `reading` (validated) to `collection` (`Records`); `splitting` and `duplicates` keep the test honest.

Conversations come in four formats: `read_conversations` and `write_conversations` go between files and `Conversation`
(a row of a file, `rows`; what it looks like in each format, `shapes`), `load_conversations` takes names of data sets
too. `inspect` finds what would spoil the training, `fix` makes a cleaned copy of what can be cleaned without knowing
the right answer, and `price` says what one pass costs.

What is left out: mending. A record that is wrong is named, with its file, row and column, and mended by its owner.
"""

from course_lib.records.cleaning import Cleaned, fix
from course_lib.records.collection import Records
from course_lib.records.conversations import Conversation, Fault, Message
from course_lib.records.exchange import (
    FORMATS,
    Reading,
    load_conversations,
    read_all,
    read_conversations,
    write_conversations,
)
from course_lib.records.inspection import Inspection, Problem, inspect
from course_lib.records.loading import load
from course_lib.records.pricing import Price, price
from course_lib.records.reading import read
from course_lib.records.splitting import Split, split, without_copies

__all__ = [
    "FORMATS",
    "Cleaned",
    "Conversation",
    "Fault",
    "Inspection",
    "Message",
    "Price",
    "Problem",
    "Reading",
    "Records",
    "Split",
    "fix",
    "inspect",
    "load",
    "load_conversations",
    "price",
    "read",
    "read_all",
    "read_conversations",
    "split",
    "without_copies",
    "write_conversations",
]
