"""Lesson 04: what talks say about instruction tuning, held against small models trained on a small world's tasks.

A verdict follows from rules that stand here before anything is measured:

- One model beats another when the paired test over the same test items says p < 0.05; items of all tasks count so that
  every task weighs the same.
- A prompt is the best of three; its p against the bare question counts threefold, and tuning has to beat that best.
- A claim of two parts holds if both are found, with conditions if one is, and has to be corrected if none is.
- A model follows instructions when nine in ten of its answers have the form that was asked for.
- A thousand examples are enough when several times as many are not shown to be better.
- A judge is worth its price when the 95% interval of its agreement with the exact metric lies above the best judge that
  does not read the answers.
- A settled order foretells another when their rank correlation is positive beyond chance (exact permutation test).
- Evidence that lacks a model, or tested on too few items, gives no verdict and says what is missing.

The checks are in `learned`, `procedure` and, where nothing has to be trained, `worked`. Left out: other models. What is
shown here is shown for models of three and six million parameters.
"""

from __future__ import annotations

from course_lib.teach.claim_checks import learned, procedure, worked
from course_lib.teach.claim_checks.tuned import Recorded, recorded


def default_evidence() -> Recorded:
    """The recorded measurements on the course's models."""
    return recorded()


CHECKS = {
    "sft-beats-prompt": learned.sft_beats_prompt,
    "sft-100-1000": learned.sft_100_1000,
    "quality-over-size": learned.quality_over_size,
    "forgetting": learned.forgetting,
    "jinja-templates": worked.jinja_templates,
    "openai-format": worked.openai_format,
    "self-instruct": procedure.self_instruct,
    "domain-adaptation": procedure.domain_adaptation,
    "tokenizer-match": procedure.tokenizer_match,
    "smallest-first": procedure.smallest_first,
    "eval-early": procedure.eval_early,
    "judge": procedure.judge,
    "special-beats-general": learned.special_beats_general,
    "one-gpu-one-day": worked.one_gpu_one_day,
}
