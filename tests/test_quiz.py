"""Quizzes: their data is validated, every answer is explained, and widgets, text and score say the same."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from course_lib.assets import asset
from course_lib.errors import CourseError
from course_lib.metrics.classification import wilson_interval
from course_lib.teach import quiz as quizzes
from course_lib.teach import show
from course_lib.teach.questions import read
from course_lib.teach.quiz import quiz

LESSONS = sorted(path.stem for path in asset("quiz").glob("*.toml"))
GOOD = """
title = "A quiz"
[[question]]
id = "first"
text = "Is `a` < b?"
choice = [{text = "yes", why = "It is.", right = true}, {text = "no", why = "It is not not."}]
[[question]]
id = "second"
text = "Which are even?"
choice = [{text = "2", why = "Twice 1.", right = true}, {text = "3", why = "Odd."},
          {text = "4", why = "Twice 2.", right = true}]
"""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def small(tmp_path: Path) -> quizzes.Quiz:
    path = tmp_path / "small.toml"
    path.write_text(GOOD)
    return quizzes.Quiz("99", read(path))


# The data


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_quiz_has_five_to_eight_questions_and_explains_every_choice(lesson: str) -> None:
    content = quiz(lesson)
    assert 5 <= len(content.questions) <= 8
    for question in content.questions:
        assert all(len(choice.why) >= 20 for choice in question.choices), question.id
        assert len({choice.why for choice in question.choices}) == len(question.choices)


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_right_answer_is_not_always_in_the_same_place_or_always_the_longest(lesson: str) -> None:
    single = [question for question in quiz(lesson).questions if not question.several]
    assert len({question.right for question in single}) > 1
    longest = [max(q.choices, key=lambda choice: len(choice.text)).right for q in single]
    assert sum(longest) <= 0.7 * len(longest)


def test_every_lesson_that_is_written_has_a_quiz() -> None:
    assert {"00", "01", "02", "03", "04"} <= set(LESSONS)


def test_the_figures_in_the_questions_of_lesson_01_are_right() -> None:
    from course_lib.memory.arithmetic import lora_parameters, projection_shapes, training_flops
    from course_lib.memory.gpus import gpu
    from course_lib.memory.models import preset

    whys = {question.id: question.choices for question in quiz("01").questions}
    t4 = gpu("t4").usable
    assert f"{t4 / 2**30:.2f} GiB are {t4 / 1e9:.1f} GB" in whys["left-on-t4"][2].why
    assert f"{t4 / 1e9 - 14:.1f} GB" in whys["left-on-t4"][2].text
    model = preset("llama-2-7b").architecture
    shapes = projection_shapes(hidden=4096, heads=32, kv_heads=32, head_dim=128, intermediate=11008, gated=True)
    share = model.layers * lora_parameters(8, shapes.values()) / model.parameters
    assert f"{share:.1%}" == "0.3%"
    assert "0.3%" in whys["lora-14"][0].why
    saved = 1 - training_flops(7e9, 1e6, trained=0.003 * 7e9) / training_flops(7e9, 1e6)
    assert saved == pytest.approx(1 / 3, abs=0.002)
    assert training_flops(1e9, 1, trained=0, recompute=True) == training_flops(1e9, 1)  # as the last explanation says


def test_the_figures_in_the_questions_of_lesson_03_are_right() -> None:
    def mcnemar(one: int, other: int) -> float:
        n, k = one + other, min(one, other)
        return 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n

    whys = {question.id: question.choices for question in quiz("03").questions}
    assert "25 to 15 has p = 0.15, 12 to 2 has p = 0.013" in whys["paired"][2].why
    assert (round(mcnemar(25, 15), 2), round(mcnemar(12, 2), 3)) == (0.15, 0.013)
    assert [round(100 * end) for end in (*wilson_interval(445, 500), *wilson_interval(455, 500))] == [86, 91, 88, 93]
    assert "0.44" in whys["majority"][1].why
    assert pytest.approx(0.44, abs=0.005) == 2 * 0.8 / (0.8 + 1) / 2
    assert "6,144" in whys["lora"][0].text
    assert 8 * 384 + 384 * 8 == 6144
    assert "147,456" in whys["lora"][0].why
    assert 384 * 384 == 147456


def test_the_figures_in_the_questions_of_lesson_04_are_right() -> None:
    content = {question.id: question for question in quiz("04").questions}
    text, choices = content["judge"].text, content["judge"].choices
    first, swapped, pairs = 70, 40, 100
    assert f"A in {first} of {pairs} pairs" in text
    assert f"prefers A in {swapped}" in text
    assert f"{first + swapped} of {2 * pairs}" in choices[0].text
    assert f"{first + pairs - swapped} of the {2 * pairs} verdicts" in choices[1].text
    assert f"{(first + pairs - swapped) / 2 / pairs:.0%}" in choices[1].why
    assert f"at least {first - swapped} pairs" in choices[2].text
    assert content["rouge"].text.count("The bridge opened in 19") == 2  # five words each, of which four are common
    assert f"ROUGE-L is {2 * 4 / (5 + 5)}" in content["rouge"].text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("title = ", "titel = "), "unknown entry 'titel'; there may be question, title"),
        (('title = "A quiz"', 'title = ""'), "has no 'title'"),
        (('id = "second"', 'id = "first"'), "2 questions with the id 'first'"),
        (('id = "second"\n', ""), "question 2 has no 'id'"),
        (('text = "Which are even?"', "text = 3"), "question 2 has no 'text'"),
        (('text = "3", why = "Odd."', 'text = "3"'), r"question 2 \(second\), choice b has no 'why'"),
        (('text = "3", why', 'txt = "3", why'), "choice b has an unknown entry 'txt'"),
        (("right = true}, {text", "right = 1}, {text"), "right must be true or false, not 1"),
        ((', right = true}, {text = "no"', '}, {text = "no"'), "needs a right choice and a wrong one"),
        (('why = "It is not not."', 'why = "x", right = true'), "needs a right choice and a wrong one"),
        ((', {text = "no", why = "It is not not."}', ""), "needs 2 to 8 choices"),
        ((GOOD, "title = 'x'\n[[question]]\nid = 'x'\ntext = 'y'\nchoice = 3"), "needs 2 to 8 choices"),
        (('{text = "2", why = "Twice 1.", right = true}', '"2"'), "choice a is not a table"),
        (("[[question]]", "[question"), "not valid TOML"),
        ((GOOD, 'title = "x"'), "has no questions"),
        ((GOOD, 'title = "x"\nquestion = ["y"]'), "question 1 is not a table"),
    ],
)
def test_a_mistake_in_the_data_gets_a_sentence_that_says_where(
    change: tuple[str, str], sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.toml"
    assert change[0] in GOOD
    path.write_text(GOOD.replace(*change))
    with pytest.raises(CourseError, match=sentence) as caught:
        read(path)
    assert str(caught.value).startswith("bad.toml")


def test_a_file_that_is_not_text_or_not_there_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CourseError, match="not valid TOML"):
        read(tmp_path / "binary.toml")
    with pytest.raises(CourseError, match="no quiz file"):
        read(tmp_path / "absent.toml")


def test_a_lesson_without_a_quiz_gets_a_sentence_with_those_that_have_one() -> None:
    with pytest.raises(CourseError, match="'42' has no quiz; there is one for 00, 01, 02, 03, 04"):
        quiz("42")
    assert quizzes.right_answers("42") is None


# Answering in text


def test_a_right_answer_is_explained_together_with_the_wrong_ones(small: quizzes.Quiz) -> None:
    said = str(small.answer(1, "a")).splitlines()
    assert said == ["Right.", "a) It is.", "Not b) It is not not.", "1 of 2 right, 1 answered."]


def test_a_wrong_answer_is_explained_without_giving_the_right_one_away(small: quizzes.Quiz) -> None:
    said = str(small.answer(1, "b")).splitlines()
    assert said == ["Not right; try again.", "b) It is not not.", "0 of 2 right, 1 answered."]


@pytest.mark.parametrize("letters", ["ac", "CA", "a, c", ["a", "c"], ("c", "a"), {"a", "c"}])
def test_several_right_choices_are_wanted_all_together_in_any_writing(letters: Any, small: quizzes.Quiz) -> None:
    assert str(small.answer(2, letters)).startswith("Right.")


def test_some_of_several_right_choices_are_called_incomplete(small: quizzes.Quiz) -> None:
    assert str(small.answer(2, "a")).startswith("Right so far, but not all of it.")
    assert str(small.answer(2, "ab")).startswith("Not right")
    assert small.score() == (0, 1, 2)


@pytest.mark.parametrize("nothing", [None, ...])
def test_a_question_left_open_is_not_answered(nothing: Any, small: quizzes.Quiz, own_home: Path) -> None:
    assert "not answered yet" in str(small.answer(1, nothing))
    assert small.score() == (0, 0, 2)
    assert not own_home.exists()


@pytest.mark.parametrize(
    ("number", "letters"), [(1, "z"), (1, ""), (1, "ax"), (1, 7), (0, "a"), (3, "a"), ("1", "a"), (True, "a")]
)
def test_an_answer_that_cannot_be_is_refused_with_the_choices(number: Any, letters: Any, small: quizzes.Quiz) -> None:
    with pytest.raises(CourseError, match=r"has the choices a, b|has the questions 1 to 2"):
        small.answer(number, letters)
    assert small.score() == (0, 0, 2)


def test_answers_outlive_the_quiz_object_and_can_be_forgotten(small: quizzes.Quiz, tmp_path: Path) -> None:
    small.answer(1, "a")
    small.answer(2, "b")
    again = quizzes.Quiz("99", read(tmp_path / "small.toml"))
    assert again.score() == (1, 2, 2)
    again.reset()
    assert small.score() == (0, 0, 2)


@pytest.mark.parametrize(
    "answers", [{"first": "z", "gone": "a"}, {"first": 3}, {"first": ""}, ["a"], None, "a", {"first": "a" * 3}]
)
def test_saved_answers_that_fit_no_choice_break_nothing(answers: Any, small: quizzes.Quiz, own_home: Path) -> None:
    own_home.mkdir()
    (own_home / "progress.json").write_text(json.dumps({"quiz": {"99": {"answers": answers}}}))
    assert small.score()[0] == 0
    assert small.panel().widget is not None
    assert str(small.answer(1, "a")).startswith("Right.")


def test_the_text_of_a_quiz_has_every_question_and_choice_and_says_how_to_answer() -> None:
    text, content = str(quiz("03")), quiz("03")
    for number, question in enumerate(content.questions, 1):
        assert f"{number}. {question.text}" in text
        assert all(f"{choice.letter}) {choice.text}" in text for choice in question.choices)
        assert not any(choice.why in text for choice in question.choices)
    assert 'quiz("03").answer(1, "b")' in text
    assert "(several choices are right)" in text


def test_the_page_of_a_quiz_folds_every_explanation_and_escapes_html(small: quizzes.Quiz) -> None:
    page = small.html()
    assert "Is <code>a</code> &lt; b?" in page
    assert page.count("<details>") == page.count("</details>") == 2
    assert all(why in page for why in ("It is.", "It is not not.", "Twice 1.", "Odd.", "Twice 2."))


# Widgets


def test_outside_a_notebook_kernel_no_widget_is_offered() -> None:
    assert set(quiz("03")._repr_mimebundle_()) == {"text/plain", "text/html"}


def test_in_a_notebook_kernel_widget_page_and_text_are_offered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "widgets_work", lambda: True)
    bundle = quiz("03")._repr_mimebundle_()
    view = bundle.pop("application/vnd.jupyter.widget-view+json")
    assert view["model_id"]
    monkeypatch.setattr(show, "widgets_work", lambda: False)
    assert bundle == quiz("03")._repr_mimebundle_()
    assert view["model_id"] not in bundle["text/html"]


def test_the_panel_is_answered_with_core_widgets_only(small: quizzes.Quiz) -> None:
    import ipywidgets

    panel = small.panel()
    core = {"HTML", "Button", "RadioButtons", "Checkbox", "VBox", "HBox"}

    def kinds(widget: Any) -> set[str]:
        below = [kinds(child) for child in getattr(widget, "children", ())]
        return {type(widget).__name__}.union(*below)

    panel.show(0)
    found = kinds(panel.widget)
    panel.show(1)
    assert found | kinds(panel.widget) == core
    assert "course-quiz" in panel.widget._dom_classes
    assert isinstance(panel.choices[0][0], ipywidgets.RadioButtons)


def test_a_question_is_answered_in_the_panel_and_counted(small: quizzes.Quiz) -> None:
    panel = small.panel()
    assert "Question 1 of 2" in panel.head.value
    assert panel.choices[0][0].value is None
    panel.choices[0][0].value = "b"
    panel.check.click()
    assert "Not right; try again." in panel.status.value
    assert 'role="status" aria-live="polite"' in panel.status.value
    panel.choices[0][0].value = "a"
    panel.check.click()
    assert "Right." in panel.status.value
    assert "1 right" in panel.head.value
    assert small.score() == (1, 1, 2)


def test_the_panel_turns_pages_and_keeps_what_was_said(small: quizzes.Quiz) -> None:
    panel = small.panel()
    assert (panel.back.disabled, panel.next.disabled) == (True, False)
    panel.choices[0][0].value = "a"
    panel.check.click()
    panel.next.click()
    assert "Question 2 of 2" in panel.head.value
    assert "Right." not in panel.status.value
    assert (panel.back.disabled, panel.next.disabled) == (False, True)
    panel.next.click()
    assert "Question 2 of 2" in panel.head.value
    panel.back.click()
    assert "Right." in panel.status.value


def test_several_choices_are_check_boxes_in_the_panel(small: quizzes.Quiz) -> None:
    panel = small.panel()
    panel.next.click()
    panel.choices[1][0].value = panel.choices[1][2].value = True
    panel.check.click()
    assert "Right." in panel.status.value
    again = small.panel()
    assert [box.value for box in again.choices[1]] == [True, False, True]


def test_checking_without_a_choice_asks_for_one(small: quizzes.Quiz) -> None:
    panel = small.panel()
    panel.check.click()
    assert "Choose an answer first." in panel.status.value
    assert small.score() == (0, 0, 2)


def test_a_click_that_fails_is_said_in_the_panel(small: quizzes.Quiz, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = small.panel()
    monkeypatch.setattr(small, "answer", lambda *_: 1 / 0)
    panel.choices[0][0].value = "a"
    panel.check.click()
    assert "Not possible: division by zero" in panel.status.value


def test_switching_widgets_off_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython

    class Shell:
        kernel = object()

    monkeypatch.setattr(IPython, "get_ipython", Shell)
    assert show.widgets_work()
    monkeypatch.setenv("COURSE_WIDGETS", "off")
    assert not show.widgets_work()
