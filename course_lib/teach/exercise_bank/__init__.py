"""The exercises themselves, one a module: task, hints, solution, and the slips that the check recognises."""

from __future__ import annotations

# The modules of each lesson, in the order of its exercises.
LESSONS = {
    "00": ("words_to_tokens",),
    "01": ("static_state", "checkpointing", "cache_bytes", "zero_share", "training_days"),
    "02": ("few_shot_prompt", "majority_vote", "retrieval_recall", "perplexity", "break_even"),
    "03": ("interval", "trainable", "cache_saving", "macro_f1", "choose_rung"),
    "04": ("learned_tokens", "word_overlap", "packed_attention", "copied_questions", "judge_positions"),
}
