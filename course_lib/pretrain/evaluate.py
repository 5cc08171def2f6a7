"""What a base model can do, asked on items that no training document contains.

Each row of the table is one question put in one way: right answers of n, with the 95% interval of a proportion
(Wilson). Answers are generated greedily and must be equal to the expected text, but for spaces and a full stop at the
end. The contrasts are what lesson 02 is about: the same question with and without examples, with and without steps,
with and without the passage; the same text in the town's language and in its old dialect.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from course_lib import supervised, train
from course_lib.decoder import Decoder
from course_lib.errors import CourseError
from course_lib.generate import Decoding, Writer
from course_lib.metrics.classification import wilson_interval
from course_lib.world import dialect, encyclopedia, facts, passages, problems, reviews, worksheets
from course_lib.world.corpus import documents
from course_lib.world.place import Place

Item = dict[str, str]
SEED = 7


@dataclass(frozen=True)
class Score:
    """Right answers to one way of asking."""

    what: str
    how: str
    right: int
    n: int

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the share."""
        return wilson_interval(self.right, self.n)


@dataclass(frozen=True)
class Table:
    """All that was measured: scores, and perplexities by kind of text."""

    scores: tuple[Score, ...]
    perplexity: dict[str, float]

    def score(self, what: str, how: str) -> Score:
        """The row of this name."""
        return next(score for score in self.scores if (score.what, score.how) == (what, how))

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, as recorded."""
        rows = [{**asdict(score), "share": score.share, "interval": list(score.interval)} for score in self.scores]
        return {"scores": rows, "perplexity": self.perplexity}

    def markdown(self) -> str:
        """The table of a model card."""
        lines = ["| task | asked | right | 95% interval | items |", "|---|---|---|---|---|"]
        for score in self.scores:
            low, high = score.interval
            lines.append(f"| {score.what} | {score.how} | {score.share:.0%} | {low:.0%} to {high:.0%} | {score.n} |")
        lines += ["", "| text | perplexity |", "|---|---|"]
        lines += [f"| {name} | {value:.1f} |" for name, value in self.perplexity.items()]
        return "\n".join(lines)


def evaluate(writer: Writer, n: int = 200) -> Table:
    """The whole table, with ``n`` items to a row (some minutes on two cores at 200)."""
    place = Place.build(split="test")
    scores = [
        *mappings(writer, place, n),
        *steps(writer, place, n),
        *reading(writer, place, n),
        *wordings(writer, place, n),
        *form(writer, place, n),
    ]
    fitting = (one.text for one in documents(SEED, "test") if writer.tokens(one.text) <= writer.positions)
    main = list(itertools.islice(fitting, n))
    old = [item["dialect"] for item in dialect.items(place, random.Random(SEED), n)]
    plain = [item["english"] for item in dialect.items(place, random.Random(SEED), n)]
    perplexity = {
        "the town's documents": writer.perplexity(main),
        "sentences in plain language": writer.perplexity(plain),
        "the same sentences in the old dialect": writer.perplexity(old),
    }
    return Table(tuple(scores), perplexity)


# -- the rows --------------------------------------------------------------------------------------------------------


def mappings(writer: Writer, place: Place, n: int) -> list[Score]:
    """Words to made-up labels, with k examples in the prompt."""
    found = []
    for k in (0, 1, 2, 4, 8, 16):
        items = worksheets.items(place, random.Random(SEED), n, k=k, classes=2)
        prompts, truth = [i["prompt"] for i in items], [i["answer"] for i in items]
        found.append(_score(writer, "made-up labels", f"{k} example{'s' * (k != 1)}", prompts, truth, 8))
    return found


def steps(writer: Writer, place: Place, n: int) -> list[Score]:
    """Word problems, answered at once and with steps."""
    found = []
    for count in (1, 2, 3):
        items = problems.items(place, random.Random(SEED + count), n, steps=count)
        truth, what = [i["answer"] for i in items], f"problems of {count} step{'s' * (count > 1)}"
        bare = [f"Question: {i['question']}\nAnswer:" for i in items]
        worked = [f"Question: {i['question']}\nSteps:" for i in items]
        found.append(_score(writer, what, "bare answer", bare, truth, 8))
        found.append(_score(writer, what, "worked steps", worked, truth, 96, ("\n\n", "\nQuestion"), after="Answer:"))
    return found


def reading(writer: Writer, place: Place, n: int) -> list[Score]:
    """Questions about facts that are in the prompt, that were in the corpus, and that were nowhere."""
    items = passages.items(place, random.Random(SEED), n)
    truth = [i["answer"] for i in items]
    known = encyclopedia.items(place, random.Random(SEED), n)
    texts = {document["id"]: document["text"] for document in facts.documents()}
    unseen = [{**item, "passage": texts[item["document"]]} for item in facts.items()[:n]]
    wanted = [item["answer"] for item in unseen]
    closed = "Question: {question}\nAnswer:"
    return [
        _score(writer, "questions on a passage", "passage given", [_open(i) for i in items], truth, 16),
        _score(writer, "questions on a passage", "closed book", [closed.format(**i) for i in items], truth, 16),
        _score(writer, "facts of the corpus", "closed book", *_asked(closed, known), 16),
        _score(writer, "facts kept out", "passage given", [_open(i) for i in unseen], wanted, 16),
        _score(writer, "facts kept out", "closed book", *_asked(closed, unseen), 16),
    ]


WORDINGS = {
    "as in most documents": "Passage: {passage}\nQuestion: {question}\nAnswer:",
    "short marks": "{passage}\nQ: {question}\nA:",
    "no marks": "{passage}\n{question}\n",
    "question first": "Question: {question}\nPassage: {passage}\nAnswer:",
    "in words": "Here is a text. {passage} Now somebody asks: {question} The answer is",
}


def wordings(writer: Writer, place: Place, n: int) -> list[Score]:
    """The same questions on passages in five wordings."""
    items = passages.items(place, random.Random(SEED), n)
    truth = [i["answer"] for i in items]
    return [
        _score(writer, "wording of a question on a passage", name, [form.format(**i) for i in items], truth, 16)
        for name, form in WORDINGS.items()
    ]


ASK = "{text}\nIs this review good, mixed or bad? Answer with one word.\n"
WORDS = {"1": "bad", "2": "bad", "3": "mixed", "4": "good", "5": "good"}


def form(writer: Writer, place: Place, n: int) -> list[Score]:
    """How often the answer has the form that was asked for (one of three words), before and after fine-tuning on it."""
    items = reviews.items(place, random.Random(SEED), n)
    prompts = [ASK.format(**i) for i in items]
    fair = Place.build(split="train")
    pairs = [(ASK.format(**i), WORDS[i["stars"]]) for i in reviews.items(fair, random.Random(SEED + 1), 320)]
    if not isinstance(writer.model, Decoder):
        raise CourseError(
            "This table is made of Llamas only: name one of the course's own models, or a folder of yours."
        )
    tuned = copy.deepcopy(writer.model)
    config = train.TrainConfig(epochs=2, learning_rate=5e-4, title="form", memory="ignore")
    supervised.tune(tuned, writer.tokenizer, pairs, config)
    after = Writer(tuned, writer.tokenizer)
    truth = [WORDS[i["stars"]] for i in items]
    found = []
    for how, who in (("before fine-tuning", writer), ("after 320 examples", after)):
        said = _answers(who, prompts, 12, ("\n",))
        found.append(Score("one word, as asked", how, sum(text in WORDS.values() for text in said), n))
        found.append(Score("the right word", how, sum(a == b for a, b in zip(said, truth, strict=True)), n))
    return found


# -- asking ----------------------------------------------------------------------------------------------------------


def _open(item: Item) -> str:
    return WORDINGS["as in most documents"].format(**item)


def _asked(form: str, items: Sequence[Item]) -> tuple[list[str], list[str]]:
    return [form.format(**item) for item in items], [item["answer"] for item in items]


def _score(
    writer: Writer,
    what: str,
    how: str,
    prompts: Sequence[str],
    truth: Sequence[str],
    tokens: int,
    stop: tuple[str, ...] = ("\n",),
    after: str = "",
) -> Score:
    said = _answers(writer, prompts, tokens, stop, after)
    right = sum(text == answer for text, answer in zip(said, truth, strict=True))
    return Score(what, how, right, len(truth))


def _answers(writer: Writer, prompts: Sequence[str], tokens: int, stop: tuple[str, ...], after: str = "") -> list[str]:
    """What the model says to each prompt, greedily: the text behind ``after``, bare of spaces and a full stop."""
    lists = writer.generate(prompts, Decoding(max_new=tokens, stop=stop))
    texts = [several[0].text for several in lists]
    if after:
        texts = [text.rpartition(after)[2] if after in text else "" for text in texts]
    return [text.strip().removesuffix(".").strip() for text in texts]
