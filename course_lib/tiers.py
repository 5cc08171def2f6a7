"""Four sizes of the same course, as data.

A tier says which model, how many records and how many passes a lesson takes, and nothing else in the course asks which
tier it is: code reads a size, so a fifth tier is a fifth entry here. ``smoke`` proves that everything runs and teaches
nothing; ``cpu`` is the course on two cores and without a network; ``t4`` is the GPU that Colab lends to everybody;
``gpu`` is anything with bf16 and room.

``COURSE_TIER`` chooses one; otherwise the hardware does. Left out: learning rates, which belong to a method and not to
a machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from course_lib import hardware
from course_lib.errors import CourseError
from course_lib.hardware import Hardware

GIB = 2**30
ROOMY = 20e9  # bytes of GPU memory from which the sizes of `gpu` fit


@dataclass(frozen=True)
class Tier:
    """Sizes, models, data sets and budgets. Records and batches are counted in texts, lengths in tokens."""

    name: str
    title: str
    encoder: str  # a short name of hub.MODELS
    sentiment: str  # a short name of hub.DATA
    train_size: int | None  # records; None: all there are
    test_size: int | None
    max_length: int  # longer texts are cut
    batch_size: int
    writer: str  # the model that continues texts, a short name of hub.MODELS
    tuned: str  # the one that a lesson fine-tunes, all weights of it
    problems: str  # "world" or a short name of hub.DATA; course_lib.problems reads both
    items: int  # on which a way of prompting is measured
    samples: int  # answers that are put to a vote
    pretrain_model: str  # the size of the base model that a lesson begins to train
    pretrain_steps: int  # and for how long: about 100 seconds
    base: str  # the model that is taught to answer, a short name of hub.MODELS
    method: str  # how: full, last-n, lora or qlora
    instructions: str  # "world" or a short name of hub.DATA; what it learns from
    judge: str  # the model that compares answers; "": the one that was just taught
    example_budgets: tuple[int, ...]  # sizes of the comparison "how many examples are needed", ascending
    epochs: int  # of fine-tuning
    head_epochs: int  # of a head on a frozen encoder
    rnn_epochs: int  # of a recurrent network from scratch
    label_budgets: tuple[int, ...]  # training sizes of the comparison "how many labels are needed", ascending
    minutes: int  # what a notebook may take
    storage: int  # bytes on disk for models, data and the checkpoints of one run


# What decides the storage: the models and data themselves, and the checkpoints of full fine-tuning at 12 bytes per
# parameter of the encoder (weights and AdamW's two moments in float32), two kept and one being written.
TIERS: dict[str, Tier] = {
    tier.name: tier
    for tier in (
        Tier(
            name="smoke",
            title="a test that everything runs; its figures mean nothing",
            encoder="minilm",
            sentiment="reviews",
            train_size=64,
            test_size=60,
            max_length=32,
            batch_size=8,
            writer="course-base-small",
            tuned="course-base-small",
            problems="world",
            items=8,
            samples=3,
            pretrain_model="course-base-small",
            pretrain_steps=20,
            base="course-base-small",
            method="full",
            instructions="world",
            judge="",
            example_budgets=(8, 32),
            epochs=1,
            head_epochs=5,
            rnn_epochs=2,
            label_budgets=(16, 64),
            minutes=1,
            storage=1 * GIB,
        ),
        Tier(
            name="cpu",
            title="two cores and no network: a small encoder and the course's own reviews",
            encoder="minilm",
            sentiment="reviews",
            train_size=256,
            test_size=200,
            max_length=96,
            batch_size=16,
            writer="course-base",
            tuned="course-base",
            problems="world",
            items=60,
            samples=5,
            pretrain_model="course-base-small",
            pretrain_steps=140,
            base="course-base",
            method="full",
            instructions="world",
            judge="",
            example_budgets=(30, 100, 300),
            epochs=2,
            head_epochs=30,
            rnn_epochs=8,
            label_budgets=(32, 128, 256),
            minutes=3,
            storage=1 * GIB,
        ),
        Tier(
            name="t4",
            title="a GPU such as Colab's T4: DistilBERT, part of the IMDb reviews, a model of 1.7B",
            encoder="distilbert",
            sentiment="imdb",
            train_size=5000,
            test_size=2000,
            max_length=256,
            batch_size=16,
            writer="smollm2-1.7b-instruct",
            tuned="smollm2-135m",
            problems="gsm8k",
            items=200,
            samples=8,
            pretrain_model="course-base",
            pretrain_steps=1000,
            base="smollm2-1.7b",
            method="qlora",
            instructions="dolly",
            judge="smollm2-1.7b-instruct",
            example_budgets=(25, 100, 300),
            epochs=2,
            head_epochs=30,
            rnn_epochs=4,
            label_budgets=(100, 500, 2000, 5000),
            minutes=15,
            storage=8 * GIB,
        ),
        Tier(
            name="gpu",
            title="a GPU with bf16 and 20 GB or more: DistilBERT, all IMDb reviews, a model of 1.7B",
            encoder="distilbert",
            sentiment="imdb",
            train_size=22500,
            test_size=None,
            max_length=512,
            batch_size=32,
            writer="smollm2-1.7b-instruct",
            tuned="smollm2-135m",
            problems="gsm8k",
            items=400,
            samples=16,
            pretrain_model="course-base",
            pretrain_steps=2000,
            base="smollm2-1.7b",
            method="lora",
            instructions="dolly",
            judge="smollm2-1.7b-instruct",
            example_budgets=(100, 500, 3000),
            epochs=3,
            head_epochs=30,
            rnn_epochs=4,
            label_budgets=(100, 1000, 5000, 22500),
            minutes=30,
            storage=8 * GIB,
        ),
    )
}


def current(machine: Hardware | None = None, environment: Mapping[str, str] = os.environ) -> Tier:
    """The tier to run: ``COURSE_TIER`` if it is set, otherwise the one that suits ``machine`` (by default this one).

    Raises CourseError naming the choices when ``COURSE_TIER`` is none of them.
    """
    wanted = environment.get("COURSE_TIER", "").strip()
    return named(wanted) if wanted else suitable(machine or hardware.detect())


def named(name: str) -> Tier:
    """The tier of this name, whatever its case. Raises CourseError naming the choices for any other."""
    if name.lower() not in TIERS:
        raise CourseError(f"There is no tier {name!r}; set COURSE_TIER to one of {', '.join(TIERS)}, or to nothing.")
    return TIERS[name.lower()]


def suitable(machine: Hardware) -> Tier:
    """The largest tier that a machine runs well."""
    if machine.device != "cuda":
        return TIERS["cpu"]
    roomy = (machine.gpu_total or 0) >= ROOMY
    return TIERS["gpu" if roomy and (machine.capability or (0, 0)) >= (8, 0) else "t4"]
