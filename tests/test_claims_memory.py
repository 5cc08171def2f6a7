"""The checks of lesson 01: each can say yes and no, and says what the numbers say.

Evidence and plans are made up here, so that a verdict can be worked out by hand; the real ones appear in the tests of
the stated verdicts.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from course_lib.memory.arithmetic import GB
from course_lib.memory.gpus import gpu
from course_lib.memory.models import preset
from course_lib.memory.published import rows
from course_lib.teach import claims
from course_lib.teach.claim_checks import counted as counting
from course_lib.teach.claim_checks import lesson01, memory, money
from course_lib.teach.claim_checks.counted import SAME_TEXT, Counted, Text

HOLDS, CONDITIONS, CORRECTED = "holds", "holds with conditions", "corrected"
STEP = {"weights": 2000, "gradients": 2000, "master copy": 4000, "Adam": 8000}


def evidence(**changes: Any) -> Counted:
    """A thousand words in 1,330 tokens, an encoder of 250 parameters in fp32, a step at 16 bytes."""
    whole = Counted(
        reviews=Text(1000, 1330),
        languages={"English": Text(100, 120), "Swahili": Text(100, 240)},
        encoder="an encoder",
        encoder_parameters=250,
        encoder_bytes=1000,
        step_bytes=STEP,
        step_parameters=1000,
    )
    return dataclasses.replace(whole, **changes)


def plans(monkeypatch: pytest.MonkeyPatch, decide: Any) -> None:
    """Plans as ``decide(model, card, options)`` says them: (peak in GB, whether it fits)."""

    def made(model: str, card: str, **options: Any) -> Any:
        peak, fits = decide(model, card, options)
        return SimpleNamespace(
            peak_bytes=int(peak * GB),
            reserved_bytes=int(peak * GB),
            total_params=preset(model).parameters,
            phases={"load": {"weights": 2 * preset(model).parameters}},
            fits=fits,
        )

    monkeypatch.setattr(memory, "_plan", made)


def priced(monkeypatch: pytest.MonkeyPatch, dollars: float) -> None:
    """Let every device cost so much an hour."""
    monkeypatch.setattr(money, "gpu", lambda name: dataclasses.replace(gpu(name), dollars_per_hour=dollars))


# -- what is counted ---------------------------------------------------------------------------------------------------


def test_a_real_step_in_mixed_precision_takes_two_two_four_and_eight_bytes() -> None:
    parts, parameters = counting.mixed_precision_step(width=10)
    assert parameters == 100
    assert parts == {"weights": 200, "gradients": 200, "master copy": 400, "Adam": 800}


def test_memory_that_two_tensors_share_is_counted_once() -> None:
    table = torch.zeros(10, 10)
    assert counting.tensor_bytes([table, table.t(), table[:5]]) == 400
    assert counting.tensor_bytes([table, table.clone()]) == 800


def test_words_are_counted_as_people_count_them() -> None:
    def tokenizer(texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[0] * len(text) for text in texts]}

    assert counting.count(tokenizer, ["Don't stop - it's a well-known song.", "Große Bäume!"]) == Text(8, 48)


def test_the_same_sentences_stand_there_in_every_language() -> None:
    stops = {language: text.count(".") for language, text in SAME_TEXT.items()}
    assert set(stops.values()) == {5}
    assert Text(3, 4).tokens_per_word == pytest.approx(4 / 3)


def test_the_evidence_on_board_comes_from_the_embedded_encoder() -> None:
    found = counting.counted()
    assert (found.encoder_parameters, found.encoder_bytes) == (22_713_216, 90_852_864)
    assert found.bytes_per_parameter == 16
    assert found.reviews.words > 100_000
    assert found.languages["Swahili"].tokens_per_word > 1.5 * found.languages["English"].tokens_per_word


# -- bytes -------------------------------------------------------------------------------------------------------------


def test_fp32_holds_at_four_bytes_and_at_nothing_else() -> None:
    assert memory.bytes_fp32(evidence()).supports == HOLDS
    assert memory.bytes_fp32(evidence(encoder_bytes=500)).supports == CORRECTED


def test_the_14000_gb_come_from_no_sum_of_tensors() -> None:
    finding = memory.train_175b(evidence())
    # 16, 18 and 20 bytes for each of 175 billion
    assert [finding.values[name] for name in ("ZeRO", "Megatron", "MT-NLG")] == [2800, 3150, 3500]
    assert finding.values["the guess as a factor"] == 14_000
    assert (finding.supports, finding.figure) == (CORRECTED, "2,800 to 3,500 GB")


def test_the_14000_gb_would_hold_if_tensors_took_80_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("ZeRO", "Megatron", "MT-NLG", "the guess as a factor")
    monkeypatch.setattr(memory, "accountings", lambda: {name: {"all": 80} for name in names})
    assert memory.train_175b(evidence()).supports == HOLDS


def test_sixteen_bytes_have_conditions_while_there_are_ways_with_less(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = memory.train_16n(evidence())
    assert finding.supports == CONDITIONS
    assert finding.values["measured"] == 16
    assert finding.values["8-bit Adam"] == pytest.approx(2 + 2 + 4 + 2.03, abs=0.01)
    assert finding.values["everything in 16 bits"] == 8
    assert memory.train_16n(evidence(step_bytes=STEP | {"Adam": 2000})).supports == CORRECTED
    monkeypatch.setattr(memory, "training_state", lambda *_: {"all": 16_000_000})
    assert memory.train_16n(evidence()).supports == HOLDS


@pytest.mark.parametrize(
    ("mixed", "pure", "supports"), [(False, False, HOLDS), (False, True, CONDITIONS), (True, True, CORRECTED)]
)
def test_112_gb_are_held_against_the_plans_of_two_precisions(
    mixed: bool, pure: bool, supports: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans(monkeypatch, lambda model, card, options: (60, mixed if options["precision"] == "bf16-mixed" else pure))
    finding = memory.llama7b_112(evidence())
    assert finding.supports == supports
    assert finding.figure == "107.8 GB"  # 16 * 6,738,415,616


def test_the_catalogue_must_have_the_claimed_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.gpu_catalog(evidence()).supports == HOLDS
    monkeypatch.setitem(memory.SOLD, "v100", 24)
    finding = memory.gpu_catalog(evidence())
    assert finding.supports == CORRECTED
    assert "other sizes for v100" in finding.sentence


@pytest.mark.parametrize(("short", "busy", "supports"), [(14, 14.5, HOLDS), (14, 50, CONDITIONS), (20, 50, CORRECTED)])
def test_serving_is_two_bytes_when_a_short_and_a_busy_server_both_are(
    short: float, busy: float, supports: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans(monkeypatch, lambda model, card, options: (busy if options.get("micro_batch") else short, True))
    assert memory.serve_2x(evidence()).supports == supports


@pytest.mark.parametrize(
    ("of_13b", "of_others", "supports"),
    [(900_000, 800_000, HOLDS), (819_200, 65_536, CONDITIONS), (5e6, 5e6, CORRECTED)],
)
def test_a_token_takes_about_a_megabyte(
    of_13b: float, of_others: float, supports: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_cache", lambda name: of_13b if name == "llama-2-13b" else of_others)
    assert memory.kv_13b(evidence()).supports == supports


def test_the_token_of_a_13b_model_is_the_one_worked_out_by_hand() -> None:
    finding = memory.kv_13b(evidence())
    assert finding.values["llama-2-13b"] == pytest.approx(2 * 40 * 5120 * 2 / 1e6)
    assert finding.figure == "0.82 MB"


@pytest.mark.parametrize(("size", "supports"), [(30e9, HOLDS), (36.4e9, CONDITIONS), (42e9, CORRECTED)])
def test_a_70b_model_in_four_bits_needs_room_for_its_cache_too(
    size: float, supports: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "quantized_bytes", lambda model: size)
    assert memory.int4_70b(evidence()).supports == supports


def test_quantized_bytes_are_codes_scales_and_what_stays_in_16_bits() -> None:
    # Llama-2-7B: 32 layers of 4 * 4096^2 + 3 * 4096 * 11008 = 202,375,168 weights at 4.127 bits, 262 M others in 16
    inside = 32 * 202_375_168
    expected = inside * (4 + 8 / 64 + 32 / (64 * 256)) / 8 + 2 * (6_738_415_616 - inside)
    model = preset("llama-2-7b").architecture
    assert memory.quantized_bytes(model) == pytest.approx(expected, rel=1e-4)
    assert memory.quantized_bytes(model, double=False) > memory.quantized_bytes(model)


@pytest.mark.parametrize(
    ("factor", "supports"),
    [
        (1.0, CONDITIONS),  # 13B fits in four bits
        (2.5, HOLDS),  # nothing beyond 7B fits in four bits either
        (9.0, CONDITIONS),  # only in 16 bits
    ],
)
def test_7b_is_the_largest_on_a_t4_only_if_four_bits_agree(
    factor: float, supports: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans(monkeypatch, lambda *_: (5, True))
    real = memory.quantized_bytes
    monkeypatch.setattr(memory, "quantized_bytes", lambda model: factor * real(model))
    assert memory.colab_7b(evidence()).supports == supports


@pytest.mark.parametrize(
    ("helped", "expected"),
    [
        (lambda card: True, HOLDS),
        (lambda card: card == "v100", CONDITIONS),
        (lambda card: False, CORRECTED),
    ],
)
def test_six_cards_must_be_too_few_without_help_and_enough_with_it(
    helped: Any, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decide(model: str, card: str, options: dict[str, Any]) -> tuple[float, bool]:
        if options["method"] == "lora":
            return 14, True
        return 20, bool(options.get("offload")) and helped(card)

    plans(monkeypatch, decide)
    finding = memory.multi_gpu(evidence())
    assert finding.supports == expected
    assert "v100 20.0 GB each (does not fit)" in finding.sentence


@pytest.mark.parametrize(("size", "supports"), [(0.09e9, CORRECTED), (0.7e9, HOLDS), (3e9, CORRECTED)])
def test_an_encoder_of_about_a_gigabyte_is_between_half_and_two(size: float, supports: str) -> None:
    assert memory.embedding_1gb(evidence(encoder_bytes=int(size))).supports == supports


def test_a_lora_on_7b_is_corrected_by_the_plan_and_by_the_published_run(monkeypatch: pytest.MonkeyPatch) -> None:
    plans(monkeypatch, lambda *_: (20.2, True))
    finding = memory.lora_14gb(evidence())
    assert (finding.supports, finding.figure) == (CORRECTED, "20.2 GB")
    assert "13.5 GB are the weights" in finding.sentence
    assert "21.3 GB were measured and published" in finding.sentence
    plans(monkeypatch, lambda *_: (14.4, True))
    assert memory.lora_14gb(evidence()).supports == CORRECTED, "the plan alone is not enough"
    less = dataclasses.replace(memory.published_lora(), bytes=14_200_000_000)
    monkeypatch.setattr(memory, "published_lora", lambda: less)
    assert memory.lora_14gb(evidence()).supports == HOLDS


def test_the_published_runs_are_those_of_the_courses_own_table() -> None:
    row = memory.published_lora()
    assert (row.recipe.micro_batch, row.recipe.seq_len, row.recipe.rank) == (1, 1304, 8)
    assert (row.recipe.checkpointing, row.recipe.targets) == (False, "qv")
    (answering,) = [row for row in rows() if (row.model, row.method) == ("llama-2-70b", "inference")]
    assert answering.bytes == memory.PUBLISHED_70B_NF4 * GB


# -- operations and money ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "foreign", "supports"), [(1330, 140, HOLDS), (1330, 240, CONDITIONS), (2000, 240, CORRECTED)]
)
def test_tokens_per_word_are_held_against_english_and_another_language(
    tokens: int, foreign: int, supports: str
) -> None:
    found = evidence(reviews=Text(1000, tokens), languages={"English": Text(100, 120), "Swahili": Text(100, foreign)})
    assert money.tokens_words(found).supports == supports


def test_the_bill_of_a_13b_model_is_the_one_worked_out_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # 6 * 13e9 * 1.4e12 / (312e12 * 0.4) = 875 million seconds, 243,056 hours
    priced(monkeypatch, 4.0)
    finding = money.cost_13b(evidence())
    assert finding.values["bill"] == pytest.approx(243_055.6 * 4 / 1e6, rel=1e-6)
    assert finding.supports == HOLDS
    priced(monkeypatch, 2.5)
    assert money.cost_13b(evidence()).supports == CONDITIONS
    monkeypatch.setattr(money, "LIST_PRICE", 0.5)
    priced(monkeypatch, 0.5)
    assert money.cost_13b(evidence()).supports == CORRECTED


def test_adapting_is_cheap_until_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = money.ft_vs_scratch(evidence())
    assert finding.supports == CONDITIONS
    assert finding.values["Code Llama 7B"] == pytest.approx(0.25)  # 500e9 of 2e12 tokens
    monkeypatch.setattr(money, "CODE_LLAMA_TOKENS", 1e9)
    assert money.ft_vs_scratch(evidence()).supports == HOLDS
    for name in ("CODE_LLAMA_TOKENS", "INSTRUCTION_TOKENS"):
        monkeypatch.setattr(money, name, 1e12)
    assert money.ft_vs_scratch(evidence(reviews=Text(10**9, 10**9))).supports == CORRECTED


def test_a_rumour_stays_one_whatever_the_evidence() -> None:
    for check in (money.gpt4_size, money.gpt35_size):
        assert check(evidence()).supports == "rumour"
    assert money.gpt4_size(evidence()).figure == "8 x 220B = 1.76T"


@pytest.mark.parametrize(("tokens", "supports"), [(2e12, CONDITIONS), (12e12, HOLDS)])
def test_months_on_ten_thousand_devices_are_asked_of_a_small_and_a_large_model(
    tokens: float, supports: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(money, "LLAMA_2_TOKENS", tokens)
    assert money.flops_measure(evidence()).supports == supports


def test_months_are_corrected_where_no_model_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(money, "MONTH", money.MONTH * 100)
    assert money.flops_measure(evidence()).supports == CORRECTED


def test_the_days_of_llama_2_are_near_those_of_its_published_hours() -> None:
    values = money.flops_measure(evidence()).values
    assert values["published"] * 30 == pytest.approx(1_720_320 / 10_000 / 24)
    assert values["Llama-2-70B"] == pytest.approx(values["published"], rel=0.1)


def test_the_triangle_is_held_against_published_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = money.chinchilla_triangle(evidence())
    assert finding.supports == HOLDS
    assert finding.values["Chinchilla"] == pytest.approx(6 * 70e9 * 1.4e12 / 5.76e23 - 1)
    monkeypatch.setitem(money.BUDGETS, "another", (1e9, 1e9, 1e18))
    assert money.chinchilla_triangle(evidence()).supports == CORRECTED


@pytest.mark.parametrize(("price", "supports"), [(4.5, HOLDS), (2.5, CONDITIONS), (9.0, CONDITIONS)])
def test_eight_devices_cost_what_the_table_says(price: float, supports: str, monkeypatch: pytest.MonkeyPatch) -> None:
    priced(monkeypatch, price)
    finding = money.cost_8xa100(evidence())
    assert finding.supports == supports
    assert finding.values["now"] == pytest.approx(80 * price)


# -- all of them -------------------------------------------------------------------------------------------------------


def test_every_claim_of_the_lesson_is_checked_with_the_notebooks_own_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    plans(monkeypatch, lambda *_: (20, False))
    findings = claims.check_all("01", evidence())
    assert {finding.id for finding in findings} == set(lesson01.CHECKS)
    for finding in findings:
        assert finding.sentence.endswith("."), finding.id
        assert finding.values, finding.id
        assert "an encoder" not in finding.figure
