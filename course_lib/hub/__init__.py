"""Where models and data come from: names in, files on this disk out.

Three questions decide whether a name is safe to build on. *Which bytes?* ``main`` on the hub is whatever was pushed
last; a commit hash, or a file's sha256, never changes, so the tables pin them wherever the hash is publicly known. *Can
opening the file do harm?* A ``.bin`` checkpoint is a pickle, and unpickling runs code; safetensors holds numbers and
nothing else, so it is the only format asked for, and code from a model's repository is never run. *What if the network
fails?* Every file is checked against the hash in the hub's listing, what has arrived is kept, and the next try goes on
from there.

A name is one of the tables' short names, a local path, or a hub id (``org/name``, ``org/name@revision``). Some of the
short names need no hub: what they mean is part of the course or of a Python package, and verified as well.

Left out: uploading, private mirrors with a protocol of their own, and streaming data sets that do not fit the disk.
"""

from course_lib.hub.data import DataFiles, data_files, data_held
from course_lib.hub.fetch import reachable
from course_lib.hub.loading import (
    SAFE,
    causal_folder,
    check_causal,
    check_encoder,
    load_encoder,
    load_tokenizer,
    quiet,
    sound,
)
from course_lib.hub.models import config_file, model_folder, model_held, tokenizer_folder
from course_lib.hub.shipped import seal
from course_lib.hub.sources import DATA, MODELS, DataSource, ModelSource, catalogue, data_sets, encoders, writers

__all__ = [
    "DATA",
    "MODELS",
    "SAFE",
    "DataFiles",
    "DataSource",
    "ModelSource",
    "catalogue",
    "causal_folder",
    "check_causal",
    "check_encoder",
    "config_file",
    "data_files",
    "data_held",
    "data_sets",
    "encoders",
    "load_encoder",
    "load_tokenizer",
    "model_folder",
    "model_held",
    "quiet",
    "reachable",
    "seal",
    "sound",
    "tokenizer_folder",
    "writers",
]
