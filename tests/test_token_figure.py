"""Tokens as a figure: what it says about a mask, in words, in borders and in positions."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from course_lib.assets import asset
from course_lib.errors import CourseError
from course_lib.prompts import TEMPLATES, Chat
from course_lib.teach.token_figure import KINDS, MASKS, attention_map, explorer, texts, tokens

BAKER = [
    {"role": "user", "content": "Who bakes for $5?"},
    {"role": "assistant", "content": "Anna <b> & Otto."},
]
SELLER = [
    {"role": "user", "content": "And who sells?"},
    {"role": "assistant", "content": "Nobody."},
    {"role": "user", "content": "Today?\nSay it."},
    {"role": "assistant", "content": "Nobody."},
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(asset("models/course-base"))


@pytest.fixture(scope="module")
def chat(tokenizer: Any) -> Chat:
    return Chat(tokenizer)


def test_the_figure_counts_what_training_counts(chat: Chat) -> None:
    encoded = chat.encode(SELLER)
    shown = tokens(chat, SELLER)
    assert [token.counts for token in shown.examples[0]] == list(encoded.learn)
    assert shown.summary == f"{len(encoded.ids)} tokens, {encoded.learned} of them count."
    assert [token.text for token in shown.examples[0] if token.kind == "end"] == ["<|end|>"] * 2


def test_what_counts_stands_in_brackets_where_there_are_no_borders(chat: Chat) -> None:
    text = str(tokens(chat, BAKER))
    assert "<|begin|><|user|> Who bakes for $5?<|assistant|>[ Anna <b> & Otto.<|end|>]" in text
    assert text.endswith("of them count.")


def test_an_end_that_does_not_count_is_shown_and_its_harm_is_said(chat: Chat) -> None:
    shown = tokens(chat, SELLER, mask="answer without end")
    assert sum(token.counts for token in shown.examples[0]) == chat.encode(SELLER).learned - 2
    assert [token.text for token in shown.examples[0] if token.kind == "lost end"] == ["<|end|>"] * 2
    assert "would not learn to stop" in shown.summary
    assert KINDS["lost end"][-1] in shown.html()


def test_with_everything_all_tokens_count_but_the_first_which_nothing_predicts(chat: Chat) -> None:
    shown = tokens(chat, SELLER, mask="everything")
    assert [token.counts for token in shown.examples[0]] == [False] + [True] * (len(shown.examples[0]) - 1)
    assert "would learn to write them" in shown.summary


def test_positions_begin_anew_in_every_packed_conversation(chat: Chat) -> None:
    shown = tokens(chat, BAKER, SELLER, attention=True)
    lengths = [len(chat.encode(one).ids) for one in (BAKER, SELLER)]
    assert [[token.position for token in one] for one in shown.examples] == [list(range(n)) for n in lengths]
    assert f"{sum(lengths)} tokens in 2 conversations" in shown.summary
    assert "conversation 2" in shown.html()
    assert "Conversation 2, positions 0 to" in str(shown)


def test_the_kinds_differ_without_colour() -> None:
    looks = {(border, weight) for border, _, weight, _ in KINDS.values()}
    assert len(looks) == len(KINDS)


def test_the_html_shows_every_token_with_its_position_and_escapes_it(chat: Chat) -> None:
    shown = tokens(chat, BAKER)
    markup = shown.html()
    assert re.findall(r"opacity:.75\">(\d+)<", markup) == [str(k) for k in range(len(shown.examples[0]))]
    assert "<b>" not in markup.replace("&lt;b&gt;", "")
    assert "<span>$</span>" in markup  # two bare dollar signs would make a formula
    assert markup.count('role="img" aria-label="') == 1
    assert "\N{MIDDLE DOT}bakes" in markup or "\N{MIDDLE DOT}b" in markup
    assert shown.summary in markup
    assert shown.summary not in shown.image()
    assert shown._repr_mimebundle_() == {"text/plain": str(shown), "text/html": markup}


def test_a_character_of_several_tokens_is_whole_in_the_text(tokenizer: Any) -> None:
    ids = tokenizer("zwölf \N{BREAD}s", add_special_tokens=False)["input_ids"]
    found = texts(tokenizer, ids)
    assert len(found) == len(ids)
    assert "".join(found) == "zwölf \N{BREAD}s"
    assert "" in found


def test_a_block_in_a_special_token_is_no_space(tokenizer: Any) -> None:
    made = copy.deepcopy(tokenizer)
    made.add_special_tokens({"additional_special_tokens": ["<end▁of▁answer>"]})
    assert texts(made, [made.convert_tokens_to_ids("<end▁of▁answer>")]) == ["<end▁of▁answer>"]


def test_tokens_that_write_spaces_as_blocks_keep_them() -> None:
    made = Tokenizer(models.BPE(byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    bytes_ = [f"<0x{code:02X}>" for code in range(256)]
    made.train_from_iterator(["Who bakes"], trainers.BpeTrainer(special_tokens=bytes_, show_progress=False))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>")
    ids = tokenizer("Who\nbakes é")["input_ids"]
    assert "".join(texts(tokenizer, ids)) == " Who\nbakes é"


def test_what_a_limit_removes_and_a_template_rewrites_is_said(chat: Chat, tokenizer: Any) -> None:
    size = len(chat.encode(SELLER).ids)
    assert "tokens did not fit." in tokens(chat, SELLER, limit=size - 4).summary
    moving = (
        "{% for m in messages %}{{ '<|' + m.role + '|>' + (m.content if loop.last or m.role == 'user' else 'so') }}"
        "{{ eos_token if m.role == 'assistant' }}{% endfor %}{{ '<|assistant|>' if add_generation_prompt }}"
    )
    assert "1 answers are only read" in tokens(Chat(tokenizer, moving), SELLER).summary


def test_a_map_shows_that_no_token_sees_a_neighbouring_conversation() -> None:
    seen = attention_map([3, 2])
    assert seen.png.startswith(b"\x89PNG")
    assert "9 pairs, of 15 if neighbours were seen as well" in seen.summary  # 3 * 4 / 2 + 2 * 3 / 2 of 5 * 6 / 2
    assert "if neighbours" not in attention_map([4]).summary


def test_the_map_is_drawn_once_for_the_same_lengths() -> None:
    assert attention_map([5, 4]) is attention_map((5, 4))


@pytest.mark.parametrize("lengths", [[], [0, 3], [700]])
def test_a_map_of_nothing_or_too_much_is_refused(lengths: list[int]) -> None:
    with pytest.raises(CourseError, match="at least one token"):
        attention_map(lengths)


def test_a_mask_that_does_not_exist_and_a_text_that_is_too_long_are_refused(chat: Chat) -> None:
    with pytest.raises(CourseError, match="choose one of answer and end"):
        tokens(chat, BAKER, mask="answers")
    with pytest.raises(CourseError, match="A figure has 1 to 600 tokens"):
        tokens(chat, *[SELLER] * 40)
    with pytest.raises(CourseError, match="A figure has 1 to 600 tokens"):
        tokens(chat)


# With controls


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("mask", MASKS)
def test_every_setting_of_the_controls_draws(tokenizer: Any, template: str, mask: str) -> None:
    shown = explorer(tokenizer, {"baker": BAKER, "seller": SELLER})
    for packed in (False, True):
        drawn = shown.at(example="seller", template=template, packed=packed, mask=mask)
        assert len(drawn.examples) == 1 + packed
        assert (drawn.map is not None) == packed


def test_a_moved_control_changes_picture_and_words(tokenizer: Any) -> None:
    shown = explorer(tokenizer, {"baker": BAKER, "seller": SELLER})
    shown.panel()
    before = shown._picture.value
    shown.set(example="seller", packed=True)
    assert shown.values["packed"]
    assert shown._picture.value != before
    assert shown._picture.value == shown.figure.image()
    assert "Example: seller" in shown._status.value
    assert "in 2 conversations" in shown._status.value


def test_what_cannot_be_shown_is_a_sentence(tokenizer: Any) -> None:
    shown = explorer(tokenizer, {"wrong": [*BAKER[:1], {"role": "assistant", "content": "<|end|>"}]})
    assert shown.message.startswith("Not possible: Conversation 1: Message 2 contains")
