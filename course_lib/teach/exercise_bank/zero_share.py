"""Lesson 01: what each of several devices holds. The slips are parts split wrongly, or not at all."""

from __future__ import annotations

from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, close, judge, number


def per_device(parameters: int, devices: int, stage: int) -> float:
    """Bytes on each device: of 2 (weights), 2 (gradients), 12 (optimizer) per parameter a stage splits ever more."""
    weights, gradients, optimizer = 2.0 * parameters, 2.0 * parameters, 12.0 * parameters
    if stage >= 1:
        optimizer = optimizer / devices
    if stage >= 2:
        gradients = gradients / devices
    if stage >= 3:
        weights = weights / devices
    return weights + gradients + optimizer


def _staged(split: dict[int, tuple[float, float]]) -> Any:
    """A slip: bytes per parameter that each stage keeps whole and splits."""
    return lambda n, d, stage: n * (split[stage][0] + split[stage][1] / d)


ZERO_CASES = (
    Case((1000, 4, 0), "Stage 0 splits nothing: every device holds all 16 bytes."),
    Case((1000, 4, 1)),
    Case((1000, 4, 2)),
    Case((1000, 4, 3)),
    Case((7_000_000_000, 8, 2)),
    Case((1000, 1, 3), "On one device there is nothing to share, whatever the stage."),
)

ZERO_SLIPS = (
    Slip("The stages are nested: stage 2 splits the gradients and still the optimizer, stage 3 all three.",
         _staged({0: (16, 0), 1: (4, 12), 2: (14, 2), 3: (14, 2)})),
    Slip("The stages are nested: stage 2 splits the gradients and still the optimizer.",
         _staged({0: (16, 0), 1: (4, 12), 2: (14, 2), 3: (0, 16)})),
    Slip("The order is optimizer, gradients, weights: stage 1 splits the 12 bytes, since they are the most.",
         _staged({0: (16, 0), 1: (14, 2), 2: (12, 4), 3: (0, 16)})),
    Slip("Stage 1 splits the optimizer's 12 bytes only, stage 2 those and the gradients; you split everything from"
         " stage 1 on.", _staged({0: (16, 0), 1: (0, 16), 2: (0, 16), 3: (0, 16)})),
    Slip("Stage 0 splits nothing; you split everything at every stage.",
         _staged({0: (0, 16), 1: (0, 16), 2: (0, 16), 3: (0, 16)})),
    Slip("Stages count from 0, where nothing is split: you are one stage ahead.",
         _staged({0: (4, 12), 1: (2, 14), 2: (0, 16), 3: (0, 16)})),
    Slip("The optimizer's share is 12 bytes: the master copy belongs to it, not only Adam's two running means.",
         _staged({0: (16, 0), 1: (8, 8), 2: (6, 10), 3: (0, 16)})),
    Slip("The optimizer's share is 12 bytes: the master copy belongs to it, not only Adam's two running means.\nAt"
         " stage 3 the master copy is split as well.", _staged({0: (16, 0), 1: (8, 8), 2: (6, 10), 3: (4, 12)})),
    Slip("The master copy is missing: the optimizer's share is 12 bytes, not 8.",
         _staged({0: (12, 0), 1: (4, 8), 2: (2, 10), 3: (0, 12)})),
    Slip("Stage 3 splits the weights as well.", _staged({0: (16, 0), 1: (4, 12), 2: (2, 14), 3: (2, 14)})),
    Slip("That is what all devices hold together; one device's part is asked for.",
         lambda n, d, stage: d * per_device(n, d, stage)),
    Slip("`stage` is not used: nothing is ever split.", lambda n, d, stage: 16 * n),
    Slip("Those are gigabytes; give bytes.", lambda n, d, stage: per_device(n, d, stage) / 1e9),
)  # fmt: skip


def zero_problems(answer: Any) -> list[str]:
    """What is wrong with a number of bytes; a share that was rounded to whole bytes is right."""
    return judge(answer, "per_device", ZERO_CASES, per_device, ZERO_SLIPS, number, close(2e-3))


EXERCISE = Exercise(
    id="01-zero",
    title="One model on several devices",
    prompt=(
        "Each of `devices` devices trains on its own texts. Per parameter there are 2 bytes of weights, 2 of"
        " gradients, and 12 of optimizer (master copy and Adam's two running means). ZeRO splits among the devices:"
        " nothing at stage 0, the optimizer at stage 1, the gradients as well at stage 2, the weights as well at"
        " stage 3. Write a function that returns the bytes on each device."
    ),
    stub="def per_device(parameters, devices, stage):\n    ...",
    hints=(
        "Stage 0 is 16 bytes per parameter on every device. Which of them does stage 1 divide by the number of"
        " devices?",
        "Stage 1: 2 + 2 + 12 / devices. Each further stage divides one part more.",
        "Stage 2: 2 + (2 + 12) / devices. Stage 3: (2 + 2 + 12) / devices.",
    ),
    code=(
        "def per_device(parameters, devices, stage):\n"
        "    whole = {0: 16, 1: 4, 2: 2, 3: 0}[stage]\n"
        "    return parameters * (whole + (16 - whole) / devices)"
    ),
    why=(
        "Most of it comes with stage 1, which costs no extra traffic: the optimizer is three quarters of everything."
        " Stage 3 lets the model grow with the number of devices, and pays by gathering every layer's weights before"
        " it is used. Activations are not in this sum: no stage splits them."
    ),
    problems=zero_problems,
)
