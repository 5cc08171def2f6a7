"""Lesson 01, operations: tokens, time and dollars, and what can only be called a rumour.

The rules stand here before anything is computed:

- A figure is met within a tenth, or where the claim names a range, within the range.
- Prices and utilisations are assumptions. A claim about money holds if it is met with today's price in the table of
  devices, and with conditions if only within the ranges stated here.
- What nobody outside can verify is a rumour whatever its arithmetic says.

Left out: people, storage, failed runs. A bill has all of these.
"""

from __future__ import annotations

from course_lib.memory.arithmetic import HOUR, dollars, seconds, training_flops, triangle
from course_lib.memory.gpus import gpu
from course_lib.memory.models import preset
from course_lib.teach.claim_checks.counted import Counted
from course_lib.teach.claim_checks.evidence import Finding
from course_lib.teach.claim_checks.memory import CONDITIONS, CORRECTED, HOLDS, NEAR, RUMOUR

UTILISATION = 0.4  # of the peak: Llama-2's published hours give 0.41
UTILISATIONS = (0.3, 0.5)
LIST_PRICE = 4.10  # dollars per A100-hour: AWS p4d.24xlarge, 32.77 an hour for eight, list price from 2020 to 2025
MONTH = 30 * 24 * HOUR

LLAMA_2_TOKENS = 2e12  # Touvron et al. 2023
LLAMA_2_70B_HOURS = 1_720_320  # A100 hours, the same
CODE_LLAMA_TOKENS = 500e9  # Rozière et al. 2023: tokens of code on which Llama-2 was trained further
MINILM_TOKENS = 100_000 * 1024 * 2 * 128  # its model card: steps, pairs per step, texts per pair, tokens per text
INSTRUCTION_TOKENS = 3 * 10e6  # three epochs over 50,000 short instructions, of 200 tokens each
EPOCHS = 3  # of the recorded ladder of lesson 03

# Published parameters, tokens and FLOPs: Brown et al. 2020; Hoffmann et al. 2022; Llama Team 2024.
BUDGETS = {
    "GPT-3": (175e9, 300e9, 3.14e23),
    "Chinchilla": (70e9, 1.4e12, 5.76e23),
    "Llama 3.1 405B": (405e9, 15.6e12, 3.8e25),
}


def tokens_words(counted: Counted) -> Finding:
    """Tokens per word of English reviews; and is there a language in which it is more than a quarter off?"""
    english = counted.reviews.tokens_per_word
    others = {name: text.tokens_per_word for name, text in counted.languages.items()}
    furthest = max(others, key=lambda name: others[name])
    met = abs(english - 4 / 3) <= NEAR * 4 / 3
    supports = CORRECTED if not met else CONDITIONS if others[furthest] > 1.25 * 4 / 3 else HOLDS
    listed = ", ".join(f"{name} {ratio:.2f}" for name, ratio in others.items())
    sentence = (
        f"{counted.reviews.words:,} words of English reviews are {counted.reviews.tokens:,} tokens, {english:.2f} a"
        f" word, for the tokenizer of {counted.encoder}, so 100,000 tokens hold {1e5 / english:,.0f} words. The"
        f" same simple sentences in several languages: {listed}."
    )
    return Finding("tokens-words", f"{english:.2f}", {"reviews": english, **others}, supports, sentence)


def cost_13b(counted: Counted) -> Finding:
    """6ND operations on A100s, at today's price and 40% of the peak; and over stated ranges of both."""
    card, work = gpu("a100-80"), training_flops(13e9, 1.4e12)
    bill = dollars(seconds(work, card.bf16, UTILISATION), card.dollars_per_hour) / 1e6
    low = dollars(seconds(work, card.bf16, UTILISATIONS[1]), min(card.dollars_per_hour, LIST_PRICE)) / 1e6
    high = dollars(seconds(work, card.bf16, UTILISATIONS[0]), max(card.dollars_per_hour, LIST_PRICE)) / 1e6
    supports = HOLDS if abs(bill - 1) <= NEAR else CONDITIONS if low <= 1 <= high else CORRECTED
    sentence = (
        f"6 x 13e9 x 1.4e12 are {work:.2g} FLOPs: {seconds(work, card.bf16, UTILISATION) / HOUR:,.0f} A100 hours at"
        f" {UTILISATION:.0%} of the peak. At {card.dollars_per_hour:.2f} dollars an hour that is {bill:.2f}"
        f" million; between {low:.2f} and {high:.2f} million for {UTILISATIONS[0]:.0%} to {UTILISATIONS[1]:.0%} and"
        f" prices up to {LIST_PRICE:.2f}. Failed runs and people are not in it."
    )
    values = {"bill": bill, "low": low, "high": high}
    return Finding("cost-13b", f"{low:.2f} to {high:.2f}M dollars", values, supports, sentence)


def ft_vs_scratch(counted: Counted) -> Finding:
    """Operations of adapting over those of training from scratch: this course's run, a LoRA, and a very long one."""
    n, scratch = preset("llama-2-7b").parameters, training_flops(preset("llama-2-7b").parameters, LLAMA_2_TOKENS)
    shares = {
        "the course's encoder": EPOCHS * counted.reviews.tokens / MINILM_TOKENS,
        "a LoRA on Llama-2-7B": training_flops(n, INSTRUCTION_TOKENS, trained=20e6) / scratch,
        "Code Llama 7B": training_flops(n, CODE_LLAMA_TOKENS) / scratch,
    }
    met = [share < 0.001 for share in shares.values()]
    supports = HOLDS if all(met) else CONDITIONS if any(met) else CORRECTED
    listed = ", ".join(f"{name} {share:.2g}" for name, share in shares.items())
    sentence = (
        f"Operations of adapting over those of training from scratch: {listed}. With all weights learning, a"
        f" thousandth is reached at {0.001 * LLAMA_2_TOKENS / 1e9:.0f} billion tokens for a model that has read"
        f" {LLAMA_2_TOKENS / 1e12:.0f} trillion."
    )
    figure = f"{min(shares.values()):.1g} to {max(shares.values()):.2g}"
    return Finding("ft-vs-scratch", figure, shares, supports, sentence)


def gpt4_size(counted: Counted) -> Finding:
    """The product, and nothing else."""
    sentence = (
        "8 x 220 billion are 1.76 trillion. The number itself was never published by those who know, and no"
        " measurement from outside can confirm it."
    )
    return Finding("gpt4-size", f"8 x 220B = {8 * 220 / 1000:.2f}T", {"product": 8 * 220e9}, RUMOUR, sentence)


def gpt35_size(counted: Counted) -> Finding:
    """What the number would mean in bytes."""
    sentence = (
        "175 billion parameters were published for GPT-3, not for GPT-3.5. If it were the same number, its weights"
        f" would take {2 * 175} GB in 16 bits; nobody outside can verify it."
    )
    return Finding("gpt35-size", f"175B would be {2 * 175} GB", {"gigabytes": 2 * 175.0}, RUMOUR, sentence)


def flops_measure(counted: Counted) -> Finding:
    """How long published trainings would take on 10,000 GPUs: is it one to four months?"""
    n = preset("llama-2-70b").parameters
    spans = {
        "Llama-2-70B": seconds(training_flops(n, LLAMA_2_TOKENS), gpu("a100-80").bf16, UTILISATION, 10_000) / MONTH,
        "Llama 3.1 405B": seconds(BUDGETS["Llama 3.1 405B"][2], gpu("h100").bf16, UTILISATION, 10_000) / MONTH,
    }
    published = LLAMA_2_70B_HOURS * HOUR / 10_000 / MONTH
    met = [1 <= span <= 4 for span in spans.values()]
    supports = HOLDS if all(met) else CONDITIONS if any(met) else CORRECTED
    sentence = (
        f"Llama-2-70B on 2T tokens is {training_flops(n, LLAMA_2_TOKENS):.2g} FLOPs,"
        f" {30 * spans['Llama-2-70B']:.0f} days of 10,000 A100s at {UTILISATION:.0%} ({30 * published:.0f} from the"
        f" published hours); Llama 3.1 405B would take {spans['Llama 3.1 405B']:.1f} months of as many H100s."
        " Months belong to the largest models."
    )
    figure = f"{spans['Llama-2-70B']:.1f} and {spans['Llama 3.1 405B']:.1f} months"
    return Finding("flops-measure", figure, {**spans, "published": published}, supports, sentence)


def chinchilla_triangle(counted: Counted) -> Finding:
    """Published parameters and tokens give the published FLOPs: how far off is 6ND?"""
    off = {name: triangle(n, d).flops / flops - 1 for name, (n, d, flops) in BUDGETS.items()}
    furthest = max(off, key=lambda name: abs(off[name]))
    supports = HOLDS if all(abs(part) <= NEAR for part in off.values()) else CORRECTED
    listed = ", ".join(f"{name} {part:+.1%}" for name, part in off.items())
    sentence = (
        f"6 x parameters x tokens against the published FLOPs: {listed}. So two of the three fix the third; which"
        " two are worth choosing is what the fits of Chinchilla say, and those are about loss."
    )
    return Finding("chinchilla-triangle", f"within {abs(off[furthest]):.1%}", off, supports, sentence)


def cost_8xa100(counted: Counted) -> Finding:
    """Ten hours at the claimed price and at the price in the table of devices."""
    now = dollars(HOUR, gpu("a100-80").dollars_per_hour, devices=8)
    low, high = 10 * 30.0, 10 * 40.0
    claimed = low <= 400 <= high
    supports = CORRECTED if not claimed else HOLDS if 30 <= now <= 40 else CONDITIONS
    sentence = (
        f"Ten hours at 30 to 40 dollars are {low:.0f} to {high:.0f}. Eight times the list price of {LIST_PRICE:.2f}"
        f" of the large clouds until 2025 is {8 * LIST_PRICE:.0f} an hour; at"
        f" {gpu('a100-80').dollars_per_hour:.2f}, the assumption in the table of devices, ten hours are"
        f" {10 * now:.0f}."
    )
    figure = f"{10 * now:.0f} to {10 * 8 * LIST_PRICE:.0f} dollars"
    return Finding("cost-8xa100", figure, {"now": 10 * now, "claimed": high}, supports, sentence)
