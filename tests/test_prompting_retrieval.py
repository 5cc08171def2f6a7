"""Pieces of documents, both indexes against their formulas, recall, and answers from what was found."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from course_lib import hub
from course_lib.errors import CourseError
from course_lib.prompting import Passage, VectorIndex, WordIndex, chunk, embed, measure, misspelt, recall, with_passages
from course_lib.prompting.grounded import joined
from course_lib.prompting.retrieval import Hit, sentences
from course_lib.prompts import task
from rule_writer import RuleWriter

PASSAGES = [
    Passage("The ferry leaves at dawn.", "a"),
    Passage("Ama keeps the inn. The inn is old.", "b"),
    Passage("The market sells salted fish.", "c"),
]


@pytest.fixture(scope="module")
def encoder() -> tuple[Any, Any]:
    return hub.load_encoder("minilm")


def test_sentences_end_at_signs_before_a_capital() -> None:
    assert sentences("It cost 3.50 kori. Who paid?  Ama did!") == ["It cost 3.50 kori.", "Who paid?", "Ama did!"]
    assert sentences("no end") == ["no end"]
    assert sentences("") == []


def test_pieces_are_whole_sentences_and_share_the_last_one() -> None:
    text = "One two three. Four five six. Seven eight nine."
    assert [one.text for one in chunk("d", text, words=6, overlap=0)] == [
        "One two three. Four five six.",
        "Seven eight nine.",
    ]
    pieces = chunk("d", text, words=6, overlap=1)
    assert [one.text for one in pieces] == ["One two three. Four five six.", "Four five six. Seven eight nine."]
    assert [(one.document, one.number) for one in pieces] == [("d", 0), ("d", 1)]


def test_a_long_sentence_is_a_piece_of_its_own() -> None:
    pieces = chunk("d", "A b. One two three four five six. C d.", words=4, overlap=1)
    assert [one.text for one in pieces] == ["A b.", "One two three four five six.", "C d."]
    assert chunk("d", "", words=4) == []


def test_bm25_by_hand() -> None:
    # three passages of 5, 8 and 5 words, mean 6; "inn" stands twice in b and nowhere else; k1 = 1.5, b = 0.75
    # idf = ln(1 + (3 - 1 + 0.5) / (1 + 0.5)) = ln(1 + 5/3); length part: 1.5 * (0.25 + 0.75 * 8/6) = 1.875
    idf = math.log(1 + 2.5 / 1.5)
    (hit,) = WordIndex(PASSAGES).search(["inn"])[0]
    assert hit.passage.document == "b"
    assert hit.score == pytest.approx(idf * 2 * 2.5 / (2 + 1.875))


def test_words_the_passages_do_not_have_count_nothing() -> None:
    hits = WordIndex(PASSAGES).search(["Which harbour?"], k=3)[0]
    assert [hit.score for hit in hits] == [0.0, 0.0, 0.0]


def test_a_vector_is_the_mean_over_the_tokens_of_a_text_whatever_stands_beside_it(encoder: tuple[Any, Any]) -> None:
    model, tokenizer = encoder
    texts = ["A short one.", "A text that is rather longer than the other one, so that the other is padded."]
    together = embed(texts, encoder)
    for text, vector in zip(texts, together, strict=True):
        with torch.inference_mode():
            states = model(**tokenizer([text], return_tensors="pt")).last_hidden_state[0]
        mean = states.mean(0).numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
    assert embed([], encoder).shape == (0, together.shape[1])


def test_vectors_find_what_words_do_not(encoder: tuple[Any, Any]) -> None:
    query = "When does the boat sail in the morning?"
    hits = VectorIndex(PASSAGES, encoder).search([query], k=3)[0]
    assert hits[0].passage.document == "a"
    assert hits[0].score > hits[1].score > hits[2].score


def test_recall_needs_the_right_document_and_the_answer_in_the_piece() -> None:
    records = [
        {"question": "Who keeps the inn?", "answer": "Ama", "document": "b"},
        {"question": "What does the market sell?", "answer": "pearls", "document": "c"},  # not in the piece
        {"question": "When does the ferry leave?", "answer": "at dawn", "document": "z"},  # another document
        {"question": "Is the inn old?", "document": "b"},  # no answer: the document is enough
    ]
    found = recall(WordIndex(PASSAGES), records, ks=(1, 3))
    assert found[1][0] == found[3][0] == 0.5
    assert found[1][1] < 0.5 < found[1][2]
    with pytest.raises(CourseError, match="'document'"):
        recall(WordIndex(PASSAGES), [{"question": "?"}])


def test_misspelling_exchanges_letters_inside_long_words_only() -> None:
    text = "Who keeps the old lantern house?"
    wrong = misspelt(text)
    assert wrong != text
    assert misspelt(text) == wrong
    assert misspelt("Who is it?") == "Who is it?"
    for before, after in zip(text.split(), wrong.split(), strict=True):
        assert sorted(before) == sorted(after)
        assert (before[0], before[-1]) == (after[0], after[-1])


def test_the_passages_fill_the_prompt_the_best_one_next_to_the_question() -> None:
    writer = RuleWriter(lambda prompt, sample: " Ama.\n")
    template = task("passages/open").main
    answer = with_passages(
        writer, template, [{"question": "Who keeps the inn?"}], index=WordIndex(PASSAGES), passages=2
    )[0]
    assert writer.prompts[0].endswith("Ama keeps the inn. The inn is old.\nQuestion: Who keeps the inn?\nAnswer:")
    assert answer.text == "Ama"
    assert answer.detail["passages"][0].passage.document == "b"


def test_answers_from_a_collection_can_be_measured_on_records_without_a_passage() -> None:
    records = [{"question": "Who keeps the inn?", "answer": "Ama"}, {"question": "Who sells fish?", "answer": "Bao"}]
    writer = RuleWriter(lambda prompt, sample: " Ama\n")
    got = measure(with_passages, writer, task("passages/open").main, records, index=WordIndex(PASSAGES))
    assert got.right == (True, False)


def test_a_sentence_that_two_passages_share_is_shown_once() -> None:
    hits = [Hit(Passage("B. C.", "d", 1), 2.0), Hit(Passage("A. B.", "d", 0), 1.0)]
    assert joined(hits) == "A. B. C."


def test_a_template_without_a_passage_is_refused() -> None:
    with pytest.raises(CourseError, match="no field 'passage'"):
        with_passages(RuleWriter(), task("passages/closed").main, [{"question": "?"}], index=WordIndex(PASSAGES))


def test_an_index_needs_passages_and_a_search_a_number() -> None:
    with pytest.raises(CourseError, match="at least one passage"):
        WordIndex([])
    with pytest.raises(CourseError, match="no word"):
        WordIndex([Passage("?!", "a")])
    with pytest.raises(CourseError, match="1 passage or more"):
        WordIndex(PASSAGES).search(["inn"], k=0)
