"""What lesson 01 counts and measures itself: tokens of real texts, bytes of a real encoder and of a real training step.

Everything here is small enough for any machine: a tokenizer over the course's reviews, one file of weights, one matrix
that is trained for one step. `counted()` puts it together from what is on board, and is the evidence that the checks
of lesson 01 use when the notebook brings none of its own.

Left out: a tokenizer trained on many languages. The one on board was trained on English, and that is the point.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WORD = re.compile(r"\w+(?:['’-]\w+)*")

# The same few sentences three times, written for this course: English, a relative of it, and a language far from it.
SAME_TEXT: Mapping[str, str] = {
    "English": (
        "In the morning the mother went to the market to buy vegetables and fruit. The children stayed at home and"
        " read their books. When the sun was hot, they sat under a big tree and drank cold water. In the evening"
        " the father came back from the field, and the whole family ate together. After the meal the grandmother"
        " told them the story of the hare and the lion."
    ),
    "German": (
        "Am Morgen ging die Mutter auf den Markt, um Gemüse und Obst zu kaufen. Die Kinder blieben zu Hause und"
        " lasen ihre Bücher. Als die Sonne heiß war, setzten sie sich unter einen großen Baum und tranken kaltes"
        " Wasser. Am Abend kam der Vater vom Feld zurück, und die ganze Familie aß zusammen. Nach dem Essen"
        " erzählte ihnen die Großmutter die Geschichte vom Hasen und vom Löwen."
    ),
    "Swahili": (
        "Asubuhi mama alikwenda sokoni kununua mboga na matunda. Watoto walibaki nyumbani wakisoma vitabu vyao. Jua"
        " lilipokuwa kali, walikaa chini ya mti mkubwa na kunywa maji baridi. Jioni baba alirudi kutoka shambani,"
        " na familia yote ikala chakula pamoja. Baada ya chakula bibi aliwasimulia hadithi ya sungura na simba."
    ),
}


@dataclass(frozen=True)
class Text:
    """How long texts are: in words, and in tokens without the ones that mark beginning and end."""

    words: int
    tokens: int

    @property
    def tokens_per_word(self) -> float:
        """How many tokens a word is on average."""
        return self.tokens / self.words


@dataclass(frozen=True)
class Counted:
    """The evidence of lesson 01. ``languages`` counts the same sentences in each; bytes are those of real tensors."""

    reviews: Text
    languages: Mapping[str, Text]
    encoder: str
    encoder_parameters: int
    encoder_bytes: int
    step_bytes: Mapping[str, int]  # of one training step in mixed precision, by part
    step_parameters: int

    @property
    def bytes_per_parameter(self) -> float:
        """Of the training step."""
        return sum(self.step_bytes.values()) / self.step_parameters


def count(tokenizer: Any, texts: Iterable[str]) -> Text:
    """Words and tokens of some texts. A word is letters and digits, an apostrophe or hyphen within included."""
    texts = list(texts)
    encoded = tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    return Text(sum(len(WORD.findall(text)) for text in texts), sum(len(ids) for ids in encoded))


def tensor_bytes(tensors: Iterable[Any]) -> int:
    """Bytes of the memory behind tensors, shared memory once."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def mixed_precision_step(width: int = 1000) -> tuple[dict[str, int], int]:
    """One step of a width x width matrix in bf16 with an fp32 master copy and AdamW: bytes by part, and parameters.

    Source of the recipe: Micikevicius et al. 2018. Left out: the fp32 gradient, which lives for the step only.
    """
    import torch

    layer = torch.nn.Linear(width, width, bias=False, dtype=torch.bfloat16)
    master = layer.weight.detach().float().requires_grad_()
    adam = torch.optim.AdamW([master])
    layer(torch.ones(2, width, dtype=torch.bfloat16)).sum().backward()
    gradient = layer.weight.grad
    assert gradient is not None
    master.grad = gradient.float()
    adam.step()
    master.grad = None
    layer.weight.data.copy_(master)
    moments = [value for value in adam.state[master].values() if value.numel() > 1]
    parts = {"weights": [layer.weight], "gradients": [gradient], "master copy": [master], "Adam": moments}
    return {name: tensor_bytes(tensors) for name, tensors in parts.items()}, layer.weight.numel()


def evidence(name: str, model: Any, tokenizer: Any, texts: Sequence[str]) -> Counted:
    """The evidence from an encoder, its tokenizer, and English texts."""
    parts, parameters = mixed_precision_step()
    return Counted(
        reviews=count(tokenizer, texts),
        languages={language: count(tokenizer, [text]) for language, text in SAME_TEXT.items()},
        encoder=name,
        encoder_parameters=sum(parameter.numel() for parameter in model.parameters()),
        encoder_bytes=tensor_bytes(model.parameters()),
        step_bytes=parts,
        step_parameters=parameters,
    )


@functools.cache
def counted() -> Counted:
    """The evidence from what is on board: the embedded encoder and the texts of all reviews."""
    from course_lib import hub, records

    split = records.load("reviews")
    return evidence("MiniLM", *hub.load_encoder("minilm"), [*split.train.texts, *split.test.texts])
