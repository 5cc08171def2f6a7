"""Judges that follow a rule, so that their bias and their accuracy are known, and what the verdicts make of them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from course_lib.errors import CourseError
from course_lib.instruct.asking import Asked, Messages, Share, messages, question
from course_lib.instruct.assistant import Assistant
from course_lib.instruct.judge import pairwise, read_verdict
from course_lib.instruct.verdicts import Pair, Verdicts, cohens_kappa
from course_lib.metrics.classification import wilson_interval
from course_lib.prompts import Template, task

SHOWN = re.compile(r"Answer A:\s*(.*?)\n\nAnswer B:\s*(.*?)\n\n(?:Which)", re.DOTALL)


class Words:
    """A tokenizer whose tokens are words."""

    def encode(self, text: str, add_special_tokens: bool = True) -> list[str]:
        return text.split()


class RuleJudge:
    """``lead(front, behind)`` is how much better it finds the answer in front; ``say`` writes that down."""

    tokenizer = Words()

    def __init__(
        self,
        lead: Callable[[str, str], float] = lambda front, behind: 0.0,
        say: Callable[[float], str] = lambda lead: "A" if lead > 0 else "B" if lead < 0 else "tie",
        likes: Callable[[str], float] = lambda answer: 0.0,
    ) -> None:
        self.lead, self.say, self.likes = lead, say, likes
        self.prompts: list[str] = []

    def answer(self, prompts: Sequence[Messages], **options: object) -> list[str]:
        return [self.say(self._lead(prompt)) for prompt in prompts]

    def scores(self, pairs: Sequence[tuple[Messages, str]]) -> list[float]:
        if not any(reply in ("A", "B") for _, reply in pairs):
            return [self.likes(reply) for _, reply in pairs]
        return [self._lead(prompt) * (reply == "A") - 3.0 for prompt, reply in pairs]

    def _lead(self, prompt: Messages) -> float:
        text = prompt[-1]["content"]
        self.prompts.append(text)
        found = SHOWN.search(text)
        assert found is not None, text
        return self.lead(found[1], found[2])


def quality(answer: str) -> float:
    """Answers of these tests say themselves how good they are."""
    return float(answer.split()[0])


def items(n: int) -> list[dict[str, str]]:
    return [{"instruction": f"Say {k}.", "output": "1 is right"} for k in range(n)]


def answers(marks: Sequence[int], style: str = "word") -> list[str]:
    return [f"{mark} {style} {k}" for k, mark in enumerate(marks)]


def fair(front: str, behind: str) -> float:
    return quality(front) - quality(behind)


def marks(n: int, period: int) -> list[int]:
    return [int(k % period == 0) for k in range(n)]


@pytest.mark.parametrize("how", ["labels", "written"])
def test_a_judge_that_knows_is_consistent_without_bias_and_agrees_with_the_metric(how: str) -> None:
    first, second = marks(60, 2), marks(60, 3)  # apart on 30: the first is right alone on 20, the second on 10
    verdicts = pairwise(RuleJudge(fair), items(60), answers(first), answers(second, "token"), how=how)
    assert (verdicts.wins("first"), verdicts.wins("second"), verdicts.inconsistent) == (20, 10, 0)
    assert verdicts.win_rate.value == pytest.approx((20 + 30 / 2) / 60)
    assert verdicts.position_bias.value == 0.5
    assert verdicts.consistency.value == 1
    found = verdicts.agreement(first, second)
    assert found.n == 30
    assert found.consistent == Share(1, *wilson_interval(30, 30), 30)
    assert found.every.value == found.kappa == 1


@pytest.mark.parametrize(("how", "worth"), [("labels", 1.0), ("labels", 0.0), ("written", 1.0), ("written", 0.0)])
def test_a_judge_that_sees_only_the_position_decides_nothing_and_is_found_out(how: str, worth: float) -> None:
    judge = RuleJudge(lambda front, behind: 2 * worth - 1)
    verdicts = pairwise(judge, items(40), answers(marks(40, 2)), answers([0] * 40, "token"), how=how)
    assert (verdicts.wins("first"), verdicts.wins("second"), verdicts.inconsistent) == (0, 0, 40)
    assert verdicts.position_bias.value == worth
    assert abs(verdicts.position_bias.value - 0.5) > 0.4
    assert not verdicts.position_bias.low <= 0.5 <= verdicts.position_bias.high
    assert verdicts.win_rate.value == 0.5
    assert verdicts.consistency.value == 0
    found = verdicts.agreement(marks(40, 2), [0] * 40)
    assert found.consistent is None
    assert found.every.value == 0.5 == found.baselines["always the position in front"].value
    assert found.kappa == 0


def test_a_judge_that_is_right_on_seven_of_ten_items_agrees_on_seven_of_ten() -> None:
    def lead(front: str, behind: str) -> float:
        wrong = int(front.split()[-1]) % 10 >= 7
        return -fair(front, behind) if wrong else fair(front, behind)

    first, second = marks(200, 2), [1 - mark for mark in marks(200, 2)]
    verdicts = pairwise(RuleJudge(lead), items(200), answers(first), answers(second, "token"))
    found = verdicts.agreement(first, second)
    assert found.consistent == Share(0.7, *wilson_interval(140, 200), 200)
    assert found.every.value == found.averaged.value == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)  # each system is the better one on half of the items: (0.7 - 0.5) / 0.5


def test_averaging_the_orders_brings_out_what_a_strong_bias_hides() -> None:
    judge = RuleJudge(lambda front, behind: 5 + fair(front, behind))
    first, second = marks(40, 2), [1 - mark for mark in marks(40, 2)]
    verdicts = pairwise(judge, items(40), answers(first), answers(second, "token"))
    found = verdicts.agreement(first, second)
    assert verdicts.inconsistent == 40
    assert found.every.value == 0.5
    assert found.averaged.value == 1
    assert {pair.margin for pair in verdicts.pairs} == {1.0, -1.0}


def test_a_bias_that_decides_only_close_cases_costs_only_those() -> None:
    def lead(front: str, behind: str) -> float:
        return fair(front, behind) + 0.5

    first = [2] * 10 + [1] * 30  # clear on 10 items, equally good on 30
    second = [1] * 40
    verdicts = pairwise(RuleJudge(lead), items(40), answers(first), answers(second, "token"))
    assert (verdicts.wins("first"), verdicts.inconsistent) == (10, 30)
    assert verdicts.position_bias.value == pytest.approx((10 * 0.5 + 30) / 40)
    assert verdicts.agreement(first, second).consistent.value == 1


def test_equal_answers_are_ties_that_the_judge_never_sees() -> None:
    judge = RuleJudge(lambda front, behind: 1.0)
    verdicts = pairwise(judge, items(3), ["1 a", "1 b", "1 c"], ["1 a", " 1 b\n", "0 c"])
    assert len(verdicts.asked) == 1
    assert verdicts.inconsistent == 1
    assert len(judge.prompts) == 4  # one pair, two orders, two labels
    assert [pair.winner for pair in verdicts.pairs] == ["tie"] * 3


def test_replies_that_cannot_be_read_are_counted_and_agree_with_nothing() -> None:
    def say(lead: float) -> str:
        return "A" if lead > 0 else "I would rather not say."

    verdicts = pairwise(RuleJudge(fair, say), items(10), answers([1] * 10), answers([0] * 10, "token"), how="written")
    assert verdicts.unclear == 10
    assert verdicts.wins("first") == verdicts.inconsistent == 0
    assert verdicts.consistency.value == 0
    assert verdicts.position_bias.value == 1  # whatever it said was the position in front
    found = verdicts.agreement([1] * 10, [0] * 10)
    assert found.consistent is None
    assert found.every.value == 0.5


def test_a_judge_that_only_ever_sees_ties_names_no_winner() -> None:
    verdicts = pairwise(RuleJudge(), items(4), answers([1] * 4), answers([0] * 4, "token"), how="written")
    assert verdicts.wins("first") == verdicts.unclear == 0
    assert verdicts.position_bias is None
    assert verdicts.consistency.value == 1
    assert verdicts.agreement([1] * 4, [0] * 4).every.value == 0
    assert "no verdict" in str(verdicts)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("A", "A"), ("B.", "B"), ("**B**", "B"), ("Answer: A", "A"), ("The better answer is B", "B"), ("Tie.", "tie"),
        ("It is a tie", "tie"), ("[[C]]", "tie"), ("A good start, but [[B]]", "B"), ("A is better than B.", "A"),
        ("A good answer is B", "B"), ("A\nbecause B is wrong", "A"), ("A good answer", ""), ("Both A and B", ""),
        ("A or B", ""), ("", ""), ("Bread and butter", ""), ("A tie", "tie"), ("neither", ""),
    ],
)  # fmt: skip
def test_a_written_verdict_is_read_where_it_is_certain(text: str, verdict: str) -> None:
    assert read_verdict(text) == verdict


def test_likelihood_is_per_token_and_has_no_positions() -> None:
    sure = {"yes": -1.0, "no it is not": -2.0}  # 2 and 5 tokens with the end: -0.5 and -0.4 each
    judge = RuleJudge(likes=sure.__getitem__)
    verdicts = pairwise(judge, items(2), ["yes", "no it is not"], ["no it is not", "yes"], how="likelihood")
    assert [pair.winner for pair in verdicts.pairs] == ["second", "first"]
    assert [pair.margin for pair in verdicts.pairs] == pytest.approx([-0.1, 0.1])
    assert verdicts.position_bias.value == 0.5
    assert judge.prompts == []  # no question about answers was asked


def test_a_judge_is_compared_with_judges_that_read_nothing() -> None:
    first = ["1 a long answer", "0 b", "1 c", "1 d"]
    second = ["0 a", "1 a long answer", "0 long answer", "0 e"]
    verdicts = pairwise(RuleJudge(fair), items(4), first, second)
    found = verdicts.agreement([1, 0, 1, 1], [0, 1, 0, 0]).baselines
    assert found["the longer answer"].value == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert found["always the same system, the better one"].value == 0.75
    assert found["a coin"] == Share(0.5, *wilson_interval(2, 4), 4)  # two of the four
    swapped = verdicts.agreement([0, 1, 0, 0], [1, 0, 1, 1]).baselines
    assert swapped["always the same system, the better one"].value == 0.75


def test_where_the_metric_tells_nothing_apart_there_is_nothing_to_agree_on() -> None:
    verdicts = pairwise(RuleJudge(fair), items(2), answers([1, 1]), answers([0, 0], "token"))
    found = verdicts.agreement([0.5, 0.5], [0.5, 0.5])
    assert (found.n, found.consistent, found.every, found.kappa, found.rows()) == (0, None, None, None, [])


def test_kappa_is_that_of_scikit_learn_and_none_without_room_beyond_chance() -> None:
    dice = np.random.default_rng(0)
    for _ in range(20):
        one, other = (dice.choice(["first", "second", "tie"], 30).tolist() for _ in range(2))
        assert cohens_kappa(one, other) == pytest.approx(cohen_kappa_score(one, other))
    assert cohens_kappa(["first"] * 5, ["first"] * 5) is None
    assert cohens_kappa([], []) is None


def test_the_interval_of_a_share_counts_items_and_is_never_of_no_width() -> None:
    share = Share.of([1.0] * 12 + [0.0] * 8)
    assert (share.low, share.high) == pytest.approx(wilson_interval(12, 20))
    halves = Share.of([0.5] * 40)
    assert 0 < halves.high - halves.low < 0.1
    split = Share.of([0.5] * 20 + [1.0] * 20)  # 60 of 80 verdicts, but 40 items
    low, high = wilson_interval(60, 80)
    assert split.value == 0.75
    assert split.high - split.low < high - low  # where items agree with themselves, less is left to chance
    assert Share.of([]) is None


def test_the_judges_questions_show_both_answers_in_their_order_and_the_right_one_where_asked() -> None:
    record = {"question": "Which?", "first": "fig", "second": "plum", "reference": "pear"}
    for name, template in task("judge/pairwise").wordings.items():
        prompt = template.prompt(record)
        assert prompt.index("Which?\n") < prompt.index("fig") < prompt.index("plum"), name
        assert ("pear" in prompt) == (name == "reference")
        assert template.answer({"verdict": "A"}) == "A"


def test_every_pair_is_shown_in_both_orders() -> None:
    judge = RuleJudge(fair)
    pairwise(judge, items(1), ["1 x"], ["0 y"], how="written", template=task("judge/pairwise").wording("reference"))
    assert [SHOWN.search(prompt).groups() for prompt in judge.prompts] == [("1 x", "0 y"), ("0 y", "1 x")]
    assert all("1 is right" in prompt and "Say 0." in prompt for prompt in judge.prompts)


def test_verdicts_and_agreement_are_plain_values() -> None:
    verdicts = pairwise(RuleJudge(fair), items(6), answers(marks(6, 2)), answers(marks(6, 3), "token"))
    found = json.loads(json.dumps({**verdicts.to_json(), **verdicts.agreement(marks(6, 2), marks(6, 3)).to_json()}))
    assert found["wins"] == [2, 1]
    assert found["rows"][0]["agrees"] == 1
    assert Verdicts(found["how"], tuple(Pair(**pair) for pair in found["pairs"])).wins("first") == 2


@pytest.mark.parametrize("how", ["labels", "written", "likelihood"])
def test_an_assistant_can_be_the_judge(assistant: Assistant, how: str) -> None:
    assert isinstance(assistant, Asked)
    mine, other = ["yes", "Halima grew flowers.", ""], ["no", "no", "no"]
    verdicts = pairwise(assistant, items(3), mine, other, how=how)
    assert len(verdicts.asked) == 3
    assert verdicts == pairwise(assistant, items(3), mine, other, how=how)
    swapped = pairwise(assistant, items(3), other, mine, how=how)
    if how != "written":  # whoever is called the first: what is preferred stays the same
        margins = [-pair.margin for pair in verdicts.pairs]
        assert [pair.margin for pair in swapped.pairs] == pytest.approx(margins, abs=1e-4)


@pytest.fixture(scope="module")
def assistant() -> Assistant:
    return Assistant.from_name("course-base-small")


def test_mistakes_are_named() -> None:
    judge = RuleJudge(fair)
    with pytest.raises(CourseError, match="labels, written, likelihood"):
        pairwise(judge, items(1), ["a"], ["b"], how="loudness")
    with pytest.raises(CourseError, match="2 items needs an answer of both systems; there are 2 and 1"):
        pairwise(judge, items(2), ["a", "b"], ["b"])
    with pytest.raises(CourseError, match="needs two choices"):
        pairwise(judge, items(1), ["a"], ["b"], template=Template("t", "{{ first }} ||| {{ v }}", choices=("A",)))
    with pytest.raises(CourseError, match="1 items, but 2 and 1 scores"):
        pairwise(judge, items(1), ["1 a"], ["0 b"]).agreement([1, 0], [1])
    with pytest.raises(CourseError, match="needs an instruction"):
        question({"input": "x"})


def test_a_record_is_asked_as_it_was_trained_on() -> None:
    assert messages({"instruction": "Sum up.", "input": "A text.", "system": "Be brief."}) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Sum up.\n\nA text."},
    ]
    assert isinstance(RuleJudge(), Asked)
    assert math.isclose(Share.of([0.5]).value, 0.5)
