# %% [markdown]
# # 03 A ladder of classifiers
#
# You have a few hundred labelled texts, a pretrained encoder and an afternoon. How much of the encoder should you train: nothing, a
# head on top, the last blocks, or everything? The lesson climbs that ladder rung by rung and asks at each step what it costs and
# whether it was worth it.
#
# **You will be able to**
#
# * say how sure an accuracy is, and whether one classifier really beats another;
# * build the baselines that any language model has to beat first;
# * freeze part of a model, compute that part once, and know what this saves before you run it;
# * choose a rung for the labels and the time you have;
# * take a table of your own through the whole ladder with one command.
#
# | tier | model and data | minutes | memory |
# |---|---|---|---|
# | `cpu`, two cores | MiniLM, 6 blocks; the course's own reviews | about 2 | about 2 GB of RAM |
# | `t4` | DistilBERT, 6 blocks; film reviews | not measured yet | not measured yet |
# | `gpu` | DistilBERT, 6 blocks; all film reviews | not measured yet | not measured yet |

# %% tags=["setup"]

# %% [markdown] tags=["instructor"]
# Timing for a room: 75 minutes. Run all at the start (about two minutes), then read together. Ask before each rung: "What do you
# expect, and how many points must it gain before you believe it?" People get stuck on intervals that overlap although the paired
# test is clear; the cell with the confusion matrix is the place to stop.

# %% [markdown]
# ## 1 The records
#
# `load` reads the records, checks them, splits them by label, and removes from the training part what is (nearly) in the test as
# well: a model that has seen the exam proves nothing.

# %%
from course_lib import records, tiers

tier = tiers.current()
split = records.load(tier.sentiment, train_size=tier.train_size, test_size=tier.test_size)
print(f"{len(split.train)} to learn from, {len(split.test)} to test on, classes {split.train.classes}")
print(f"removed from training because they are in the test: {split.exact} equal, {split.near} nearly equal")

# %%
for text, label in list(zip(split.train.texts, split.train.labels, strict=True))[:4]:
    print(f"[{split.train.classes[label]}] {text[:220]}\n")

# %% [markdown]
# Many are not easy: praise wrapped in a complaint, a complaint told as a joke. How long they are decides what a model has to compute.
# The encoder brings its own tokenizer, and we count in its tokens.

# %%
from course_lib.classify import Encoder, LadderConfig, Task, climb, label_curve
from course_lib.teach import claims, exercises, plots, widgets

encoder = Encoder.load(tier.encoder, tier.max_length)
task = Task(split.train, split.test, encoder, LadderConfig.for_tier(tier))
lengths = sorted(len(ids) for ids in task.ids)
print("tokens per text: shortest", lengths[0], "- middle", lengths[len(lengths) // 2], "- longest", lengths[-1])

# %% [markdown]
# ## 2 How sure is an accuracy?
#
# Test a classifier on other texts from the same source and you get another accuracy. The Wilson interval says within which range the
# true one lies in 95 of 100 such experiments. It is wide for small tests, and wider in the middle than near the ends.

# %%
from course_lib.metrics.classification import wilson_interval

for n in (50, 300, 2000):
    low, high = wilson_interval(round(0.8 * n), n)
    print(f"80% right of {n:>4}: between {low:.1%} and {high:.1%}")

# %% [markdown]
# **Exercise 1.** Write the interval yourself. The formula stands in the docstring of `wilson_interval`; with $p$ the share that is
# right, $n$ the number of texts and $z = 1.96$ it is
# $\left(p + \frac{z^2}{2n} \pm z\sqrt{\frac{p(1-p)}{n} + \frac{z^2}{4n^2}}\right) / \left(1 + \frac{z^2}{n}\right)$.

# %% tags=["solution"]
# exercise: 03-wilson

# %%
exercises.check("03-wilson", interval)

# %% [markdown]
# ## 3 What has to be beaten
#
# Three classifiers know nothing of language in general. The first always gives the most frequent class. The second counts words and
# pairs of words, weights rare ones more, and draws a line. The third reads the tokens in order with a small recurrent network that
# starts from noise. If the encoder cannot beat these, there is no reason to pay for it. (The peak is the memory of the whole process.)

# %%
results = climb(task, ["majority", "tfidf", "rnn"])
columns = {
    "title": "Rung",
    "accuracy": ("Accuracy", "{:.1%}"),
    "accuracy_low": ("from", "{:.1%}"),
    "accuracy_high": ("to", "{:.1%}"),
    "macro_f1": ("Macro-F1", "{:.2f}"),
    "trainable_params": ("Trained weights", "{:,}"),
    "cpu_seconds": ("CPU s", "{:.1f}"),
    "peak_gb": ("Peak GB", "{:.1f}"),
}
plots.table(results, columns, caption="The baselines")

# %% [markdown]
# Accuracy counts every text the same, so a large class can hide a small one. **Macro-F1** takes the F1 of each class,
# $2TP / (2TP + FP + FN)$, and averages over classes. Always giving the most frequent class has a passable accuracy and a poor macro-F1.
#
# **Exercise 2.** Compute macro-F1 from a confusion matrix whose rows are the true classes.

# %% tags=["solution"]
# exercise: 03-macro-f1

# %%
exercises.check("03-macro-f1", macro_f1)

# %% [markdown]
# ## 4 An encoder, and where to cut it
#
# The encoder turns each token into a vector and lets the vectors look at each other in a few identical blocks. It was trained on far
# more text than we have. `span(k, m)` gives the blocks from `k` to `m`; a frozen part and a trained part are two spans.


# %%
def millions(module):
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.2f} M"


print("whole encoder:", millions(encoder.model), "in", encoder.depth, "blocks,", encoder.width, "wide")
print("one block:    ", millions(encoder.span(encoder.depth - 1)))
print("embeddings:   ", millions(encoder.model.embeddings))

# %% [markdown]
# Half of this small encoder is its table of embeddings. Training "the last block" moves less than a tenth of the weights; training
# "everything" also moves a table in which most rows belong to words that our texts never use.
#
# **Exercise 3.** How many weights train when the last $n$ blocks and a head with one hidden layer do? Count the four square
# matrices of the attention, the two of the MLP, every bias and both layer norms of a block.

# %% tags=["solution"]
# exercise: 03-trainable

# %%
exercises.check("03-trainable", trainable_parameters)

# %% [markdown]
# ## 5 Frozen: compute it once
#
# A frozen block gives the same output for a text in every epoch, so its output is worth keeping. We fill the cache by sending all texts
# through the blocks once, level by level. The price is memory: tokens times width times four bytes for each level kept.

# %%
task.cache.states(encoder.depth)  # the top level; the ones below are filled on the way
spent = task.cache.spent()
print(f"all texts through {encoder.depth} blocks: {spent.wall_seconds:.1f} s, {spent.cpu_seconds:.1f} CPU s")
print(f"kept per level: {task.cache.level_bytes() / 1e6:.0f} MB")

# %% [markdown]
# One condition matters. Dropout below the cut would make the outputs random, and then no single copy could stand for them. The training
# loop of this course therefore runs everything that is frozen as at inference. Is the shortcut exact? We train the last block for a
# moment both ways and compare the losses.

# %%
from dataclasses import replace

from course_lib.classify import select

few = split.train.sample(64)
settings = replace(task.config, precision="no", epochs=1)
curves = []
for cache in (False, True):
    attempt = Task(few, few, encoder, replace(settings, cache=cache))
    (rung,) = select(encoder.depth, ["last-1"])
    curves.append(rung.run(attempt, None).history.loss)
print(f"largest difference of the losses: {max(abs(a - b) for a, b in zip(*curves, strict=True)):.1e}")

# %% [markdown]
# **Exercise 4.** With $L$ blocks of which $k$ are frozen, a forward pass through a block costs 1 and a backward pass 2. Without a cache
# each epoch pays for all forward passes; with it the frozen ones are paid once. How many times cheaper is the cached run over $e$ epochs?

# %% tags=["solution"]
# exercise: 03-cache-saving

# %%
exercises.check("03-cache-saving", speedup)

# %% [markdown]
# The other waste is padding. A batch is as long as its longest text, so short texts in it are filled up with nothing, and the model
# computes on nothing. Sorting texts of similar length into the same batch is called bucketing. Here is what it saves on our texts.

# %%
from course_lib.batching import padding_share

batches = task.batches(task.ids[: len(task.train)], task.train.labels)
sizes = [8, 16, 32, 64]
waste = {
    name: [padding_share(replace(batches, batch_size=size, bucket=bucket)) for size in sizes]
    for name, bucket in (("random batches", False), ("in buckets", True))
}
plots.bars(
    [str(size) for size in sizes],
    waste,
    xlabel="Texts per batch",
    ylabel="Padding (%)",
    title="What a model computes on nothing",
    percent=True,
)

# %% [markdown]
# ## 6 Fine-tuning I: the encoder stays as it is
#
# The mean of the last states is a vector that describes a text. A logistic regression, a linear support vector machine or a small
# network can be trained on such vectors in moments. This encoder was trained to put texts with the same *topic* close together.
# Nobody asked it about *moods*. What do you expect?

# %%
results += climb(task, ["features-logreg", "features-svm", "head"], done=results)
plots.table(results[3:], columns, caption="The encoder as it is")

# %% [markdown]
# ## 7 Fine-tuning II: the last blocks, then all
#
# Now the blocks themselves move. Each rung starts again from the pretrained weights, trains the last `n` blocks and a new head, and
# uses the cache for what lies below. The bar shows the loss and the time left.

# %%
names = [f"last-{n}" for n in range(1, encoder.depth + 1)]
results += climb(task, names, done=results)

# %% [markdown]
# Three rungs train or reach every block. The first moves all weights, embeddings included. The second does the same but lets each
# block learn more slowly than the one above it, since the lower ones know more that is general. The third is LoRA: the weights stay,
# and a thin pair of matrices beside the queries and values learns the difference. Lesson 05 takes it apart.

# %%
results += climb(task, ["all", "layerwise", "lora"], done=results)
plots.table(results[6:], columns, caption="The encoder trained")

# %% [markdown]
# What did depth bring? The band is the 95% interval of each point. On a small test it is as wide as most of the differences, so do not
# read the wiggles.

# %%
by_name = {r.rung: r for r in results}
depths = [by_name[name] for name in names]
plots.line(
    list(range(1, encoder.depth + 1)),
    {
        "last n blocks": (
            [r.accuracy for r in depths],
            [r.accuracy_low for r in depths],
            [r.accuracy_high for r in depths],
        )
    },
    xlabel="Trained blocks, counted from the top",
    ylabel="Accuracy (%)",
    title="Accuracy against trained depth",
    percent=True,
    references={"frozen features": by_name["features-logreg"].accuracy},
)

# %% [markdown]
# And what did it cost? Each point is a rung. To the right means dearer, up means better; a rung is worth climbing only if nothing
# to its left is as high. The cost counts the processor time of all threads, and the states from the cache count for every rung that used
# them.

# %%
kinds = {"majority": "baseline", "tfidf": "baseline", "rnn": "baseline", "head": "frozen"}


def kind(rung):
    return kinds.get(rung, "frozen" if rung.startswith("features") else "fine-tuned")


points = [
    plots.Point(r.rung, r.cpu_seconds, r.accuracy, low=r.accuracy_low, high=r.accuracy_high, group=kind(r.rung))
    for r in results
    if r.rung != "majority"
]
plots.scatter_cost(
    points, xlabel="CPU time (s)", ylabel="Accuracy (%)", title="Accuracy against cost", percent=True, xlog=True
)

# %% [markdown]
# ## 8 Is it really better?
#
# Two intervals may overlap although one classifier is clearly better, because both were tested on the *same* texts. The sharper
# question looks only at the texts on which the two disagree: if they were equally good, each would win half of those, like a coin.
# That is McNemar's test, and `p` is how often a coin would be at least as lopsided.

# %%
from course_lib.metrics.classification import paired_test

truth = task.test.labels
best = max(results, key=lambda r: r.accuracy)
for r in (r for r in results if r is not best):
    p = paired_test(truth, best.predictions, r.predictions)
    print(f"{best.rung} against {r.rung:<16} {best.accuracy - r.accuracy:+.1%}  p = {p:.3f}")

# %% [markdown]
# A rung with `p` above 0.05 has not been shown to be worse than the best one. If it is cheaper, take it: the burden of proof
# lies with the expensive one. Mind that we have now looked many times, and that the winner of many looks was also lucky.
#
# **Exercise 5.** Write that rule: given results as dictionaries, return the name of the cheapest rung with `p_against_best` above 0.05.

# %% tags=["solution"]
# exercise: 03-choose-rung

# %%
exercises.check("03-choose-rung", choose)

# %% [markdown]
# Where does the best one fail? Look at the matrix, then read some of its mistakes: often you will hesitate as well.

# %%
matrix = [[0] * task.classes for _ in range(task.classes)]
for true, given in zip(truth, best.predictions, strict=True):
    matrix[true][given] += 1
plots.confusion(matrix, list(task.train.classes), title=f"Mistakes of {best.title}")

# %%
wrong = [k for k, (t, p) in enumerate(zip(truth, best.predictions, strict=True)) if t != p]
for k in wrong[:3]:
    print(f"[{task.test.classes[truth[k]]}] {task.test.texts[k][:220]}\n")

# %% [markdown]
# ## 9 How many labels are enough?
#
# An old rule says: freeze when labels are scarce, unfreeze when they are plentiful. We train two rungs on growing parts of the
# training texts; each smaller part lies within the larger ones, and the test stays the same.

# %%
curve = label_curve(task, tier.label_budgets[:-1], ["features-logreg", "all"])
series = {}
for name, line in curve.items():
    line.append(by_name[name])  # all labels: trained above
    series[name] = ([r.accuracy for r in line], [r.accuracy_low for r in line], [r.accuracy_high for r in line])

plots.line(
    list(tier.label_budgets),
    series,
    xlabel="Training labels",
    ylabel="Accuracy (%)",
    title="Accuracy against the number of labels",
    percent=True,
    xlog=True,
)

# %% [markdown]
# A run that fits into three minutes has few labels, which favours the frozen rungs. The course has also recorded the same ladder on *all*
# of its reviews, with three epochs. Compare the two tables before you decide what you believe.

# %%
import json

from course_lib.assets import asset

recording = json.loads(asset("recordings/ladder_reviews.json").read_text(encoding="utf-8"))
about = recording["recorded"]
caption = f"Recorded on {about['date']}: {about['train_records']} to learn from, {about['test_records']} to test on"
rows = [row | {"peak_gb": row["peak_bytes"] / 1e9} for row in recording["results"]]
plots.table(rows, columns, caption=caption)

# %% [markdown]
# ## 10 Choose for yourself
#
# Set what you can spend, in CPU seconds of this machine, and how many points you insist on before a dearer rung is worth it. The figure
# marks what you can afford and names the choice: the cheapest rung that is at most that many points below the best you can afford.


# %%
def affordable(budget, gain):
    within = [r for r in results if r.cpu_seconds <= budget]
    top = max(r.accuracy for r in within)
    choice = min((r for r in within if r.accuracy >= top - gain / 100), key=lambda r: r.cpu_seconds)
    marked = []
    for r in results[1:]:  # without the most frequent class
        group = "affordable" if r in within else "too dear"
        marked.append(plots.Point(r.rung, r.cpu_seconds, r.accuracy, group=group))
    words = {"xlabel": "CPU time (s)", "ylabel": "Accuracy (%)"}
    title = f"Within {budget} CPU s: take {choice.rung}, {choice.accuracy:.0%} right"
    return plots.scatter_cost(marked, title=title, percent=True, xlog=True, **words)


# %%
controls = {
    "budget": widgets.steps("CPU seconds", [1, 3, 10, 30, 100, 300], value=30),
    "gain": widgets.slider("Points to gain", 0, 10, value=2),
}
widgets.interactive_figure(affordable, controls, title="Which rung can you afford?")

# %% [markdown]
# ## 11 Your own table
#
# Everything above is one command for a CSV or JSONL file with a column of texts and a column of labels, with two classes or twenty:
#
# ```bash
# course ladder --data mine.csv --text review --label mood --out mine
# course predict --model mine "The zip broke, but they sent a new one the same day."
# ```
#
# It survives Ctrl-C, continues where it was, and keeps the best model. The same from Python, with two quick rungs. Their answers to these three traps tell you
# what such rungs go by: single words and topics, not what is meant.

# %%
from pathlib import Path
from tempfile import mkdtemp

from course_lib.classify import load_predictor

folder = Path(mkdtemp())
climb(task, ["tfidf", "features-logreg"], out=folder)
predictor = load_predictor(folder)
for text in ("Nothing to complain about.", "I would not call it good.", "Best money I ever spent, said nobody."):
    (guess,) = predictor.predict([text])
    print(f"{guess.label:<10} {guess.probability:.0%}  {text}")

# %% [markdown]
# ## 12 Quiz
#
# Eight questions; every answer is explained, the wrong ones too.

# %%
from course_lib.teach.quiz import quiz

quiz("03")

# %%
exercises.progress("03")

# %% [markdown]
# ## 13 What the talks claimed
#
# The talks spoke of film reviews and of larger encoders. Each claim is checked here against the recorded ladder on all of the course's
# reviews, and the verdict is computed from its predictions, not written by hand. A figure that does not carry over to other texts is a
# result as well.

# %%
claims.show("03")

# %% [markdown]
# ## 14 On a T4, and further
#
# On a T4 the same cells take DistilBERT and film reviews from the hub, twice the width and about twenty times the records. Training runs in
# fp16 with loss scaling, because this card has no bf16 units. The cache then lies in the computer's memory, not on the card; levels that
# do not fit are left out and computed again.
#
# **Further reading.** Devlin et al. 2018, *BERT*. Sanh et al. 2019, *DistilBERT*. Wang et al. 2020, *MiniLM*. Howard and Ruder 2018, *ULMFiT*
# (layer-wise rates). Kumar et al. 2022, *Fine-tuning can distort pretrained features*. Hu et al. 2021, *LoRA*. Dror et al. 2018, *The
# hitchhiker's guide to testing statistical significance in NLP*.
