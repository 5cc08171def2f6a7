# %% [markdown]
# # 02 Prompting against fine-tuning
#
# There are three ways to make a language model do your work: ask it well, give it what it needs to read, or train it. Talks have rules for
# which one to take. This lesson measures all three on the same questions, with their prices, so that you can make the rule that fits *your*
# case. It also shows where such a model comes from: you will begin to make one yourself.
#
# **You will be able to**
#
# * say what a base model does with a prompt, and why it does not obey;
# * measure a wording, examples, worked steps, a vote and a search, each with its interval and its price;
# * build retrieval and say how much of its success is the search and how much is the model;
# * fine-tune on the same task, and put everything into one figure of accuracy against cost;
# * decide what to try first, and from how many answers on training pays.
#
# | tier | model | minutes | memory |
# |---|---|---|---|
# | `cpu`, two cores | the course's base model, 6 million parameters, made from nothing | under 3 | about 2 GB of RAM |
# | `t4` | SmolLM2 with 1.7 billion parameters, instruction-tuned; GSM8K | not measured yet | not measured yet |
# | `gpu` | the same, on more questions | not measured yet | not measured yet |

# %% tags=["setup"]

# %% [markdown] tags=["instructor"]
# **Timing:** 90 minutes with the exercises. Run all at the start. **Ask first:** "How many examples would you put into a prompt, and why
# that many?" Keep the numbers until section 4. **Where people get stuck:** they take a base model for a chat model that is bad at its job; let
# them play with the workbench of section 10 before they judge. Leave a quarter of an hour for the last figure: it is what they should take home.

# %% [markdown]
# ## 1 What a base model does
#
# It continues. It was trained on one thing only, to say what comes next in a text, and everything else in this lesson is a way of putting a
# question so that the continuation happens to be the answer. On two cores the course uses a model of its own that has read about one
# invented market town, Saromi, and nothing else; that makes it small enough to be watched closely. The text comes piece by piece:

# %%
from collections import Counter
from random import Random

from course_lib import problems, prompting, prompts, tiers
from course_lib.generate import Decoding, Writer
from course_lib.teach import claims, exercises, plots, widgets
from course_lib.world import facts, passages, reviews, worksheets
from course_lib.world.place import Place

tier, town = tiers.current(), Place.build(split="test")
writer = Writer.from_name(tier.writer)
for piece in writer.stream("The fish market of Saromi", Decoding(max_new=60, temperature=0.7)):
    print(piece, end="")

# %% [markdown]
# What can one do with something that continues? Nearly every use is a matter of writing the beginning. One record is enough for several
# tasks: the course keeps wordings as templates, and what stands behind the mark `|||` is what the model is to write.

# %%
review = reviews.items(town, Random(5), 1)[0]
for name in ("reviews/rating", "reviews/headline", "reviews/writing"):
    template = prompts.task(name).main
    (answer,) = prompting.zero_shot(writer, template, [review])
    print(f"--- {name}\n{template.prompt(review)}[{answer.written.strip()}]  right: {template.answer(review)[:90]}")

# %% [markdown]
# Such a template is filled in by a sandbox. It may pick fields, choose and repeat, and nothing else, because templates are often written by
# people you do not know. A field that is missing is an error with a name and not an empty hole in the prompt.
#
# Now *tell* the model what to do. A base model of documents has hardly ever seen an order followed by its execution; a model that was tuned on
# instructions has seen little else. Look at what yours makes of it:

# %%
order = prompts.task("reviews/headline").wording("order")
(answer,) = prompting.zero_shot(writer, order, [review], decoding=Decoding(max_new=40, stop=("\n\n",)))
print(f"{order.prompt(review)}[{answer.written.strip()}]")

# %% [markdown]
# ## 2 Wording
#
# The same question can be put in many ways, and to you they are the same. We ask about short passages, five wordings, always the same
# passages and questions, and two sizes of model where there are two. The first wording is the one that the course's documents use most; the
# last is an order.

# %%
asked = passages.items(town, Random(1), tier.items)
models = {tier.pretrain_model: Writer.from_name(tier.pretrain_model), tier.writer: writer}
task = prompts.task("passages/open")
spread = {name: prompting.across_wordings(prompting.zero_shot, one, task, asked) for name, one in models.items()}


# %%
def banded(found):
    """Accuracies with their 95% intervals, as the plots take them."""
    found = list(found)
    return [m.accuracy for m in found], [m.interval[0] for m in found], [m.interval[1] for m in found]


series = {name: banded(found.values()) for name, found in spread.items()}
words = {"xlabel": "Wording", "ylabel": "Right (%)", "title": "The same questions in five wordings"}
plots.bars(list(task.wordings), series, percent=True, **words)

# %% [markdown]
# How far apart are the best and the worst wording, and could that be luck? Both answered the same questions, so the paired test of lesson
# 03 applies: it looks only at those that one of the two gets right.


# %%
def compare(first, second):
    d = prompting.difference(first, second)
    verdict = "more than luck" if d.p < 0.05 else "could be luck"
    print(f"{first.name} against {second.name}: {100 * d.points:+.0f} points, p = {d.p:.2g}, {verdict}")


for name, found in spread.items():
    ranked = sorted(found.values(), key=lambda m: m.accuracy)
    print(name, end=": ")
    compare(ranked[-1], ranked[0])

# %% [markdown]
# Whoever tries five wordings and reports the best one has chosen on the test. Choose the wording on other questions than those you report,
# and never compare two models by one wording of *yours*.
#
# ## 3 Examples
#
# Here is a task that cannot be guessed, not even by a model that has read everything: words get labels that were made up a moment ago.
# What the labels mean stands only in the examples before the question.

# %%
cards = worksheets.items(town, Random(2), tier.items, k=16)
labels = prompts.task("worksheets/label").main
print(prompts.few_shot(labels, prompting.own_rows(cards[0])[:6], cards[0]))
print("\nright:", cards[0]["answer"], "- one of", cards[0]["labels"])

# %% [markdown]
# **Exercise 1.** Build such a prompt yourself. The last line must be exactly what the other lines are up to their label.

# %% tags=["solution"]
# exercise: 02-few-shot

# %%
exercises.check("02-few-shot", prompt)

# %% [markdown]
# How many examples does it take? We ask in two ways. *Writing* lets the model write what it likes, so it must find out that a label is
# wanted, and which. *Choosing* writes nothing: of the two labels it takes the likelier one, so its form is always right and a coin gets half.

# %%
counts = [0, 1, 2, 4, 8, 16]
ways = {"writing": prompting.k_shot, "choosing": prompting.choose}
shots = {
    name: [prompting.measure(way, writer, labels, cards, examples=prompting.own_rows, k=k) for k in counts]
    for name, way in ways.items()
}
series = {name: banded(found) for name, found in shots.items()}
words = {"xlabel": "Examples in the prompt", "ylabel": "Right (%)", "title": "Made-up labels, learned from the prompt"}
plots.line(counts, series, percent=True, ylim=(0, 1), references={"a coin": 0.5}, **words)

# %% [markdown]
# "Two to four examples are enough", one hears, and "ten or more restrict the model". The band says how sure each point is. And this is the
# price: every example is read again for every question.

# %%
best = max(shots["writing"], key=lambda m: m.accuracy)
for k, found in zip(counts, shots["writing"], strict=True):
    p = prompting.difference(best, found).p
    told = "not shown to be worse than the best" if p >= 0.05 else "worse than the best"
    print(f"{k:>2} examples: {found.accuracy:4.0%}, {found.tokens_in:4.0f} tokens read, {told} (p = {p:.2g})")

# %% [markdown]
# No weight has changed in all this. What looks like learning is reading: the model recognises that rows repeat, and looks up what stood
# behind a similar word. It does not last longer than the prompt.
#
# ## 4 Steps
#
# Now word problems, by the number of steps of arithmetic that they take. Asked for the bare number, the model has to do all steps at once, inside a
# single pass from the question to the answer. Asked for the steps, it may write each result down and look at it again.

# %%
mixed = problems.load(tier.problems, "test", 5 * tier.items)
lengths = Counter(int(one["n_steps"]) for one in mixed)
usual = sorted(n for n, _ in lengths.most_common(3))
lots = {n: [one for one in mixed if int(one["n_steps"]) == n][: tier.items] for n in usual}
*_, medium, hard = [lots[usual[0]], *lots.values()]
print("problems by their number of steps:", {n: len(lot) for n, lot in lots.items()})
bare, worked = prompts.task("problems/bare").main, prompts.task("problems/worked").main
longest = max(writer.tokens(record["steps"]) for lot in lots.values() for record in lot)
room = Decoding(max_new=min(longest + 30, writer.positions // 2))
(shown,) = prompting.step_by_step(writer, worked, medium[:1], decoding=room)
print(f"{worked.prompt(medium[0])}[{shown.written.strip()}]\nright: {medium[0]['answer']}")

# %%
steps = {
    "bare answer": [
        prompting.measure(prompting.zero_shot, writer, bare, lot, name="bare answer") for lot in lots.values()
    ],
    "worked steps": [
        prompting.measure(prompting.step_by_step, writer, worked, lot, decoding=room, name="worked steps")
        for lot in lots.values()
    ],
}
series = {name: banded(found) for name, found in steps.items()}
words = {"xlabel": "Steps that the problem takes", "ylabel": "Right (%)", "title": "Bare answers and worked steps"}
plots.bars([str(n) for n in lots], series, percent=True, **words)

# %%
for n, straight, written in zip(lots, *steps.values(), strict=True):
    print(f"{n} step{'s' * (n > 1)}: {written.tokens_out / straight.tokens_out:.1f} times the tokens written", end="; ")
    compare(written, straight)

# %% [markdown]
# Steps cost tokens, and written tokens are the dear ones, since they are computed one after the other. The more steps a problem takes, the
# more there should be to gain; see whether the figure agrees, and whether anything is gained where there is a single step. Where steps help
# there is a plain reason: the model has read worked problems. A model learns to reason aloud from texts that do.
#
# ## 5 A vote
#
# With a temperature above zero the model takes another way each time. Wrong workings scatter, right ones meet: so let several be written
# and count what they end in.
#
# **Exercise 2.** Count the votes. What was cut off before its answer has none.

# %% tags=["solution"]
# exercise: 02-vote

# %%
exercises.check("02-vote", vote)

# %%
ask = {"writer": writer, "template": worked, "records": hard, "decoding": room}
several = f"vote of {tier.samples}"
voting = [
    steps["worked steps"][-1],
    prompting.measure(prompting.self_consistency, **ask, n=1, temperature=0.7, name="one sample"),
    prompting.measure(prompting.self_consistency, **ask, n=tier.samples, temperature=0.7, name=several),
]
columns = {"strategy": "Way", "accuracy": ("Right", "{:.0%}"), "low": ("from", "{:.0%}"), "high": ("to", "{:.0%}")}
columns |= {"tokens in": ("Tokens read", "{:.0f}"), "tokens out": ("written", "{:.0f}"), "calls": ("Calls", "{:.1f}")}
columns |= {"seconds": ("Seconds", "{:.2f}")}
plots.table(
    [m.row() for m in voting], columns, caption=f"Problems of {usual[-1]} steps; tokens, calls and seconds per answer"
)

# %%
compare(voting[2], voting[0])
compare(voting[2], voting[1])

# %% [markdown]
# Compare the vote with *both* of its rivals. Against a single sample it nearly always looks good, because sampling alone costs accuracy; what
# you would really do without it is the greedy answer. Its second use is often worth more: the share of votes for the winner says how far to
# trust it.

# %%
shares = [(answer.detail["agreement"], right) for answer, right in zip(voting[2].answers, voting[2].right, strict=True)]
for name, some in (("all agree", [r for s, r in shares if s == 1]), ("they differ", [r for s, r in shares if s < 1])):
    print(f"{name}: {len(some)} questions" + (f", {sum(some) / len(some):.0%} of them right" if some else ""))

# %% [markdown]
# ## 6 A search
#
# Some tasks cannot be written from left to right, however many steps are allowed: a wrong first step has to be given up. Here is one of
# that kind: reach a number with all of four given ones. A *tree of thoughts* lets the model propose several next steps, judges where they
# lead, keeps the best and goes on from there. Its honest rivals are many whole solutions, each of them checked, and the same search with the
# model taken out.

# %%
from course_lib.metrics.classification import wilson_interval
from course_lib.prompting import puzzle

puzzles = puzzle.items(Random(3), tier.items // 2, count=4)
worked_out = [one for one in puzzle.items(Random(4), 8, count=4) if one not in puzzles][:3]
climbing = prompts.task("puzzle/steps").main
print(prompts.few_shot(climbing, worked_out, puzzles[0]), "...", puzzles[0]["steps"])


# %%
def by_lot(record, random, width=4, tries=8):
    """The same search with its steps drawn by lot."""
    kept = [puzzle.start(record)]
    while not all(state.finished for state in kept):
        drawn = [random.sample(state.options, min(tries, len(state.options))) for state in kept]
        after = [state.take(step) for state, some in zip(kept, drawn, strict=True) for step in some]
        kept = sorted(after, key=lambda state: state.distance)[:width]
    return any(state.solved for state in kept)


# %%
def solved(record, answer):
    return puzzle.solves(record, answer.text)


ask = {"writer": writer, "template": climbing, "records": puzzles, "examples": worked_out, "judge": solved}
search = [
    prompting.measure(prompting.k_shot, **ask, name="written at once"),
    prompting.measure(prompting.best_of, **ask, n=16, name="best of 16"),
    prompting.measure(prompting.tree_of_thoughts, **ask, width=4, tries=8, name="tree, steps written"),
    prompting.measure(prompting.tree_of_thoughts, **ask, width=4, tries=8, propose="choose", name="tree, steps chosen"),
]
lucky = sum(by_lot(one, Random(i)) for i, one in enumerate(puzzles))
dice = ["tree, steps by lot", lucky / len(puzzles), *wilson_interval(lucky, len(puzzles)), 0, 0, 0, 0]
rows = [m.row() for m in search] + [dict(zip(columns, dice, strict=True))]
plots.table(rows, columns, caption="Reach a number with four others, per puzzle")

# %%
compare(search[2], search[0])
compare(search[2], search[1])
everything = sum(len(list(puzzle.start(one).ends())) for one in puzzles) / len(puzzles)
print(f"a program that tries everything looks at {everything:.0f} ways for a puzzle and always finds one")

# %% [markdown]
# Read the last columns before you envy the first, and read the last row before you praise the model: what a search reaches with its steps
# drawn by lot is due to the search and to its judge, here the puzzle's own distance to the goal. A search makes many calls that wait for
# each other, and it needs somebody who can tell good states from bad ones. Where such a judge is cheap and steps can be listed, a plain
# program may do. Trees are for problems in which neither is so.
#
# ## 7 Facts: closed book or open
#
# The course kept some facts out of the model's training: who keeps which wall, which birds live on which well. No wording will bring out what
# is not in there. But the documents can be searched, and what is found can be put into the prompt. First, is the right passage found? *Words*
# counts rare words that question and passage share (BM25), *meaning* compares vectors of an encoder. People also mistype:

# %%
documents = {document["id"]: document["text"] for document in facts.documents()}
pieces = [piece for name, text in documents.items() for piece in prompting.chunk(name, text)]
indexes = {"words": prompting.WordIndex(pieces), "meaning": prompting.VectorIndex(pieces)}
questions = facts.items()[: tier.items]
mistyped = [one | {"question": prompting.misspelt(one["question"])} for one in questions]
rows = []
for name, index in indexes.items():
    for typed, records in (("as asked", questions), ("mistyped", mistyped)):
        found = prompting.recall(index, records, ks=(1, 3, 5))
        rows.append({"index": name, "typed": typed} | {f"{k}": found[k][0] for k in found})
shares = {k: (f"in the first {k}", "{:.0%}") for k in ("1", "3", "5")}
plots.table(rows, {"index": "Index", "typed": "Questions"} | shares, caption="The right passage is found")

# %% [markdown]
# **Exercise 3.** Write that measure. It is a ceiling: what was not found cannot be answered.

# %% tags=["solution"]
# exercise: 02-recall

# %%
exercises.check("02-recall", recall)

# %% [markdown]
# Now the answers: from memory, with other questions and answers as examples, with the passage that the search found, and with the right
# passage handed over. The last one is no method, it is a probe: what is missing there is missing in the model, what is lost before it is
# lost in the search.

# %%
closed, open_book = prompts.task("passages/closed").main, prompts.task("passages/open").main
others = [one for one in facts.items()[::-1] if one["document"] not in {q["document"] for q in questions}]
others = others or facts.items(seed=1)
holds = {
    (piece.document, one["answer"]): piece.text
    for one in questions
    for piece in pieces
    if one["answer"].lower() in piece.text.lower()
}
handed = [one | {"passage": holds[one["document"], one["answer"]]} for one in questions]
book = {
    "asked": prompting.measure(prompting.zero_shot, writer, closed, questions, name="closed book"),
    "examples": prompting.measure(prompting.k_shot, writer, closed, questions, examples=others[:4], name="4 examples"),
    "retrieved": prompting.measure(
        prompting.with_passages, writer, open_book, questions, index=indexes["words"], name="retrieved"
    ),
}
probe = prompting.measure(prompting.zero_shot, writer, open_book, handed, name="right passage")
plots.table([m.row() for m in (*book.values(), probe)], columns, caption="Facts that the model never read")

# %% [markdown]
# ## 8 Where it comes from: the first minute of pretraining
#
# The model of the course was made with the course's own code, from random weights. You can begin the same run now: documents are generated, a
# tokenizer is learned from them, and the decoder reads them once. The loss is the mean surprise about the next token. A model that knows
# nothing is as surprised as by drawing lots among all tokens. Watch it fall:

# %%
import json
from math import log

from course_lib import hub, pretrain

recipe = pretrain.smaller(pretrain.RECIPES[tier.pretrain_model], tier.pretrain_steps)
made = pretrain.pretrain(recipe, title="from noise")
print(
    f"{made.tokens:,} tokens in {made.seconds:.0f} s; the loss went from {made.history.loss[0]:.2f} to {made.history.loss[-1]:.2f}"
)

# %%
told = json.loads((hub.causal_folder(tier.pretrain_model) / "training.json").read_text(encoding="utf-8"))
width = max(1, len(made.history.loss) // 30)
parts = [made.history.loss[k : k + width] for k in range(0, len(made.history.loss) - width + 1, width)]
read = [made.tokens * (k + 1) * width / len(made.history.loss) / 1000 for k in range(len(parts))]
marks = {
    "drawing lots": log(recipe.shape.vocab_size),
    f"after {told['tokens'] / 1e6:.0f} million": told["loss"][-1]["loss"],
}
words = {"xlabel": "Tokens read (thousand)", "ylabel": "Loss (nats)", "title": "The first minute of a language model"}
plots.line(read, {"this run": [sum(part) / len(part) for part in parts]}, references=marks, **words)

# %% [markdown]
# The fall is steep at first: common words, full stops, what stands on the next line. Everything that this lesson asks for comes later, on the
# long flat part. Here is what the newborn writes, and beside it the model that had time:

# %%
newborn = Writer(made.model, made.tokenizer)
for name, one in (("a minute", newborn), ("hours", models[tier.pretrain_model])):
    (told_by,) = one.generate(["Question: Who keeps the"], Decoding(max_new=30, temperature=0.5))
    print(f"[{name}] Question: Who keeps the{told_by[0].text}\n")

# %% [markdown]
# **Exercise 4.** Perplexity is the other way to state a loss, $e^{\text{loss}}$. Compute it from the probabilities of the tokens that came.

# %% tags=["solution"]
# exercise: 02-perplexity

# %%
exercises.check("02-perplexity", perplexity)

# %% [markdown]
# ## 9 The same tasks, trained
#
# Back to a finished model. We take two tasks that differ in what is missing. The *facts* of section 7 are missing in its knowledge. The other
# one is a *form*: one word for the mood of a review, good, mixed or bad. The town's documents have many reviews with stars, and none with
# this question. For the second task retrieval means to look up similar reviews and to show those as examples.

# %%
moods = {"1": "bad", "2": "bad", "3": "mixed", "4": "good", "5": "good"}


def rated(place, seed, n):
    return [one | {"mood": moods[one["stars"]]} for one in reviews.items(place, Random(seed), n)]


exam, lessons = rated(town, 6, tier.items), rated(Place.build(split="train"), 7, 4 * tier.items)
mood = prompts.task("reviews/mood").wording("order")
shelf = prompting.WordIndex([prompting.Passage(one["text"], str(i)) for i, one in enumerate(lessons)])
print(mood.prompt(exam[0]), "...", exam[0]["mood"])


# %%
def similar(record):
    (hits,) = shelf.search([record["text"]], 4)
    return [lessons[int(hit.passage.document)] for hit in reversed(hits)]


ask = {"writer": writer, "template": mood, "records": exam}
form = {
    "asked": prompting.measure(prompting.zero_shot, **ask, name="asked"),
    "examples": prompting.measure(prompting.k_shot, **ask, examples=lessons[:4], name="4 examples"),
    "retrieved": prompting.measure(prompting.k_shot, **ask, examples=similar, name="4 similar ones"),
}
chosen = prompting.measure(prompting.choose, **ask, examples=lessons[:4], name="4 examples, chosen")
columns["in form"] = ("In the form asked for", "{:.0%}")
plots.table([m.row() for m in (*form.values(), chosen)], columns, caption="One word for a review")

# %% [markdown]
# *Chosen* takes the likeliest of the three words, so its form is always right, and what it still gets wrong is no matter of form. If the examples of
# section 3 worked and these do not, look at what the model has read: rows of words and labels thousands of times, such questions never.
#
# Then we train: on the reviews with their moods for the one task, and for the other on the *documents* that have the answers, in two wordings
# each. `supervised.tune` puts prompt and answer together, leaves the prompt out of the loss, and hands the rest to the loop of lesson 03. The
# wider a model, the smaller its steps should be.

# %%
import torch

from course_lib import decoder, hardware, supervised, train


def tuned(pairs, epochs, title):
    """A fresh copy of the model, trained on pairs of prompt and answer, and what happened."""
    folder = hub.causal_folder(tier.tuned)
    model = decoder.load(folder, torch.float32).to(hardware.device())
    rate = 0.125 / model.config.hidden_size
    tokenizer = hub.load_tokenizer(folder)
    with hardware.Meter() as meter:
        supervised.tune(model, tokenizer, pairs, train.TrainConfig(epochs=epochs, learning_rate=rate, title=title))
    return Writer(model, tokenizer), meter.wall_seconds


# %%
graded, graded_seconds = tuned([mood.render(one) for one in lessons], 2, "moods")
form["tuned"] = prompting.measure(prompting.zero_shot, **ask | {"writer": graded}, name="tuned")
plots.table([m.row() for m in (*form.values(), chosen)], columns, caption="One word for a review")

# %%
wanted = {one["document"] for one in questions}
told_twice = [one for wording in (0, 1) for one in facts.documents(wording=wording) if one["id"] in wanted]
crammed, crammed_seconds = tuned([("", one["text"]) for one in told_twice], 6, "documents")
book["tuned"] = prompting.measure(prompting.zero_shot, crammed, closed, questions, name="tuned")
print(book["tuned"])
compare(book["retrieved"], book["tuned"])
compare(form["tuned"], form["retrieved"])
compare(form["tuned"], chosen)

# %% [markdown]
# Did training put the facts in? Training makes the sentences of those documents likelier. How much comes back when somebody asks in words
# that stand in no document is another matter, and the numbers above say it. Mind the other cost, too: what was looked up can be shown and
# checked, and corrected tomorrow by correcting a document; what was trained can not.
#
# ## 10 The workbench
#
# Before we reckon, play. Choose a task, or write a wording of your own with the fields of its records and the mark `|||`; set the number of
# examples and the temperature, and watch both the answer and what could have come instead of its first token.

# %%
from course_lib.teach.workbench import Start, Workbench

solved_ones = problems.load(tier.problems, "train", 8, seed=9)
bench = Workbench(
    writer,
    {
        "labels, mango : zomek": Start(labels, cards, prompting.own_rows),
        "labels, in an order": Start(prompts.task("worksheets/label").wording("order"), cards, prompting.own_rows),
        "problems, bare answer": Start(bare, medium, solved_ones),
        "problems, worked steps": Start(worked, medium, solved_ones),
        "moods of reviews": Start(mood, exam, lessons[:8]),
    },
)
widgets.interactive_figure(bench, bench.controls, title="The prompt workbench")

# %% [markdown]
# Try this: labels with no example, then one, then eight. A wording of your own, such as `{{ question }} = ||| {{ answer }}`, or one with a field
# that the records do not have. Temperature 1.5, with no example and with eight: how sure the model is decides how much it matters.
#
# ## 11 What an answer costs
#
# Each way has a price before the first answer and a price for each answer. Prompts cost per token, each time. Training costs labels and hours
# first, and short prompts after that. The prices below are *assumed* round numbers; accuracies and tokens are what you have just measured.

# %%
from dataclasses import replace

from course_lib.prompting import cost, guide

trained = {"facts": (0, crammed_seconds), "form": (len(lessons), graded_seconds)}
words_of = {"facts": " ".join(documents.values()), "form": " ".join(one["text"] for one in lessons)}


def priced(prices):
    """Both tasks, each way: the task, the way with its price, and what was measured."""
    for task, found in (("facts", book), ("form", form)):
        for name, m in found.items():
            sums = {"tokens_in": m.tokens_in, "tokens_out": m.tokens_out, "prices": prices, "name": name}
            if name == "tuned":
                way = cost.fine_tuning(**sums, labels=trained[task][0], gpu_hours=trained[task][1] / 3600)
            elif name == "retrieved":
                way = cost.retrieval(**sums, words=len(words_of[task].split()))
            else:
                way = cost.prompting(**sums, examples=4 * (name == "examples"))
            yield task, way, m


# %%
def figure(prices, volume, **more):
    points = [
        plots.Point(way.name, way.per_thousand(volume), m.accuracy, *m.interval, group=task)
        for task, way, m in priced(prices)
    ]
    title = f"Accuracy against cost, {volume:,} answers a month"
    return plots.scatter_cost(points, xlabel="Dollars for 1000 answers", ylabel="Right (%)", title=title, **more)


print(cost.EXAMPLE.note)
figure(cost.EXAMPLE, 100_000)

# %% [markdown]
# Look at the two colours apart. For each, which way is the highest, and which is the cheapest that is not clearly lower? "Retrieval for facts,
# training for form" is a claim about this picture. At another volume the picture moves, since what is paid once is spread over more answers.
#
# **Exercise 5.** From how many answers on has the training paid for itself?

# %% tags=["solution"]
# exercise: 02-break-even

# %%
exercises.check("02-break-even", break_even)

# %% [markdown]
# Hosted or your own? A machine of your own costs by the hour, whether it works or not. This is what an answer costs on a rented card that is as
# fast as this machine and busy for three tenths of the day, next to the assumed prices per token:

# %%
for name, m in (("asked", form["asked"]), ("a vote", voting[2]), ("a tree", search[2])):
    hosted = cost.prompting(m.tokens_in, m.tokens_out).per_answer
    own = cost.own_machine(m.seconds, utilisation=0.3)
    print(f"{name:8} hosted {1000 * hosted:.4f} dollars for 1000 answers, on a machine of your own {1000 * own:.4f}")

# %% [markdown]
# ## 12 What to try first
#
# The guide asks in the order in which the answers rule things out, and takes one number from your measurements: from how many answers a month
# training pays. Set your own case. "Good enough" means that you measured a prompt and would live with it.


# %%
def advice(volume, label, labels, facts_needed, form_matters, good_enough, stays):
    prices = replace(cost.EXAMPLE, per_label=label)
    found = {(task, way.name): way for task, way, _ in priced(prices)}
    pays = cost.break_even(found["form", "examples"], found["form", "tuned"])
    case = guide.Situation(facts_needed, False, labels, form_matters, good_enough, volume, pays, stays)
    return figure(prices, volume, summary=f"Training pays from {pays:,.0f} answers a month. {guide.advise(case)}")


controls = {
    "volume": widgets.steps("Answers a month", [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000], value=10_000),
    "label": widgets.steps("Dollars for a label", [0.05, 0.3, 1.0, 5.0], value=0.3),
    "labels": widgets.steps("Labels at hand", [0, 20, 100, 1000], value=20),
    "facts_needed": widgets.switch("Answers stand in documents", True),
    "form_matters": widgets.switch("A fixed form is needed"),
    "good_enough": widgets.switch("A prompt is good enough", True),
    "stays": widgets.switch("Data must stay here"),
}
widgets.interactive_figure(advice, controls, title="Prompt, retrieve or train?")

# %% [markdown]
# ## 13 Which model?
#
# Six questions decide between models, and most of them are answered by files that come with a model, before anything runs:

# %%
from course_lib.teach.checklist import checklist

names = [tier.encoder, tier.pretrain_model, tier.writer]
plots.table(
    [row for name in dict.fromkeys(names) for row in checklist(name)],
    {"model": "Model", "question": "Question", "answer": "Answer", "source": "Where it says so"},
    caption="What a model's files say about it",
)

# %% [markdown]
# ## 14 Quiz
#
# Eight questions; every answer is explained, the wrong ones too.

# %%
from course_lib.teach.quiz import quiz

quiz("02")

# %%
exercises.progress("02")

# %% [markdown]
# ## 15 What the talks claimed
#
# Your run has few questions, so its intervals are wide. The verdicts below are computed from a recorded run of this lesson's measurements on
# both of the course's models, with more questions to each. They hold for small models of one small world; where a claim speaks of large ones,
# the entry says so.

# %%
claims.show("02")

# %% [markdown]
# ## 16 On a T4, and further
#
# On a T4 the same cells take an instruction-tuned model of 1.7 billion parameters from the hub, and school problems written by people
# (GSM8K) instead of the town's. What is trained there is a model of 135 million, so that its optimizer fits beside it: a small one that you
# train against a large one that you ask is the usual choice in practice anyway. Expect orders to be followed, and the spread over wordings to be
# another one; the questions stay the same.
#
# **Further reading.** Brown et al. 2020, *Language models are few-shot learners*. Wei et al. 2022, *Chain-of-thought prompting*. Wang et al.
# 2023, *Self-consistency*. Yao et al. 2023, *Tree of thoughts*. Lewis et al. 2020, *Retrieval-augmented generation*. Robertson and Zaragoza
# 2009, *BM25 and beyond*. Zhao et al. 2021, *Calibrate before use*. Sclar et al. 2024, *Quantifying sensitivity to prompt formatting*.
# Ovadia et al. 2024, *Fine-tuning or retrieval?* Cobbe et al. 2021, *Training verifiers to solve math word problems*.
