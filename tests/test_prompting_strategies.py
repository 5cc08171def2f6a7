"""Strategies on a writer that follows a rule: prompts, votes, second calls, and the price of each to the token."""

from __future__ import annotations

import math

import pytest

from course_lib.decoder import Decoder, DecoderConfig, initialise
from course_lib.errors import CourseError
from course_lib.generate import Decoding, Writer
from course_lib.pretrain.tokenizer import train_tokenizer
from course_lib.prompting import (
    across_wordings,
    choose,
    difference,
    k_shot,
    measure,
    own_rows,
    same,
    self_consistency,
    step_by_step,
    zero_shot,
)
from course_lib.prompts import Task, Template, task
from rule_writer import RuleWriter

LABEL = Template("label", "{{ q }} : ||| {{ a }}", between="\n", max_new=4, choices=("zo", "mek"))
WORKED = Template(
    "worked",
    "Question: {{ q }}\nSteps: ||| {{ s }}\nAnswer: {{ a }}",
    stop=("\n\n",),
    answer_after="Answer:",
    max_new=16,
)
EXAMPLES = [{"q": "fig", "a": "zo"}, {"q": "carp", "a": "mek"}, {"q": "plum", "a": "zo"}]


def test_zero_shot_shows_no_example_and_k_shot_the_first_k() -> None:
    writer = RuleWriter(lambda prompt, sample: " zo\nnext : mek")
    assert zero_shot(writer, LABEL, [{"q": "pear"}], examples=EXAMPLES)[0].text == "zo"
    answer = k_shot(writer, LABEL, [{"q": "pear"}], examples=EXAMPLES, k=2)[0]
    assert writer.prompts == ["pear :", "fig : zo\ncarp : mek\npear :"]
    assert (answer.tokens_in, answer.tokens_out, answer.calls, answer.detail["examples"]) == (9, 2, 1, 2)
    assert writer.decodings[-1] == Decoding(max_new=4, stop=("\n",))


def test_examples_can_belong_to_their_record() -> None:
    writer = RuleWriter(lambda prompt, sample: " zo")
    k_shot(writer, LABEL, [{"q": "pear", "own": "lemon"}], examples=lambda r: [{"q": r["own"], "a": "mek"}], k=1)
    assert writer.prompts == ["lemon : mek\npear :"]


def test_the_rows_of_a_worksheet_are_the_examples_of_its_own_question() -> None:
    record = {"question": "eel", "examples": "fig : zo\ncarp : mek", "labels": "mek, zo"}
    rows = own_rows(record)
    assert rows == [
        {"labels": "mek, zo", "question": "fig", "answer": "zo"},
        {"labels": "mek, zo", "question": "carp", "answer": "mek"},
    ]
    writer = RuleWriter(lambda prompt, sample: " mek")
    k_shot(writer, task("worksheets/label").main, [record], examples=own_rows, k=1)
    assert writer.prompts == ["fig : zo\neel :"]
    for wrong in ({}, {"examples": "fig zo"}):
        with pytest.raises(CourseError, match="no rows"):
            own_rows(wrong)


def test_examples_that_do_not_fit_are_left_out_from_the_first_on() -> None:
    # every example has 3 tokens, the question 2 and the beginning 1; the answer may have 4: 10 positions hold one
    writer = RuleWriter(lambda prompt, sample: " zo", positions=10)
    answer = k_shot(writer, LABEL, [{"q": "pear"}], examples=EXAMPLES)[0]
    assert writer.prompts == ["plum : zo\npear :"]
    assert answer.detail["examples"] == 1


def test_a_record_that_never_fits_is_refused_with_its_tokens() -> None:
    with pytest.raises(CourseError, match="has 12 tokens and the answer may have 4, more than the 10 positions"):
        zero_shot(RuleWriter(positions=10), LABEL, [{"q": "a b c d e f g h i j"}])


def test_too_few_examples_for_k_are_named() -> None:
    with pytest.raises(CourseError, match="There are 3 examples, but k is 4"):
        k_shot(RuleWriter(), LABEL, [{"q": "pear"}], examples=EXAMPLES, k=4)


def test_choosing_takes_the_likeliest_option_and_writes_nothing() -> None:
    writer = RuleWriter(likes=lambda prompt, text: {" zo": -1.0, " mek": -3.0}[text])
    answer = choose(writer, LABEL, [{"q": "pear"}], examples=EXAMPLES, k=1)[0]
    assert (answer.text, answer.tokens_in, answer.tokens_out, answer.calls) == ("zo", 6 + 1 + 1, 0, 2)
    assert answer.detail["probabilities"]["zo"] == pytest.approx(1 / (1 + math.exp(-2)))


def test_the_mean_does_not_favour_short_options() -> None:
    template = Template("t", "{{ q }} ||| {{ a }}", choices=("no", "yes of course"))
    writer = RuleWriter(likes=lambda prompt, text: {" no": -2.0, " yes of course": -3.0}[text])
    assert choose(writer, template, [{"q": "?"}])[0].text == "no"
    assert choose(writer, template, [{"q": "?"}], how="mean")[0].text == "yes of course"


def test_calibration_takes_away_what_an_option_has_anyway() -> None:
    likes = {("pear :", " zo"): -1.0, ("pear :", " mek"): -1.5, ("N/A :", " zo"): -0.5, ("N/A :", " mek"): -2.5}
    writer = RuleWriter(likes=lambda prompt, text: likes[prompt, text])
    plain, calibrated = (choose(writer, LABEL, [{"q": "pear"}], how=how)[0] for how in ("sum", "calibrated"))
    assert (plain.text, calibrated.text) == ("zo", "mek")
    assert calibrated.tokens_in == 2 * plain.tokens_in
    assert calibrated.calls == 4


def test_choosing_needs_choices_and_a_known_way() -> None:
    with pytest.raises(CourseError, match="no choices"):
        choose(RuleWriter(), Template("t", "{{ q }} ||| {{ a }}"), [{"q": "?"}])
    with pytest.raises(CourseError, match="sum, mean or calibrated"):
        choose(RuleWriter(), LABEL, [{"q": "?"}], how="best")


def test_steps_that_end_in_an_answer_take_one_call() -> None:
    writer = RuleWriter(lambda prompt, sample: " 5 + 3 = 8.\nAnswer: 8\n\nQuestion: more")
    answer = step_by_step(writer, WORKED, [{"q": "How many?"}])[0]
    assert (answer.text, answer.calls) == ("8", 1)


def test_steps_without_an_answer_are_given_back_and_the_answer_asked_for() -> None:
    writer = RuleWriter(lambda prompt, sample: " 8\n\n" if prompt.endswith("Answer:") else " 5 + 3 = 8.\n\n")
    answer = step_by_step(writer, WORKED, [{"q": "How many?"}])[0]
    assert writer.prompts[1] == "Question: How many?\nSteps: 5 + 3 = 8.\nAnswer:"
    assert (answer.text, answer.calls, answer.detail["asked_again"]) == ("8", 2, True)
    # read: 5 tokens with the beginning, then 11; written: 5 and the stop, then 1 and the stop
    assert (answer.tokens_in, answer.tokens_out) == (4 + 1 + 10 + 1, 6 + 2)


def test_step_by_step_needs_to_know_what_the_answer_stands_behind() -> None:
    with pytest.raises(CourseError, match="answer_after"):
        step_by_step(RuleWriter(), LABEL, [{"q": "?"}])


def voter(texts: list[str]) -> RuleWriter:
    return RuleWriter(lambda prompt, sample: f" x.\nAnswer: {texts[sample]}" if texts[sample] else " nothing")


def test_voting_takes_the_most_frequent_answer_and_pays_for_all() -> None:
    answer = self_consistency(voter(["7", "8", "", "8."]), WORKED, [{"q": "How many?"}], n=4)[0]
    assert (answer.text, answer.calls) == ("8", 4)
    assert answer.detail["votes"] == {"7": 1, "8": 2}
    assert answer.detail["agreement"] == 0.5
    assert answer.tokens_in == 5  # read once
    assert answer.tokens_out == 3 + 3 + 1 + 3


def test_of_equally_frequent_answers_the_first_wins_and_none_is_none() -> None:
    assert self_consistency(voter(["9", "8"]), WORKED, [{"q": "?"}], n=2)[0].text == "9"
    silent = self_consistency(voter(["", ""]), WORKED, [{"q": "?"}], n=2)[0]
    assert (silent.text, silent.detail["agreement"]) == ("", 0.0)


def test_voting_needs_differences() -> None:
    for wrong in ({"n": 0}, {"temperature": 0.0}):
        with pytest.raises(CourseError, match="Voting needs"):
            self_consistency(voter(["8"]), WORKED, [{"q": "?"}], **wrong)


def test_answers_are_compared_without_regard_to_form() -> None:
    assert same(" The  Red Heron. ", "the red heron")
    assert same("$1,200.", "1200")
    assert not same("12", "120")


RECORDS = [{"q": "fig", "a": "zo"}, {"q": "carp", "a": "mek"}, {"q": "plum", "a": "zo"}, {"q": "eel", "a": "mek"}]


def test_a_measurement_has_its_interval_and_means_per_answer() -> None:
    # always "zo": right for two of four; Wilson by hand with z = 1.96: middle 0.5, half 0.3495 (see test_metrics)
    writer = RuleWriter(lambda prompt, sample: " zo\n" if "eel" not in prompt else " zozo\n")
    got = measure(k_shot, writer, LABEL, RECORDS, name="always zo")
    assert (got.n, got.accuracy, got.form, got.calls) == (4, 0.5, 0.75, 1.0)
    assert got.interval == pytest.approx((0.15, 0.85), abs=0.005)
    assert (got.tokens_in, got.tokens_out) == (3.0, 2.0)
    assert got.row()["strategy"] == "always zo"
    assert "50% right (15% to 85%, n = 4)" in str(got)


def test_a_judge_decides_instead() -> None:
    writer = RuleWriter(lambda prompt, sample: " ZOmek")
    assert measure(k_shot, writer, LABEL, RECORDS, judge=lambda r, answer: r["a"] in answer.text).accuracy == 0.5


def test_two_strategies_are_compared_on_the_records_that_only_one_gets_right() -> None:
    knows = measure(k_shot, RuleWriter(lambda p, s: " zo" if p[:2] in ("fi", "pl") else " mek"), LABEL, RECORDS)
    guesses = measure(k_shot, RuleWriter(lambda p, s: " zo"), LABEL, RECORDS)
    found = difference(knows, guesses)
    assert (found.points, found.p) == (0.5, 0.5)  # two coins that both fall the same way: 2 * 1/4
    with pytest.raises(CourseError, match="measure both on the same"):
        difference(knows, measure(k_shot, RuleWriter(), LABEL, RECORDS[:2]))


def test_every_wording_of_a_task_is_measured() -> None:
    other = Template("arrow", "{{ q }} -> ||| {{ a }}", between="\n", choices=("zo", "mek"))
    writer = RuleWriter(lambda prompt, sample: " zo" if "->" in prompt else " ?")
    found = across_wordings(k_shot, writer, Task("t", "labels", {"main": LABEL, "arrow": other}), RECORDS)
    assert {name: one.accuracy for name, one in found.items()} == {"main": 0.0, "arrow": 0.5}


def test_nothing_cannot_be_measured() -> None:
    with pytest.raises(CourseError, match="at least one record"):
        measure(k_shot, RuleWriter(), LABEL, [])


@pytest.fixture(scope="module")
def real() -> Writer:
    """A random model of two layers, whose answers mean nothing, with a tokenizer of its own."""
    tokenizer = train_tokenizer(["Question: How many figs? Steps: 5 + 3 = 8. Answer: 8"] * 3, entries=300, positions=96)
    config = DecoderConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=96,
    )
    model = Decoder(config)
    initialise(model, seed=0)
    return Writer(model, tokenizer)


@pytest.mark.usefixtures("one_thread")
def test_every_strategy_works_with_a_real_writer_and_counts_its_tokens(real: Writer) -> None:
    records = [{"q": "fig", "a": "zo", "s": "x"}, {"q": "a carp", "a": "mek", "s": "x"}]
    for strategy, template, options in (
        (zero_shot, LABEL, {}),
        (k_shot, LABEL, {"k": 2, "examples": EXAMPLES}),
        (choose, LABEL, {"k": 2, "examples": EXAMPLES, "how": "calibrated"}),
        (step_by_step, WORKED, {}),
        (self_consistency, WORKED, {"n": 3}),
    ):
        answers = strategy(real, template, records, **options)
        assert len(answers) == 2
        for answer in answers:
            assert answer.tokens_in > 0
            assert answer.calls >= 1
            assert answer.tokens_out <= 3 * template.max_new + 16
    chosen = choose(real, LABEL, records)
    for answer, record in zip(chosen, records, strict=True):
        scores = real.score(LABEL.prompt(record), [" zo", " mek"])
        assert list(answer.detail["scores"].values()) == pytest.approx(scores, abs=1e-4)
