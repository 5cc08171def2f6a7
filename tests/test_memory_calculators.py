"""The retold formulas of other people's calculators on a row worked out by hand, and that accelerate's code is run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from course_lib.memory import published
from course_lib.memory.published import Measured

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
import calculators

N, LEARNING = 6_738_415_616, 4_194_304  # Llama-2 7B; LoRA of rank 8: 32 blocks x 2 matrices x 8 x (4096 + 4096)
WEIGHTS = 13_476_831_232  # 2 N


@pytest.fixture
def llama() -> Measured:
    """Llama-2 7B with LoRA on queries and values, one text of 1304 tokens, which measured 21.30 GB."""
    return next(row for row in published.complete() if row.title == "llama-2-7b lora r8 1x1304")


@pytest.fixture
def four_bits() -> Measured:
    """The same in NF4 with double quantization."""
    return next(row for row in published.complete() if row.title == "llama-2-7b qlora-nf4-dq r8 1x1304")


@pytest.fixture
def full() -> Measured:
    """TinyLlama, all of whose 1,100,048,384 parameters learn."""
    return next(row for row in published.complete() if row.title == "tinyllama-1.1b full 4x512")


@pytest.mark.parametrize(
    ("calculator", "gigabytes"),
    [
        ("rule_of_16", (WEIGHTS + 16 * LEARNING) / 1e9),
        ("anatomy", (WEIGHTS + 18 * LEARNING) / 1e9),
        ("deepspeed", (WEIGHTS + 20 * LEARNING) / 1e9),
        ("llama_factory", WEIGHTS / 1e9),
        ("can_it_run", 1.2 * (WEIGHTS + 8 * LEARNING) / 1e9),
        # 1304 tokens x 4096 wide x 32 blocks x (34 + 5 x 32 heads x 1304 / 4096 = 84.94) bytes is 14.517 GB.
        ("eleuther", 13.5523 + 14.5173),
        ("playbook", 13.5439 + 14.5173),
    ],
)
def test_a_formula_gives_what_its_documentation_gives_by_hand(
    llama: Measured, calculator: str, gigabytes: float
) -> None:
    assert getattr(calculators, calculator)(llama) / 1e9 == pytest.approx(gigabytes, abs=1e-3)


def test_four_bits_are_half_a_byte(four_bits: Measured) -> None:
    assert calculators.llama_factory(four_bits) == N // 2


def test_full_fine_tuning_counts_every_parameter_as_learning(full: Measured) -> None:
    assert calculators.rule_of_16(full) == 16 * 1_100_048_384
    assert calculators.llama_factory(full) == 8 * 1_100_048_384


def test_gpu_poor_counts_scores_that_a_fused_kernel_never_writes(llama: Measured) -> None:
    # Scores of one block: 1304 x 1304 x 32 heads x 8 bytes = 0.435 GB; of 32 blocks 13.9 GB, more than the weights.
    assert calculators.gpu_poor(llama) / 1e9 > 13.5 + 13.9


def test_accelerates_own_code_answers(llama: Measured, full: Measured) -> None:
    pytest.importorskip("accelerate")
    # Its model has no head: N less 32,000 words of 4096 numbers; in 16 bits, and 8 bytes each with Adam.
    headless = N - 32_000 * 4096
    assert calculators.accelerate_size(llama) == pytest.approx(2 * headless, rel=1e-6)
    assert calculators.accelerate_training(llama) == pytest.approx(8 * headless, rel=1e-6)
    assert calculators.accelerate_size(full) == calculators.accelerate_training(full)


def test_every_calculator_names_its_source_and_what_it_leaves_out() -> None:
    assert len({one.name for one in calculators.CALCULATORS}) == 10
    for one in calculators.CALCULATORS:
        assert one.source, one.name
        assert one.omits, one.name
