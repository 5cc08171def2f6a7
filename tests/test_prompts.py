"""Templates: what they render to, what they refuse, and that the course's own are the layouts of the corpus."""

from __future__ import annotations

from random import Random

import pytest

from course_lib.errors import CourseError
from course_lib.prompts import Example, Template, few_shot, task, tasks
from course_lib.world import passages, problems, reviews, worksheets
from course_lib.world.place import Place

REVIEW = {"text": "The soup was cold.", "stars": "2", "headline": "Cold soup"}


@pytest.fixture(scope="module")
def place() -> Place:
    return Place.build(split="test")


def test_the_space_at_the_mark_belongs_to_the_answer_whatever_side_it_was_typed_on() -> None:
    for text in ("Stars: ||| {{ stars }}", "Stars:||| {{ stars }}", "Stars: |||{{ stars }}"):
        assert Template("t", text).render(REVIEW) == Example("Stars:", " 2")
    assert Template("t", "Stars:|||{{ stars }}").render(REVIEW) == Example("Stars:", "2")
    assert Template("t", "Stars:\n||| {{ stars }}").render(REVIEW) == Example("Stars:\n", "2")


def test_a_prompt_needs_only_the_fields_before_the_mark() -> None:
    template = Template("t", "Review: {{ text }}\nStars: ||| {{ stars }}")
    assert template.prompt({"text": "Good."}) == "Review: Good.\nStars:"
    assert template.answer({"stars": "2"}) == "2"
    assert (template.fields, template.target_fields) == (("text",), ("stars",))


def test_a_missing_field_is_named_with_those_there_are() -> None:
    with pytest.raises(CourseError, match=r"no field 'stars'.*its fields are: headline, text"):
        Template("t", "{{ text }} ||| {{ stars }}").render({"text": "a", "headline": "b"})


def test_an_optional_field_can_be_asked_for_with_if_and_default() -> None:
    template = Template("t", "{% if headline is defined %}{{ headline }}: {% endif %}{{ text|default('-') }} ||| x")
    assert template.prompt({}) == "-"
    assert template.prompt(REVIEW) == "Cold soup: The soup was cold."


def test_a_loop_runs_over_a_list_and_knows_its_place() -> None:
    template = Template("t", "{% for one in choices %}{{ loop.index }} {{ one }}; {% endfor %}||| {{ choices[0] }}")
    assert template.render({"choices": ["a", "b"]}) == ("1 a; 2 b;", " a")


REFUSED = {
    "attributes": "{{ ''.__class__ }}",
    "attributes of a loop": "{{ loop.__init__ }}",
    "attributes of fields": "{{ text.upper }}",
    "calls": "{{ range(9) }}",
    "methods": "{{ text.upper() }}",
    "powers": "{{ 10 ** 10 ** 10 }}",
    "repetition of texts": "{{ text * 1000000000 }}",
    "formatting": "{{ '%999999999d' % 3 }}",
    "filters that make texts longer": "{{ text|replace('a', text) }}",
    "joining": "{{ text|join(text) }}",
    "centering": "{{ text|center(1000000000) }}",
    "assignments": "{% set text = text ~ text %}{{ text }}",
    "macros": "{% macro f() %}{{ f() }}{% endmacro %}",
    "other files": "{% include 'secret' %}",
    "loops in loops": "{% for a in choices %}{% for b in choices %}x{% endfor %}{% endfor %}",
    "recursive loops": "{% for a in choices recursive %}x{% endfor %}",
    "loops over literals": "{% for a in [1, 2] %}x{% endfor %}",
    "tests": "{{ text is mapping }}",
    "deep nesting": "{% if text %}" * 50 + "{% endif %}" * 50,
    "deeper nesting": "{{ " + "(" * 1500 + "text" + ")" * 1500 + " }}",
    "computed indexes": "{{ choices[text] }}",
    "broken syntax": "{{ text",
    "an endless text": "a" * 5000,
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_template_may_not_use(what: str) -> None:
    with pytest.raises(CourseError):
        Template("t", REFUSED[what] + "|||x")


def test_what_is_refused_is_named_with_its_line() -> None:
    with pytest.raises(CourseError, match="Line 2 of the template uses 'pow'"):
        Template("t", "one\n{{ 2 ** 9 }}\n|||x")


def test_the_output_is_bounded() -> None:
    with pytest.raises(CourseError, match="more than 100,000 characters"):
        Template("t", "{% for one in choices %}{{ text }}{% endfor %}|||").prompt(
            {"text": "a" * 20_000, "choices": ["x"] * 100}
        )


@pytest.mark.parametrize("value", [{"a": 1}, object(), ["a"] * 101, [1], None, "a" * 20_001])
def test_a_field_that_is_no_text_number_or_short_list_is_named(value: object) -> None:
    with pytest.raises(CourseError, match="'text'"):
        Template("t", "{{ text }}|||").prompt({"text": value})


def test_a_loop_over_a_text_is_refused() -> None:
    with pytest.raises(CourseError, match="'text', which is not a list"):
        Template("t", "{% for letter in text %}{{ letter }}{% endfor %}|||").prompt(REVIEW)


def test_a_template_needs_its_mark_once() -> None:
    for text in ("Stars:", "a ||| b ||| c"):
        with pytest.raises(CourseError, match=r"needs the mark \|\|\| exactly once"):
            Template("t", text)


def test_text_of_a_record_is_never_a_template() -> None:
    assert Template("t", "{{ text }}|||").prompt({"text": "{{ 7 * 7 }} {% for %}"}) == "{{ 7 * 7 }} {% for %}"


def test_an_answer_is_the_first_line_without_its_full_stop() -> None:
    template = Template("t", "|||{{ a }}")
    assert template.read(" Ama Okoro.\nQuestion: Who") == "Ama Okoro"
    assert template.read("\n\n 6") == "6"
    assert template.read("  \n ") == ""


def test_an_answer_behind_steps_is_read_behind_its_word() -> None:
    template = Template("t", "|||{{ a }}", answer_after="Answer:")
    assert template.read(" 5 + 3 = 8.\nAnswer: 8\n") == "8"
    assert template.read(" 5 + 3 = 8. 8 + 1") == ""


def test_options_come_from_the_template_or_from_the_record() -> None:
    assert Template("t", "|||{{ a }}", choices=("1", "2")).options({}) == ("1", "2")
    template = Template("t", "{{ q }} : ||| {{ a }}", choices_field="labels")
    assert template.options({"labels": "zo, mek"}) == ("zo", "mek")
    assert template.continuations({"q": "fig", "labels": ["zo", "mek"]}) == (" zo", " mek")
    with pytest.raises(CourseError, match="no choices"):
        template.options({"q": "fig"})


def test_few_shot_is_complete_examples_in_their_order_and_an_open_one() -> None:
    template = Template("t", "{{ q }} : ||| {{ a }}", between="\n")
    assert few_shot(template, [{"q": "fig", "a": "zo"}, {"q": "carp", "a": "mek"}], {"q": "plum"}) == (
        "fig : zo\ncarp : mek\nplum :"
    )


def test_one_review_gives_several_tasks() -> None:
    made = {name: task(f"reviews/{name}").main.render(REVIEW) for name in ("rating", "headline", "writing")}
    assert made == {
        "rating": ("Review: The soup was cold.\nStars:", " 2"),
        "headline": ("Review: The soup was cold.\nHeadline:", " Cold soup"),
        "writing": ("Headline: Cold soup\nReview:", " The soup was cold."),
    }


def test_every_task_has_a_main_wording_and_an_account_of_itself() -> None:
    assert len(tasks()) >= 10
    for one in tasks().values():
        assert next(iter(one.wordings)) == "main"
        assert one.main is one.wording("main")
        assert one.about
        for template in one.wordings.values():
            assert template.target_fields, template.name
            assert template.name.startswith(one.name)


def test_the_tasks_for_measuring_have_several_wordings_and_one_that_is_an_instruction() -> None:
    for name in ("reviews/rating", "problems/bare", "problems/worked", "worksheets/label", "passages/open"):
        assert len(task(name).wordings) >= 4
        assert "order" in task(name).wordings


def test_unknown_tasks_and_wordings_are_answered_with_those_there_are() -> None:
    with pytest.raises(CourseError, match="reviews/rating"):
        task("reviews/stars")
    with pytest.raises(CourseError, match=r"choose one of main, "):
        task("reviews/rating").wording("mine")


def test_rendering_then_reading_gives_the_answer_in_every_wording(place: Place) -> None:
    records = {
        "problems/bare": problems.items(place, Random(1), 20),
        "problems/worked": problems.items(place, Random(2), 20),
        "worksheets/label": worksheets.items(place, Random(3), 20),
        "passages/open": passages.items(place, Random(4), 20),
        "passages/closed": passages.items(place, Random(5), 20),
    }
    for name, some in records.items():
        for template in task(name).wordings.values():
            for record in some:
                assert template.answer(record) == record["answer"], template.name
                assert template.prompt(record) == template.render(record).prompt


def test_the_main_wordings_are_the_main_layouts_of_the_corpus(place: Place) -> None:
    worked, bare = (task(f"problems/{name}").main for name in ("worked", "bare"))
    for seed in range(20):
        problem = problems.sample(place, Random(seed))
        record = {"question": problem.question, "steps": problem.working, "answer": problem.answer}
        assert "".join(worked.render(record)) == problems.render(problem, problems.WORKED[0][1])
        assert "".join(bare.render(record)) == problems.render(problem, problems.BARE[0][1])
        passage = passages.sample(place, Random(seed), questions=1)
        asked = {"passage": passage.text, "question": passage.asked[0].question, "answer": passage.asked[0].answer}
        assert "".join(task("passages/open").main.render(asked)) == passages.plain(passage)
        review = reviews.sample(place, Random(seed))
        written = {"text": review.text, "stars": str(review.stars), "headline": review.headline}
        assert reviews.show(review).startswith("".join(task("reviews/rating").main.render(written)))


def test_the_wordings_of_label_worksheets_are_the_corpus_layouts_of_the_same_names(place: Place) -> None:
    record = worksheets.items(place, Random(0), 1, k=3)[0]
    names = task("worksheets/label").wordings.keys() & worksheets.LAYOUTS.keys()
    assert len(names) >= 8
    for name in names:
        layout, template = worksheets.LAYOUTS[name], task("worksheets/label").wording(name)
        rows = [row.split(" : ") for row in record["examples"].splitlines()]
        shown = [{"question": word, "answer": label} for word, label in rows]
        full = layout.join([(word, label) for word, label in rows]) + layout.between
        assert few_shot(template, shown, record) == full + layout.query(record["question"])
