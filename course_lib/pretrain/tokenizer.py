"""A tokenizer of our own: byte-level byte-pair encoding, learned from the corpus.

Every text is first its bytes, so nothing is unknown. Then the most frequent pair of neighbours becomes one token,
time and again, until there are as many tokens as wanted (Sennrich et al. 2016; on bytes: Radford et al. 2019). Words
that the world uses often become one token, rare names stay in pieces. Digits stay apart ("42" is "4", "2"): a model
that sees numbers as digits can learn to add (Nogueira et al. 2021).

The special tokens are distinct: padding is not the end, or a model whose padding is left out of the loss would never
learn to stop. Those of a conversation are reserved here and learned in lesson 04, as is the chat template.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BEGIN, END = "<|pad|>", "<|begin|>", "<|end|>"
CHAT = ("<|system|>", "<|user|>", "<|assistant|>")
RESERVED = tuple(f"<|reserved_{k}|>" for k in range(6))
SPECIAL = (PAD, BEGIN, END, *CHAT, *RESERVED)


def train_tokenizer(texts: Iterable[str], entries: int, positions: int) -> PreTrainedTokenizerFast:
    """A tokenizer with ``entries`` tokens in all; it puts <|begin|> before every text.

    ``positions`` is the longest text, in tokens, that the model will take.
    """
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=entries,
        min_frequency=2,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[*CHAT, *RESERVED],
        padding_side="left",
        model_max_length=positions,
        clean_up_tokenization_spaces=False,
    )
