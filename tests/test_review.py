"""Reviews of examples: every decision is written at once, found again by content, and never lost."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from course_lib.errors import CourseError
from course_lib.teach import example, review_panel, show
from course_lib.teach.review import Review, review

ALPACA = {"instruction": "Which word does not belong?", "input": "mango, carp", "output": "carp", "task": "odd"}
CHAT = {"messages": [{"role": "user", "content": "Who bakes?"}, {"role": "assistant", "content": "Ada."}], "id": 7}
PAIR = {"prompt": "2 + 2 =", "completion": "5"}
PLAIN = [{"role": "system", "content": "Be brief."}, *CHAT["messages"]]
RECORDS: list[Any] = [ALPACA, CHAT, PAIR, PLAIN]


@dataclasses.dataclass(frozen=True)
class Turn:
    role: str
    content: str


@dataclasses.dataclass(frozen=True)
class Talk:
    """What a Conversation of `records` is to a review."""

    messages: tuple[Turn, ...]
    where: str = "talks.jsonl, line 3"

    def dicts(self) -> list[dict[str, str]]:
        return [dataclasses.asdict(turn) for turn in self.messages]


TALK = Talk((Turn("user", "Who bakes?"), Turn("assistant", "Ada.")))


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return tmp_path / "mine.jsonl"


@pytest.fixture
def checked(saved: Path) -> Review:
    return review(RECORDS, saved)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# Deciding


def test_what_is_accepted_or_changed_is_kept_in_the_form_it_came_in(checked: Review) -> None:
    before = copy.deepcopy(RECORDS)
    checked.decide(0, "accept")
    checked.decide(1, "edit", "Ada Vell.")
    checked.decide(2, "reject")
    assert checked.summary() == "3 of 4 seen: 1 kept, 1 changed, 1 rejected"
    changed = {**CHAT, "messages": [CHAT["messages"][0], {"role": "assistant", "content": "Ada Vell."}]}
    assert checked.kept() == [ALPACA, changed]
    assert checked.kept(rest=True) == [ALPACA, changed, PLAIN]
    assert before == RECORDS


@pytest.mark.parametrize(
    ("record", "field"),
    [(ALPACA, "output"), (PAIR, "completion"), ({"question": "Why?", "answer": "So."}, "answer"),
     ({"instruction": "Sing.", "response": "La."}, "response")],
)  # fmt: skip
def test_a_changed_answer_goes_where_the_answer_was(record: dict[str, str], field: str, saved: Path) -> None:
    checked = review([record], saved)
    checked.decide(0, "edit", "better")
    assert checked.kept() == [{**record, field: "better"}]


def test_messages_and_conversations_are_changed_in_their_last_turn(saved: Path) -> None:
    checked = review([PLAIN, TALK], saved)
    checked.decide(0, "edit", "Ada\nVell")
    checked.decide(1, "edit", "She does.")
    plain, talk = checked.kept()
    assert plain == [*PLAIN[:-1], {"role": "assistant", "content": "Ada\nVell"}]
    assert talk == Talk((TALK.messages[0], Turn("assistant", "She does.")), TALK.where)


def test_a_second_decision_replaces_the_first(checked: Review) -> None:
    checked.decide(0, "reject")
    checked.decide(0, "edit", "plum")
    checked.decide(0, "accept")
    assert checked.kept() == [ALPACA]
    assert checked.summary() == "1 of 4 seen: 1 kept, 0 changed, 0 rejected"


def test_an_answer_edited_to_what_it_was_is_accepted(checked: Review) -> None:
    checked.decide(0, "edit", "plum")
    checked.decide(0, "edit", "carp")
    assert checked.decision(0).choice == "accept"  # type: ignore[union-attr]


def test_undo_goes_back_decision_by_decision(checked: Review, saved: Path) -> None:
    checked.decide(0, "accept")
    checked.decide(1, "reject")
    checked.decide(1, "edit", "Bo.")
    assert "example 2 is again rejected" in str(checked.undo())
    assert checked.summary().endswith("1 kept, 0 changed, 1 rejected")
    assert "example 2 is open again" in str(checked.undo())
    assert checked.at == 1
    checked.undo()
    assert checked.summary().startswith("0 of 4 seen")
    assert "nothing to take back" in str(checked.undo())
    assert review(RECORDS, saved).summary().startswith("0 of 4 seen")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((4, "accept"), "no example 4; the 4 examples are 0 to 3"),
        ((-1, "accept"), "no example -1"),
        ((True, "accept"), "no example True"),
        (("0", "accept"), "no example '0'"),
        ((0, "keep"), "'keep' is no decision; there are 'accept', 'edit', 'reject'"),
        ((0, "open"), "'open' is no decision"),
        ((0, "edit"), "needs the new answer"),
        ((0, "edit", " \n"), "better rejected"),
        ((0, "accept", "x"), "takes no text"),
    ],
)
def test_a_decision_that_cannot_be_gets_a_sentence_and_changes_nothing(
    arguments: tuple[Any, ...], sentence: str, checked: Review, saved: Path
) -> None:
    with pytest.raises(CourseError, match=sentence):
        checked.decide(*arguments)
    assert not saved.exists()


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"text": "x"}, "Example 2 has text; an example has instruction and output"),
        ({}, "Example 2 has no fields"),
        ({"instruction": "x", "output": 3}, "Example 2: the field 'output' must be a text, not int"),
        ({"instruction": "x", "output": "y", "input": 3}, "the field 'input' must be a text"),
        ({"instruction": "x", "output": "y", "history": ["ab"]}, "'history' must be a list of pairs"),
        ({"messages": []}, "Example 2 is no example"),
        ({"messages": "hello"}, "Example 2 is no example"),
        ({"messages": ["hello"]}, "Example 2, message 1 must have the fields role and content"),
        ({"messages": [{"role": "user"}]}, "Example 2, message 1: the field 'content' must be a text, not NoneType"),
        ({"messages": PLAIN[:-1]}, "Example 2 ends with a message of 'user'"),
        (3, "Example 2 is no example"),
        ("text", "Example 2 is no example"),
    ],
)
def test_a_record_that_is_no_example_is_named(record: Any, sentence: str, saved: Path) -> None:
    with pytest.raises(CourseError, match=sentence):
        review([PAIR, record], saved)


def test_a_review_of_nothing_gets_a_sentence(saved: Path) -> None:
    with pytest.raises(CourseError, match="nothing to review"):
        review([], saved)


# Going on later


def test_a_review_goes_on_after_the_last_decision(checked: Review, saved: Path) -> None:
    checked.decide(0, "accept")
    checked.decide(2, "edit", "4")
    again = review(RECORDS, saved)
    assert again.summary() == checked.summary()
    assert again.at == 3
    again.decide(3, "reject")
    assert review(RECORDS, saved).at == 1, "round again to what was left out"
    again.decide(1, "accept")
    assert review(RECORDS, saved).at == 1, "all are seen"


def test_decisions_follow_an_example_whatever_its_place_and_form(checked: Review, saved: Path) -> None:
    checked.decide(0, "reject")
    checked.decide(1, "edit", "Bo.")
    asked = f"{ALPACA['instruction']}\n\n{ALPACA['input']}"
    as_chat = {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": "carp"}]}
    again = review([PAIR, TALK, {"prompt": "new", "completion": "one"}, as_chat], saved)
    assert again.summary() == "2 of 4 seen: 0 kept, 1 changed, 1 rejected"
    assert again.kept()[0].messages[-1].content == "Bo."
    assert again.at == 2


def test_an_example_that_was_changed_in_the_data_comes_up_again_and_its_old_decision_stays(
    checked: Review, saved: Path
) -> None:
    checked.decide(2, "reject")
    mended = {**PAIR, "completion": "4"}
    assert review([mended], saved).summary().startswith("0 of 1 seen")
    review([mended], saved).decide(0, "accept")
    assert review([PAIR, mended], saved).summary() == "2 of 2 seen: 1 kept, 0 changed, 1 rejected"


def test_earlier_turns_and_the_system_prompt_are_part_of_an_example() -> None:
    one = {"instruction": "Why?", "output": "So.", "system": "Be brief.", "history": [["Hi", "Hello"]]}
    read = example.read(one, "Example 1")
    assert [role for role, _ in read.turns] == ["system", "user", "assistant", "user", "assistant"]
    assert read.key != example.read({**one, "history": []}, "Example 1").key


def test_without_a_name_decisions_go_to_the_learners_own_folder(own_home: Path) -> None:
    review(RECORDS).decide(0, "accept")
    assert [line["decision"] for line in lines(own_home / "reviews.jsonl")] == ["accept"]
    assert review([ALPACA]).summary().startswith("1 of 1 seen")


def test_looking_writes_nothing(tmp_path: Path) -> None:
    str(review(RECORDS, tmp_path / "deep" / "mine.jsonl"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_reviewed_with_its_decisions_beside_it_and_what_is_kept_can_be_written(tmp_path: Path) -> None:
    from course_lib.records.exchange import read_conversations, write_conversations

    source = tmp_path / "data.jsonl"
    rows = [ALPACA, {**ALPACA, "input": "fig, tench", "output": "fig"}, {**ALPACA, "input": "oak, elm, eel"}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    checked = review(str(source))
    assert "data.jsonl, line 1" in str(checked.show(0))
    assert "data.jsonl, line 1" in checked.html()
    checked.decide(0, "accept")
    checked.decide(1, "edit", "tench")
    checked.decide(2, "reject")
    assert [line["decision"] for line in lines(tmp_path / "data.review.jsonl")] == ["accept", "edit", "reject"]
    assert review(rows, tmp_path / "data.review.jsonl").summary() == checked.summary()
    write_conversations(tmp_path / "kept.jsonl", checked.kept(), "alpaca")
    written = lines(tmp_path / "kept.jsonl")
    assert [(row["input"], row["output"], row["task"]) for row in written] == [
        ("mango, carp", "carp", "odd"),
        ("fig, tench", "tench", "odd"),
    ]
    assert [one.reply for one in read_conversations(tmp_path / "kept.jsonl")] == ["carp", "tench"]


# The file


def test_every_decision_is_a_line_at_once_that_can_be_read_without_the_data(checked: Review, saved: Path) -> None:
    checked.decide(1, "edit", "Bö.")
    (line,) = lines(saved)
    assert (line["decision"], line["text"], line["messages"]) == ("edit", "Bö.", CHAT["messages"])


def test_two_notebooks_on_one_file_lose_nothing_and_the_last_one_counts(checked: Review, saved: Path) -> None:
    other = review(RECORDS, saved)
    checked.decide(0, "accept")
    other.decide(1, "reject")
    checked.decide(2, "edit", "4")
    other.decide(0, "edit", "plum")
    assert checked.summary() == other.summary() == "3 of 4 seen: 0 kept, 2 changed, 1 rejected"
    assert review(RECORDS, saved).kept()[0]["output"] == "plum"


def test_a_damaged_line_is_left_out_and_the_file_as_it_was_is_kept(checked: Review, saved: Path) -> None:
    checked.decide(0, "accept")
    checked.decide(1, "reject")
    with saved.open("ab") as file:
        file.write(b'\x00\xff{"key": "torn')
    broken = saved.read_bytes()
    again = review(RECORDS, saved)
    assert "damaged in part; as it was, it is kept as mine.damaged-1.jsonl" in again.trouble
    assert again.trouble in str(again)
    assert (saved.parent / "mine.damaged-1.jsonl").read_bytes() == broken
    assert again.summary().startswith("2 of 4 seen")
    again.decide(2, "accept")
    assert len(lines(saved)) == 3
    assert review(RECORDS, saved).trouble == ""


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[1, 2]\n", b'{"key": 3, "decision": "accept"}\n', b"{" * 9999])
def test_a_file_without_a_readable_line_is_kept_aside_and_begun_anew(content: bytes, saved: Path) -> None:
    saved.write_bytes(content)
    checked = review(RECORDS, saved)
    checked.decide(0, "accept")
    assert (saved.parent / "mine.damaged-1.jsonl").read_bytes() == content
    assert [line["decision"] for line in lines(saved)] == ["accept"]


def test_damage_while_a_review_goes_on_loses_no_decision(checked: Review, saved: Path) -> None:
    checked.decide(0, "accept")
    saved.write_bytes(saved.read_bytes()[:-9])  # the line is torn
    checked.decide(1, "reject")
    assert checked.summary().startswith("2 of 4 seen")
    assert (saved.parent / "mine.damaged-1.jsonl").exists()
    assert review(RECORDS, saved).summary().startswith("2 of 4 seen")


def test_a_line_without_its_end_is_not_run_into(checked: Review, saved: Path) -> None:
    checked.decide(0, "accept")
    saved.write_bytes(saved.read_bytes().rstrip(b"\n"))
    checked.decide(1, "reject")
    assert [line["decision"] for line in lines(saved)] == ["accept", "reject"]


def test_a_file_that_vanished_is_written_again_with_all_that_is_known(checked: Review, saved: Path) -> None:
    checked.decide(0, "accept")
    saved.unlink()
    checked.decide(1, "reject")
    assert review(RECORDS, saved).summary().startswith("2 of 4 seen")


def test_the_data_itself_is_refused_as_the_file_of_decisions(saved: Path, tmp_path: Path) -> None:
    saved.write_text(json.dumps(PAIR) + "\n")
    with pytest.raises(CourseError, match="holds records that are no decisions"):
        review(RECORDS, saved)
    assert saved.read_text() == json.dumps(PAIR) + "\n"
    for name in (tmp_path / "data.csv", tmp_path):
        with pytest.raises(CourseError, match=r"ends with \.jsonl"):
            review(RECORDS, name)


def test_a_folder_that_cannot_be_written_costs_nothing_until_the_kernel_stops(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    checked = review(RECORDS, tmp_path / "taken" / "mine.jsonl")
    assert "kept only until this kernel stops" in str(checked.decide(0, "accept"))
    checked.decide(1, "reject")
    assert checked.summary().startswith("2 of 4 seen")
    (tmp_path / "taken").unlink()
    checked.decide(2, "accept")
    assert checked.trouble == ""
    assert review(RECORDS, tmp_path / "taken" / "mine.jsonl").summary().startswith("3 of 4 seen")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that share what is loaded")
def test_processes_that_decide_at_once_lose_no_decision(saved: Path) -> None:
    many = [{"prompt": f"{n} + 1 =", "completion": str(n + 1)} for n in range(40)]
    children = []
    for first in range(2):
        child = os.fork()
        if not child:
            mine = review(many, saved)
            for index in range(first, 40, 2):
                mine.decide(index, "accept")
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert review(many, saved).summary() == "40 of 40 seen: 40 kept, 0 changed, 0 rejected"


# What is shown


def test_the_text_shows_where_the_review_stands_and_how_to_decide(checked: Review) -> None:
    checked.decide(0, "accept")
    text = str(checked)
    assert text.startswith("1 of 4 seen: 1 kept, 0 changed, 0 rejected.")
    assert "Example 2 of 4 (index 1), not looked at yet\n\nUser:\nWho bakes?\n\nAnswer:\nAda." in text
    assert '.decide(index, "accept")' in text
    assert "Instruction:\nWhich word does not belong?\n\nInput:\nmango, carp\n\nAnswer:\ncarp" in str(checked.show(0))
    checked.decide(2, "edit", "4")
    assert str(checked.show(2)).endswith("Answer:\n5\n\nChanged to:\n4")


def test_outside_a_notebook_no_widget_is_offered_and_inside_the_same_text_stands_beside_it(
    checked: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    static = checked._repr_mimebundle_()
    assert set(static) == {"text/plain", "text/html"}
    monkeypatch.setattr(show, "widgets_work", lambda: True)
    bundle = checked._repr_mimebundle_()
    assert bundle.pop("application/vnd.jupyter.widget-view+json")["model_id"]
    assert bundle == static


def test_the_page_escapes_what_examples_contain(saved: Path) -> None:
    page = review([{"prompt": "<b>bold</b> & $x$", "completion": "<script>"}], saved).html()
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; " in page
    assert "<script>" not in page
    assert "$x$" not in page


# The panel


def test_the_panel_goes_on_by_itself_and_says_what_was_decided(checked: Review, saved: Path) -> None:
    panel = checked.panel()
    assert "Example 1 of 4" in panel.body.value
    panel.buttons["accept"].click()
    assert "Example 2 of 4" in panel.body.value
    assert "Example 1 accepted. 1 of 4 seen: 1 kept" in panel.status.value
    assert 'role="status" aria-live="polite"' in panel.status.value
    assert '<progress value="1" max="4"' in panel.head.value
    panel.buttons["reject"].click()
    assert [line["decision"] for line in lines(saved)] == ["accept", "reject"]


def test_an_answer_is_changed_in_the_panel(checked: Review) -> None:
    panel = checked.panel()
    assert (panel.change.layout.display, panel.choose.layout.display) == ("none", "")
    panel.buttons["edit"].click()
    assert (panel.change.layout.display, panel.choose.layout.display) == ("", "none")
    assert all(part.layout.display != "none" for part in panel.change.children)
    assert panel.field.value == "carp"
    panel.field.value = "the carp"
    panel.buttons["save"].click()
    assert panel.change.layout.display == "none"
    assert checked.kept() == [{**ALPACA, "output": "the carp"}]
    panel.buttons["back"].click()
    assert "Answer before" in panel.body.value
    panel.buttons["edit"].click()
    assert panel.field.value == "the carp"
    panel.field.value = "  "
    panel.buttons["save"].click()
    assert "Not possible" in panel.status.value
    panel.field.value = "not kept yet"
    panel.buttons["leave"].click()
    assert checked.kept()[0]["output"] == "the carp"


def test_a_text_that_arrives_after_the_button_that_keeps_it_is_kept(checked: Review) -> None:
    panel = checked.panel()
    panel.buttons["edit"].click()
    panel.buttons["save"].click()
    assert "Example 1 accepted" in panel.status.value
    panel.field.value = "the carp"
    assert "Example 1 changed" in panel.status.value
    assert "Example 2 of 4" in panel.body.value
    panel.buttons["edit"].click()
    panel.field.value = "Bo."
    panel.buttons["leave"].click()
    panel.field.value = "late, and left"
    assert checked.kept() == [{**ALPACA, "output": "the carp"}]


def test_the_panel_goes_back_and_forth_and_to_what_is_not_seen(checked: Review) -> None:
    panel = checked.panel()
    panel.buttons["back"].click()
    assert "Example 4 of 4" in panel.body.value
    panel.buttons["next"].click()
    assert "Example 1 of 4" in panel.body.value
    for index in (1, 2):
        checked.decide(index, "accept")
    panel.buttons["accept"].click()
    assert checked.decision(0).choice == "accept", "what is shown is decided"  # type: ignore[union-attr]
    assert "Example 4 of 4" in panel.body.value
    panel.buttons["undo"].click()
    assert "Example 1 of 4" in panel.body.value
    panel.buttons["reject"].click()
    panel.buttons["accept"].click()
    assert "That was the last one" in panel.status.value
    panel.buttons["open"].click()
    assert "Every example has been looked at" in panel.status.value


def test_a_panel_sees_what_another_notebook_decided(checked: Review, saved: Path) -> None:
    panel = checked.panel()
    review(RECORDS, saved).decide(1, "reject")
    panel.buttons["accept"].click()
    assert "Example 3 of 4" in panel.body.value


def test_only_core_widgets_of_both_versions_are_used(checked: Review) -> None:
    def kinds(widget: Any) -> set[str]:
        return {type(widget).__name__}.union(*[kinds(child) for child in getattr(widget, "children", ())])

    panel = checked.panel()
    assert kinds(panel.widget) == {"VBox", "HBox", "HTML", "Button", "Textarea"}
    assert "course-review" in panel.widget._dom_classes
    assert not panel.field.continuous_update


def test_every_key_presses_a_button_that_is_there(checked: Review) -> None:
    markup = review_panel.look()
    keys = {key: name for name, (_, key, _) in review_panel.BUTTONS.items() if key}
    assert keys == {"a": "accept", "e": "edit", "r": "reject", "u": "undo", "n": "open",
                    "arrowleft": "back", "arrowright": "next"}  # fmt: skip
    assert all(f"'{key}': '{name}'" in markup for key, name in keys.items())
    panel = checked.panel()
    assert all(f"do-{name}" in panel.buttons[name]._dom_classes for name in review_panel.BUTTONS)
    assert markup.count("<style onload=") == 2
    handler = markup.split('<style onload="')[2].split('">')[0]
    assert '"' not in handler
    assert handler.count("{") == handler.count("}")
    assert "closest('.course-review')" in handler
