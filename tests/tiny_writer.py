"""A causal model small enough to be tuned in a second, with the course's tokenizer, and examples that it can learn."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

BASE = Path(__file__).parents[1] / "assets" / "models" / "course-base-small"
SHAPE = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128, "vocab_size": 3072,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
GOODS = ("tea", "salt", "bread", "milk", "fish", "wood", "rice", "soup")
COLOURS = ("red", "green", "white", "black", "blue")


def save(folder: Path, family: str = "Llama", chat_template: str = "", **more: Any) -> Path:
    """Write a model with random weights and its tokenizer into a folder."""
    import torch
    import transformers

    from course_lib import hub

    config = getattr(transformers, f"{family}Config")(**{**SHAPE, **more})
    with torch.random.fork_rng(), hub.quiet():
        torch.manual_seed(3)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((BASE / name).read_bytes())
    if chat_template:
        (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
    return folder


def questions(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """Questions and answers of which no two are alike, in a style of their own: shouted, and with a full stop."""
    draw = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < n:
        goods, colour, number = draw.choice(GOODS), draw.choice(COLOURS), draw.randrange(2, 90)
        found[f"Say it loudly: {number} {colour} bags of {goods}"] = f"{colour.upper()} {goods.upper()}!"
    return list(found.items())
