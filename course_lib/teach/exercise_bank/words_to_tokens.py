"""The exercise of lesson 00, which is there to show how exercises work."""

from __future__ import annotations

from typing import Any

from course_lib.teach.judging import Exercise, Wrong, close, is_stub, number

WORDS, PER_WORD = 100_000, 1.33

# What people write instead, and what it tells.
SLIPS = (
    (WORDS / PER_WORD, "You divided: that is how many words make 100,000 tokens. A word is more than one token."),
    (WORDS, "That is one token for each word; long and rare words are cut into several tokens."),
    (WORDS * (PER_WORD - 1), "Those are only the tokens beyond one for each word; all of them are asked for."),
    (PER_WORD, "That is the number of tokens of one word; there are 100,000 words."),
    (WORDS * PER_WORD / 1000, "That is the number in thousands; write it out in full."),
    (WORDS * PER_WORD / 4, "Dividing by 4 belongs to counting from characters; here words are counted."),
)


def problems(answer: Any) -> list[str]:
    """What is wrong with a number of tokens."""
    if callable(answer) and not is_stub(answer):
        raise Wrong("A number is asked for here, not a function: `tokens = ...`")
    try:
        tokens = number(answer)
    except Wrong as wrong:
        raise Wrong(f"`tokens` is {wrong}.") from None
    if abs(tokens - WORDS * PER_WORD) <= 0.005 * WORDS * PER_WORD:
        return []
    for value, sentence in SLIPS:
        if close(0.003)(tokens, float(value)):
            return [sentence]
    way = "few" if tokens < WORDS * PER_WORD else "many"
    return [f"{tokens:,.0f} tokens are too {way}: each of the 100,000 words gives 1.33 tokens on average."]


EXERCISE = Exercise(
    id="00-first",
    title="From words to tokens",
    prompt=(
        "Models count tokens, people count words. English text has about 1.33 tokens for each word. How many tokens are"
        " 100,000 words?"
    ),
    stub="tokens = ...",
    hints=(
        "Is the number of tokens larger or smaller than the number of words? A word is one token or several.",
        "One word gives 1.33 tokens, two words give 2.66 tokens; 100,000 words give ...",
        "Multiply: `100_000 * 1.33`",
    ),
    code="tokens = 100_000 * 1.33",
    why=(
        "133,000 tokens. Read the other way round it is the rule that 100,000 tokens are about 75,000 words. The factor"
        " belongs to English and to one tokenizer; other languages need more tokens for the same text."
    ),
    problems=problems,
)
