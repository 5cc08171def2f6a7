"""Chat templates token by token: what is learned, that generation sees what training saw, and what is refused."""

from __future__ import annotations

import copy
import functools
from itertools import groupby
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from course_lib.assets import asset
from course_lib.errors import CourseError
from course_lib.prompts import TEMPLATES, Chat, Encoded

SAID = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who bakes?"},
    {"role": "assistant", "content": "Anna."},
    {"role": "user", "content": "And who sells?"},
    {"role": "assistant", "content": "Otto, on Monday.\n\nNobody else."},
]
UNSAID = SAID[1:]  # without the system message
LETTERS = sorted({chr(code) for code in range(32, 127)} | {"\n", "▁"})
MARKS = {
    "chatml": {"bos_token": None, "eos_token": "<|im_end|>", "more": ["<|im_start|>"]},
    "llama2": {"bos_token": "<s>", "eos_token": "</s>", "more": []},
    "llama3": {
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|end_of_text|>",
        "more": ["<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"],
    },
    "zephyr": {"bos_token": "<s>", "eos_token": "</s>", "more": []},
    "course": {"bos_token": "<|begin|>", "eos_token": "<|end|>", "more": ["<|system|>", "<|user|>", "<|assistant|>"]},
    "plain": {"bos_token": None, "eos_token": "<|endoftext|>", "more": []},
}
CUTS = ("bytes", "first", "always", "legacy", "unigram", "glued")


def cutter(kind: str) -> tuple[Tokenizer, Any]:
    """An untrained tokenizer that cuts texts in one of six ways, and a trainer for it."""
    common: dict[str, Any] = {"vocab_size": 420, "show_progress": False}
    if kind == "bytes":  # as GPT's
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        return made, trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **common)
    common |= {"initial_alphabet": LETTERS, "special_tokens": ["<unk>"]}
    lines = pre_tokenizers.Split("\n", "isolated")  # as where a line break is a byte
    if kind == "unigram":  # as T5's
        made, trainer = Tokenizer(models.Unigram()), trainers.UnigramTrainer(unk_token="<unk>", **common)
    else:
        made, trainer = Tokenizer(models.BPE(unk_token="<unk>")), trainers.BpeTrainer(**common)
    if kind == "glued":  # tokens reach over spaces and lines, so that borders have to be kept by force
        made.normalizer = normalizers.Replace(" ", "▁")
    else:
        space = pre_tokenizers.Metaspace(prepend_scheme="always" if kind == "always" else "first")
        made.pre_tokenizer = space if kind == "joined" else pre_tokenizers.Sequence([lines, space])
    made.decoder = decoders.Metaspace(prepend_scheme="first")
    return made, trainer


@functools.cache
def built(kind: str, family: str = "chatml", **given: Any) -> Any:
    """A tokenizer of this kind with the special tokens of a family."""
    made, trainer = cutter(kind)
    texts = [f"{turn['content']} ### Response:\nAnna\n\nOtto [INST] <|user|>\nYes" for turn in SAID] * 4
    made.train_from_iterator(texts, trainer)
    if kind == "legacy":  # as Llama 2's: words are found by spaces while training only
        made.pre_tokenizer = None
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    marks = MARKS[family] | given
    more = {} if kind == "bytes" else {"unk_token": "<unk>"}
    specials = more | {name: token for name, token in marks.items() if token and name != "more"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, **specials)
    tokenizer.add_special_tokens({"additional_special_tokens": list(marks["more"])})
    return tokenizer


def with_template(template: str, family: str = "chatml") -> Chat:
    """A chat with a template of the tokenizer's own."""
    tokenizer = copy.deepcopy(built("bytes", family))
    tokenizer.chat_template = template
    return Chat(tokenizer)


@functools.cache
def course() -> Any:
    return AutoTokenizer.from_pretrained(asset("models/course-base"))


def spelled(tokenizer: Any, ids: tuple[int, ...]) -> str:
    """The text of some ids, with every space that stands in the tokens."""
    tokens = tokenizer.convert_ids_to_tokens(list(ids))
    if any("▁" in token for token in tokenizer.get_vocab()):
        return "".join(tokens).replace("▁", " ")
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


def runs(chat: Chat, encoded: Encoded) -> list[tuple[str, bool]]:
    """The text in runs of tokens that are learned and that are not."""
    at, found = 0, []
    for learn, run in groupby(encoded.learn):
        count = len(list(run))
        found.append((spelled(chat.tokenizer, encoded.ids[at : at + count]), learn))
        at += count
    return found


def learned(chat: Chat, encoded: Encoded) -> list[str]:
    """The texts that are learned, one for each answer."""
    return [text for text, learn in runs(chat, encoded) if learn]


def written(encoded: Encoded, chat: Chat) -> str:
    """The text of a conversation as it was encoded."""
    return spelled(chat.tokenizer, encoded.ids)


# What each family writes, by hand: (text, learned)

ANSWERS = ("Anna.", "Otto, on Monday.\n\nNobody else.")
EXPECTED = {
    "chatml": [
        ("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho bakes?<|im_end|>\n<|im_start|>assistant\n", 0),
        (f"{ANSWERS[0]}<|im_end|>", 1),
        ("\n<|im_start|>user\nAnd who sells?<|im_end|>\n<|im_start|>assistant\n", 0),
        (f"{ANSWERS[1]}<|im_end|>", 1),
    ],
    "llama2": [
        ("<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWho bakes? [/INST]", 0),
        (f" {ANSWERS[0]} </s>", 1),
        ("<s>[INST] And who sells? [/INST]", 0),
        (f" {ANSWERS[1]} </s>", 1),
    ],
    "llama3": [
        (
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nWho bakes?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            0,
        ),
        (f"{ANSWERS[0]}<|eot_id|>", 1),
        (
            "<|start_header_id|>user<|end_header_id|>\n\nAnd who sells?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            0,
        ),
        (f"{ANSWERS[1]}<|eot_id|>", 1),
    ],
    "zephyr": [
        ("<|system|>\nBe brief.</s>\n<|user|>\nWho bakes?</s>\n<|assistant|>\n", 0),
        (f"{ANSWERS[0]}</s>", 1),
        ("\n<|user|>\nAnd who sells?</s>\n<|assistant|>\n", 0),
        (f"{ANSWERS[1]}</s>", 1),
    ],
    "course": [
        ("<|system|> Be brief.<|user|> Who bakes?<|assistant|>", 0),
        (f" {ANSWERS[0]}<|end|>", 1),
        ("<|user|> And who sells?<|assistant|>", 0),
        (f" {ANSWERS[1]}<|end|>", 1),
    ],
    "plain": [
        ("Be brief.\n\n### Instruction:\nWho bakes?\n\n### Response:\n", 0),
        (f"{ANSWERS[0]}<|endoftext|>", 1),
        ("\n\n### Instruction:\nAnd who sells?\n\n### Response:\n", 0),
        (f"{ANSWERS[1]}<|endoftext|>", 1),
    ],
}


@pytest.mark.parametrize("kind", CUTS)
@pytest.mark.parametrize("family", TEMPLATES)
def test_every_token_of_every_family_is_learned_or_not_as_written_by_hand(family: str, kind: str) -> None:
    chat = Chat(built(kind, family), family)
    encoded = chat.encode(SAID)
    assert chat.text(SAID) == "".join(text for text, _ in EXPECTED[family])
    found = [(text, int(learn)) for text, learn in runs(chat, encoded)]
    if kind == "bytes":
        assert found == EXPECTED[family]
    else:  # some of these put a space in front of a text
        assert [(text.replace(" ", ""), learn) for text, learn in found] == [
            (text.replace(" ", ""), learn) for text, learn in EXPECTED[family]
        ]


@pytest.mark.parametrize("kind", CUTS)
@pytest.mark.parametrize("family", TEMPLATES)
@pytest.mark.parametrize("said", [SAID, UNSAID], ids=["system", "bare"])
def test_training_sees_before_each_answer_exactly_what_generation_sees(family: str, kind: str, said: Any) -> None:
    chat = Chat(built(kind, family), family)
    encoded = chat.encode(said)
    for k, turn in enumerate(said):
        if turn["role"] == "assistant":
            prompt = chat.prompt_ids(said[:k])
            assert list(encoded.ids[: len(prompt)]) == prompt
            assert not encoded.learn[len(prompt) - 1]
            assert encoded.learn[len(prompt)]


@pytest.mark.parametrize("kind", CUTS)
@pytest.mark.parametrize("family", TEMPLATES)
def test_a_prompt_has_the_tokens_that_transformers_gives_it(family: str, kind: str) -> None:
    tokenizer = built(kind, family)
    later = (
        (SAID[:4], UNSAID[:3]) if kind != "glued" else ()
    )  # transformers glues an earlier answer to what surrounds it
    for said in (SAID[:2], UNSAID[:1], *later):
        given = tokenizer.apply_chat_template(
            said, chat_template=TEMPLATES[family], add_generation_prompt=True, return_dict=False
        )
        assert Chat(tokenizer, family).prompt_ids(said) == given


def test_a_line_break_that_would_grow_into_the_answer_stays_in_the_prompt() -> None:
    """Tokenised as a whole, ``:`` and the line break would make a token with the beginning of the answer."""
    chat = Chat(built("glued", "plain"), "plain")
    prompt, encoded = chat.prompt_ids(UNSAID[:1]), chat.encode(UNSAID[:2])
    whole = chat.tokenizer(chat.text(UNSAID[:2]))["input_ids"]
    assert whole[: len(prompt)] != prompt
    assert list(encoded.ids[: len(prompt)]) == prompt
    assert spelled(chat.tokenizer, encoded.ids) == spelled(chat.tokenizer, whole)


def test_an_answer_behind_a_forced_border_does_not_begin_with_a_space_that_nobody_wrote() -> None:
    chat = Chat(built("joined", "plain"), "plain")
    prompt = chat.prompt_ids(UNSAID[:1])
    assert chat.tokenizer(chat.text(UNSAID[:2]))["input_ids"][: len(prompt)] != prompt
    assert chat.tokenizer.convert_ids_to_tokens(chat.tokenizer("Anna.")["input_ids"])[0].startswith("▁")
    assert learned(chat, chat.encode(UNSAID[:2])) == ["Anna.<|endoftext|>"]


def test_spaces_at_the_end_of_a_prompt_are_cut_as_they_are_when_nothing_follows() -> None:
    chat = with_template(
        TURNS.replace("'\\n' + message", "'\\n\\n\\n' + message").replace("assistant\\n", "assistant\\n\\n\\n")
    )
    prompt, encoded = chat.prompt_ids(UNSAID[:1]), chat.encode(UNSAID[:2])
    assert list(encoded.ids[: len(prompt)]) == prompt
    assert learned(chat, encoded) == ["Anna.<|im_end|>"]


@pytest.mark.parametrize("family", TEMPLATES)
def test_what_ends_an_answer_is_learned_when_it_is_also_the_padding(family: str) -> None:
    end = {"llama3": "<|eot_id|>"}.get(family, MARKS[family]["eos_token"])
    tokenizer = built("bytes", family, pad_token=end)
    chat = Chat(tokenizer, family)
    encoded = chat.encode(SAID)
    ends = [learn for token, learn in zip(encoded.ids, encoded.learn, strict=True) if token == tokenizer.pad_token_id]
    assert encoded.learn[-1]
    assert encoded.ids[-1] == tokenizer.pad_token_id
    assert sum(ends) == 2
    if family != "llama3":
        assert any("also the pad token" in problem for problem in chat.problems())


@pytest.mark.parametrize("family", TEMPLATES)
def test_generation_stops_at_the_end_of_an_answer_and_of_a_text(family: str) -> None:
    chat = Chat(built("bytes", family), family)
    end = {"llama3": "<|eot_id|>"}.get(family, MARKS[family]["eos_token"])
    assert chat.end_text == end
    assert chat.stop_ids == {chat.tokenizer.eos_token_id, chat.tokenizer.convert_tokens_to_ids(end)}


# Where a text begins


def test_the_course_begins_a_conversation_as_it_begins_a_document() -> None:
    chat = Chat(course())
    assert chat.name == "course"
    ids = chat.encode(UNSAID).ids
    assert chat.text(UNSAID).startswith("<|begin|><|user|> Who bakes?<|assistant|> Anna.<|end|>")
    assert ids[0] == course()("a")["input_ids"][0]
    assert ids.count(ids[0]) == 1
    assert chat.problems(vocab_size=3072) == []


@pytest.mark.parametrize("family", TEMPLATES)
def test_a_text_never_begins_twice(family: str) -> None:
    tokenizer = built("first", "llama2", bos_token="<s>")
    assert Chat(tokenizer, family).begin == ""
    adding = copy.deepcopy(tokenizer)
    adding._tokenizer.post_processor = TemplateProcessing("<s> $A", special_tokens=[("<s>", adding.bos_token_id)])
    chat = Chat(adding, family)
    assert chat.begin == "<s>"
    ids = chat.encode(SAID[:3]).ids
    assert ids[0] == adding.bos_token_id
    assert ids.count(adding.bos_token_id) == 1
    assert chat.plain("Who bakes?", " Anna").ids.count(adding.bos_token_id) == 1
    assert chat.plain("Who bakes?", " Anna").ids[:2] == tuple(adding("Who bakes?")["input_ids"][:2])


# Templates that other people write

TURNS = (
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
THINKING = (
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}"
    "{% if message.role == 'assistant' and not loop.last %}{{ message.content.split('</think>')[-1].lstrip() }}"
    "{% elif message.role == 'assistant' and '</think>' not in message.content %}"
    "{{ '<think>\\n\\n</think>\\n\\n' + message.content }}"
    "{% else %}{{ message.content }}{% endif %}{{ '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}" + TURNS
SILENT_ABOUT_SYSTEM = TURNS.replace("in messages %}", "in messages if message.role != 'system' %}")
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\nYou are a machine.<|im_end|>\\n' }}{% endif %}"
    + TURNS
)
NO_PROMPT = TURNS[: TURNS.index("{% if")]
OPENED = TURNS.replace("assistant\\n", "assistant\\n<think>\\n")
ENDLESS = (
    "{% for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
END_BETWEEN = (
    "{% for message in messages %}{{ message.role + ': ' + message.content }}"
    "{% if not loop.last %}{{ eos_token if message.role == 'assistant' else '\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '\\nassistant:' }}{% endif %}"
)
SYSTEM_LAST = (
    "{% set system = messages[0].content + '\\n' if messages[0].role == 'system' else '' %}"
    "{% for message in messages if message.role != 'system' %}"
    "{% if message.role == 'user' %}"
    "{{ '[INST]' + (system if loop.revindex <= 2 else '') + message.content + '[/INST]' }}"
    "{% else %}{{ message.content + eos_token }}{% endif %}{% endfor %}"
)


def problem(chat: Chat, words: str) -> bool:
    """Whether a problem with these words is reported."""
    return any(words in one for one in chat.problems())


def sees_the_same(chat: Chat, said: Any) -> bool:
    """Whether the last answer stands in training behind what generation sees."""
    prompt, encoded = chat.prompt_ids(said[:-1]), chat.encode(said)
    return list(encoded.ids[: len(prompt)]) == prompt and encoded.learn[len(prompt)]


def test_reasoning_that_a_template_leaves_out_later_is_learned_only_where_it_is_written() -> None:
    chat = with_template(THINKING)
    thought = [
        UNSAID[0],
        {"role": "assistant", "content": "<think>\nbread\n</think>\n\nAnna."},
        UNSAID[2],
        {"role": "assistant", "content": "<think>\nmarket\n</think>\n\nOtto."},
    ]
    encoded = chat.encode(thought)
    assert learned(chat, encoded) == ["<think>\nmarket\n</think>\n\nOtto.<|im_end|>"]
    assert encoded.skipped == 1
    assert "bread" not in chat.text(thought)
    assert learned(chat, chat.encode(thought[:2])) == ["<think>\nbread\n</think>\n\nAnna.<|im_end|>"]
    assert sees_the_same(chat, thought)
    assert problem(chat, "only the last answer")


def test_reasoning_that_a_template_never_writes_is_reported() -> None:
    chat = with_template(TURNS.replace("message.content", "message.content.split('</think>')[-1]"))
    thought = [UNSAID[0], {"role": "assistant", "content": "<think>bread</think>Anna."}]
    assert learned(chat, chat.encode(thought)) == ["Anna.<|im_end|>"]
    assert problem(chat, "never learned")


def test_what_a_template_puts_between_prompt_and_answer_is_learned_because_the_model_has_to_write_it() -> None:
    chat = with_template(THINKING)
    assert learned(chat, chat.encode(UNSAID[:2])) == ["<think>\n\n</think>\n\nAnna.<|im_end|>"]
    assert chat.text(UNSAID[:1], reply=True).endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize("template", [NO_SYSTEM, SILENT_ABOUT_SYSTEM], ids=["raises", "silent"])
def test_a_system_message_that_a_template_does_not_take_goes_in_front_of_the_first_question(template: str) -> None:
    chat = with_template(template)
    assert chat.text(SAID[:2], reply=True) == (
        "<|im_start|>user\nBe brief.\n\nWho bakes?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert learned(chat, chat.encode(SAID)) == [f"{answer}<|im_end|>" for answer in ANSWERS]
    assert sees_the_same(chat, SAID)
    assert problem(chat, "no system message")


def test_a_system_message_that_a_template_adds_is_read_and_not_learned() -> None:
    chat = with_template(DEFAULT_SYSTEM)
    assert "You are a machine." in chat.text(UNSAID)
    assert learned(chat, chat.encode(UNSAID)) == [f"{answer}<|im_end|>" for answer in ANSWERS]
    assert sees_the_same(chat, UNSAID)


def test_a_template_that_does_not_open_the_answer_has_it_opened_and_not_learned() -> None:
    chat = with_template(NO_PROMPT)
    assert chat.text(UNSAID[:1], reply=True) == "<|im_start|>user\nWho bakes?<|im_end|>\n<|im_start|>assistant\n"
    assert learned(chat, chat.encode(SAID)) == [f"{answer}<|im_end|>" for answer in ANSWERS]
    assert sees_the_same(chat, SAID)
    assert problem(chat, "no generation prompt")


def test_a_template_that_opens_answers_as_no_conversation_does_generates_but_is_not_learned_from() -> None:
    chat = with_template(OPENED)
    assert chat.text(UNSAID[:3], reply=True).endswith("<think>\n")
    assert chat.prompt_ids(UNSAID[:3])
    with pytest.raises(CourseError, match=r"opens an answer with '<think>\\n'"):
        chat.encode(UNSAID)
    assert problem(chat, "cannot be learned from")


def test_a_template_without_an_end_gets_the_end_token_behind_every_answer() -> None:
    chat = with_template(ENDLESS, "plain")
    assert learned(chat, chat.encode(SAID)) == [f" {answer}<|endoftext|>" for answer in ANSWERS]
    assert sees_the_same(chat, SAID)
    assert problem(chat, "would not stop")


def test_an_end_that_is_written_between_turns_only_is_written_once_everywhere() -> None:
    chat = with_template(END_BETWEEN, "plain")
    assert learned(chat, chat.encode(SAID)) == [f" {answer}<|endoftext|>" for answer in ANSWERS]
    assert chat.text(SAID).count("<|endoftext|>") == 2
    assert sees_the_same(chat, SAID)


def test_an_end_that_is_no_token_of_the_tokenizer_is_reported_and_a_token_put_before_it() -> None:
    chat = Chat(built("bytes", "plain"), "chatml")
    assert learned(chat, chat.encode(SAID)) == [f"{answer}<|endoftext|>" for answer in ANSWERS]
    assert sees_the_same(chat, SAID)
    assert problem(chat, "<|im_end|>, which is no token")
    assert problem(chat, "<|im_start|> (")
    assert problem(chat, "text in pieces")


def test_a_template_that_moves_the_system_message_has_its_last_answer_learned() -> None:
    chat = with_template(SYSTEM_LAST, "llama2")
    encoded = chat.encode(SAID)
    assert learned(chat, encoded) == [f"{ANSWERS[1]}</s>"]
    assert encoded.skipped == 1
    assert sees_the_same(chat, SAID)
    assert problem(chat, "only the last answer")
    assert learned(chat, chat.encode(UNSAID)) == [f"{answer}</s>" for answer in ANSWERS]


def test_a_template_that_refuses_a_conversation_says_why() -> None:
    chat = with_template("{{ raise_exception('ask in verse') if messages[0].content == 'Who bakes?' }}" + TURNS)
    with pytest.raises(CourseError, match="cannot write this conversation: ask in verse"):
        chat.encode(UNSAID)


def test_a_template_that_takes_one_question_only_is_reported_and_one_that_fails_is_refused() -> None:
    single = "{% if messages | length > 3 %}{{ raise_exception('one only') }}{% endif %}" + TEMPLATES["chatml"]
    assert problem(with_template(single), "takes one question only")
    with pytest.raises(CourseError, match="cannot write this conversation"):
        with_template("{% for k in range(10 ** 9) %}{% endfor %}" + TEMPLATES["chatml"]).text(SAID[:2], reply=True)


def test_a_tokenizer_with_several_templates_uses_the_default_one() -> None:
    tokenizer = copy.deepcopy(built("bytes"))
    tokenizer.chat_template = {"default": TURNS, "tool_use": "other"}
    assert Chat(tokenizer).template == TURNS


# Which template


def test_a_template_is_chosen_by_the_special_tokens_there_are() -> None:
    assert {family: Chat(built("bytes", family)).name for family in TEMPLATES} == {
        "course": "course",
        "chatml": "chatml",
        "llama2": "plain",
        "llama3": "plain",
        "zephyr": "plain",
        "plain": "plain",
    }
    assert with_template(TURNS).name == "own"
    assert Chat(built("bytes"), TURNS).template == TURNS


def test_a_tokenizer_without_a_template_of_its_own_says_so() -> None:
    with pytest.raises(CourseError, match="has no chat template; choose one of"):
        Chat(built("bytes"), "own")


def test_a_template_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(CourseError, match="no chat template 'vicuna'; choose one of course, chatml"):
        Chat(built("bytes"), "vicuna")


def test_a_tokenizer_without_an_end_token_cannot_use_a_template_that_needs_one() -> None:
    with pytest.raises(CourseError, match="set its eos_token"):
        Chat(built("bytes", "plain", eos_token=None), "plain")


def test_a_stored_template_is_the_one_that_was_trained_with() -> None:
    tokenizer = copy.deepcopy(course())
    tokenizer.chat_template = Chat(tokenizer).template
    again = Chat(tokenizer)
    assert again.name == "own"
    assert again.encode(SAID) == Chat(course()).encode(SAID)
    given = tokenizer.apply_chat_template(SAID[:2], add_generation_prompt=True, return_dict=False)
    assert again.prompt_ids(SAID[:2]) == given


# Limits

LONG = [
    {"role": "system", "content": "Be brief."},
    *[
        {"role": role, "content": f"{text} {k}"}
        for k in range(6)
        for role, text in (("user", "Who bakes bread on day"), ("assistant", "It is Anna, as on day"))
    ],
]


@pytest.mark.parametrize("family", TEMPLATES)
def test_a_long_conversation_loses_its_oldest_turns_and_keeps_system_message_and_last_answer(family: str) -> None:
    chat = Chat(built("bytes", family), family)
    whole = chat.encode(LONG)
    limit = len(whole.ids) // 2
    short = chat.encode(LONG, limit)
    text = written(short, chat)
    assert len(short.ids) <= limit
    assert short.cut == len(whole.ids) - len(short.ids)
    assert "Be brief." in text
    assert learned(chat, short) == learned(chat, whole)[-len(learned(chat, short)) :]
    assert "day 0" not in text
    assert text == chat.text([LONG[0], *LONG[1:][-2 * len(learned(chat, short)) :]])


@pytest.mark.parametrize("family", TEMPLATES)
@pytest.mark.parametrize("over", [1, 7, 60, 200])
def test_a_long_question_loses_its_middle_and_no_answer_loses_anything(family: str, over: int) -> None:
    chat = Chat(built("bytes", family), family)
    question = "Read this. " + "The baker sold nine loaves before noon. " * 30 + "Who sold them?"
    said = [SAID[0], {"role": "user", "content": question}, SAID[-1]]
    whole = chat.encode(said)
    short = chat.encode(said, len(whole.ids) - over)
    assert learned(chat, short) == learned(chat, whole)
    assert len(whole.ids) - over - 12 <= len(short.ids) <= len(whole.ids) - over
    text = written(short, chat)
    assert "Read this. The baker" in text
    assert " ... " in text
    assert "Who sold them?" in text


def test_an_answer_that_does_not_fit_is_refused_with_its_length() -> None:
    chat = Chat(course())
    said = [UNSAID[0], {"role": "assistant", "content": "bread " * 50}]
    with pytest.raises(CourseError, match=r"The answer has 51 tokens .* fit into 40 tokens"):
        chat.encode(said, 40)
    assert chat.encode(said, 60).learned == 51


def test_system_message_and_question_are_both_shortened_when_one_is_not_enough() -> None:
    chat = Chat(course())
    said = [{"role": role, "content": "many words " * 40} for role in ("system", "user")] + [SAID[2]]
    assert len(chat.encode(said, 40).ids) <= 40


def test_a_prompt_is_shortened_as_training_shortens_it() -> None:
    chat = Chat(course())
    assert len(chat.prompt_ids(LONG[:-1], 30)) <= 30
    with pytest.raises(CourseError, match="The prompt does not fit into 5 tokens"):
        chat.prompt_ids(LONG[:-1], 5)


# Many at once


@pytest.mark.parametrize("family", TEMPLATES)
@pytest.mark.parametrize("kind", ["bytes", "glued"])
def test_many_conversations_at_once_give_what_each_gives_alone(family: str, kind: str) -> None:
    chat = Chat(built(kind, family), family)
    many = [SAID, UNSAID, SAID[:3], LONG, UNSAID[:2], SAID]
    assert chat.encode_all(many) == [chat.encode(one) for one in many]
    limit = len(chat.encode([LONG[0], *LONG[-2:]]).ids) + 1
    assert chat.encode_all(many, limit) == [chat.encode(one, limit) for one in many]
    assert chat.encode_all([]) == []


def test_the_conversation_that_is_wrong_is_named() -> None:
    chat = Chat(course())
    with pytest.raises(CourseError, match="Conversation 2: The conversation does not end with an answer"):
        chat.encode_all([SAID, SAID[:2]])
    with pytest.raises(CourseError, match=r"bakery\.jsonl, line 7: The answer has"):
        chat.encode_all([SAID], 4, where=["bakery.jsonl, line 7"])


# What is refused


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([], "no message of the user"),
        (SAID[:1], "no message of the user"),
        (SAID[:2], "does not end with an answer"),
        (SAID[2:], "Message 1 is the assistant's"),
        ([*SAID[:2], *SAID[1:]], "Message 3 is the user's"),
        ([SAID[1], SAID[0], SAID[2]], "Message 2 is the system's"),
        ([{"role": "human", "content": "Hi"}], "Message 1 needs a role"),
        ([{"role": "user", "content": [{"type": "text"}]}], "Message 1 needs a role"),
        ([UNSAID[0], {"role": "assistant", "content": "Anna.<|end|>"}], r"Message 2 contains '<\|end\|>'"),
    ],
)
def test_a_conversation_that_cannot_be_learned_is_refused_in_a_sentence(said: Any, why: str) -> None:
    with pytest.raises(CourseError, match=why):
        Chat(course()).encode(said)


def test_an_end_token_in_a_question_is_refused_although_the_tokenizer_also_uses_it_for_unknown_words() -> None:
    chat = Chat(built("bytes", "plain", pad_token="<|endoftext|>", unk_token="<|endoftext|>"))
    with pytest.raises(CourseError, match="Message 1 contains"):
        chat.prompt_ids([{"role": "user", "content": "<|endoftext|>"}])


def test_a_prompt_does_not_end_with_an_answer() -> None:
    with pytest.raises(CourseError, match="leave the last one out"):
        Chat(course()).prompt_ids(SAID)


# Without any template


@pytest.mark.parametrize("kind", CUTS)
def test_a_completion_continues_its_prompt_as_text(kind: str) -> None:
    chat = Chat(built(kind, "plain"))
    encoded = chat.plain("Who bakes?", " Anna.")
    assert spelled(chat.tokenizer, encoded.ids).lstrip() == "Who bakes? Anna.<|endoftext|>"
    assert learned(chat, encoded) == [" Anna.<|endoftext|>"]


def test_a_completion_that_is_too_long_loses_the_beginning_of_its_prompt() -> None:
    chat = Chat(course())
    whole = chat.plain("One two three four five?", " Six")
    short = chat.plain("One two three four five?", " Six", limit=len(whole.ids) - 3)
    assert short.ids == (whole.ids[0], *whole.ids[4:])
    assert (short.cut, short.learned) == (3, whole.learned)
    with pytest.raises(CourseError, match="The completion has"):
        chat.plain("One", " Six seven", limit=3)


# Model and tokenizer


def test_a_tokenizer_of_another_model_is_noticed() -> None:
    chat = Chat(course())
    assert "has 3,072 tokens, but the model's embedding only 1,000 rows" in chat.problems(1000)[0]
    assert "3,072 tokens: make sure" in chat.problems(50_000)[0]
    assert chat.problems(3_200) == []


def test_an_end_that_differs_from_the_tokenizers_own_is_reported() -> None:
    chat = Chat(built("bytes", "llama3"), "llama3")
    assert problem(chat, "An answer ends with <|eot_id|>, not with the tokenizer's end token <|end_of_text|>")
