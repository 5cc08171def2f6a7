"""The prompt workbench: what stands in the prompt, what the temperature does, and mistakes that become sentences."""

from __future__ import annotations

import doctest

import pytest

from course_lib.errors import CourseError
from course_lib.prompts import Template
from course_lib.teach import widgets, workbench
from course_lib.teach.workbench import Start, Workbench, sharpened, visible
from tests.rule_writer import RuleWriter

LABEL = Template("label", "{{ question }} : ||| {{ answer }}", between="\n", max_new=4)
ROWS = [{"question": word, "answer": "tul"} for word in ("carp", "eel", "bream", "pike")]
ASKED = [{"question": "cod", "answer": "tul"}, {"question": "hake", "answer": "<$1>"}]


class Guesser(RuleWriter):
    """Writes "tul" and finds it likely."""

    def next_tokens(self, prompt: str, top: int = 10) -> list[tuple[str, float]]:
        return [(" tul", 0.5), ("\n", 0.25), (" x", 0.125)][:top]


@pytest.fixture
def bench() -> Workbench:
    return Workbench(Guesser(lambda prompt, sample: " tul\n"), {"labels": Start(LABEL, ASKED, ROWS)})  # type: ignore[arg-type]


def tried(bench: Workbench, **changes: object) -> workbench.Tried:
    values = {name: control.value for name, control in bench.controls.items()}
    return bench(**(values | changes))


def test_the_prompt_has_as_many_examples_as_asked_for(bench: Workbench) -> None:
    assert tried(bench, k=0).prompt == "cod :"
    assert tried(bench, k=2, question=2).prompt == "carp : tul\neel : tul\nhake :"
    assert tried(bench, k=8).prompt.count("\n") == len(ROWS)


def test_a_wording_of_ones_own_takes_the_place_of_the_tasks(bench: Workbench) -> None:
    own = "{{ question }} is ||| {{ answer }}"
    assert tried(bench, own=own, k=1).prompt == "carp is tul\ncod is"
    assert tried(bench, own="  \n").prompt == tried(bench).prompt


def test_answer_and_right_answer_are_told(bench: Workbench) -> None:
    found = tried(bench)
    assert found.written == " tul"
    assert found.summary.startswith("The model writes ' tul'; right would be 'tul'. Likeliest next: \u2423tul with 50%")
    assert str(found).startswith(f"{found.prompt}[ tul]")


def test_prompt_and_answer_cannot_become_markup(bench: Workbench) -> None:
    page = tried(bench, question=2, k=0, own="<b>{{ question }}</b> $ ||| {{ answer }}").image()
    assert "&lt;b&gt;hake&lt;/b&gt; <span>$</span>" in page
    assert page.count("<img") == 1


def test_the_temperature_reaches_the_model_and_the_picture(bench: Workbench) -> None:
    assert "at temperature 0 the first has 100%" in tried(bench).figure.alt
    assert "at temperature 1 the first has 57%" in tried(bench, temperature=1.0).figure.alt  # 0.5 of 0.875 in sight
    tried(bench, temperature=0.7)
    assert bench.writer.decodings[-1].temperature == 0.7  # type: ignore[attr-defined]


def test_a_low_temperature_sharpens_and_a_high_one_levels() -> None:
    assert sharpened([0.5, 0.25, 0.125], 0) == [1.0, 0.0, 0.0]
    # 0.5 and 0.25 squared are as 4 to 1, their roots as 1.41 to 1
    cold, hot = sharpened([0.5, 0.25], 0.5), sharpened([0.5, 0.25], 2.0)
    assert cold == pytest.approx([0.8, 0.2])
    assert hot[0] / hot[1] == pytest.approx(2**0.5)
    assert sharpened([0.5, 1e-9], 0.01)[0] == 1.0
    assert doctest.testmod(workbench).failed == 0


def test_tokens_show_their_spaces_and_line_ends() -> None:
    assert [visible(text) for text in (" a", "\n", "")] == ["\u2423a", "\u21b5", "(nothing)"]


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ("{{ question }}", "needs the mark"),
        ("{{ word }} ||| {{ answer }}", "no field 'word'"),
        ("{{ x ||| y", "Line 1"),
    ],
)
def test_a_wrong_wording_becomes_a_sentence_in_the_figure(bench: Workbench, own: str, sentence: str) -> None:
    figure = widgets.interactive_figure(bench, bench.controls, title="t").set(own=own)
    assert sentence in figure.message
    assert figure.set(own="").message == ""


def test_a_workbench_without_records_is_refused() -> None:
    for starts in ({}, {"labels": Start(LABEL, [])}):
        with pytest.raises(CourseError, match="at least one task with at least one record"):
            Workbench(Guesser(), starts)  # type: ignore[arg-type]
