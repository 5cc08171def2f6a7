# %% [markdown]
# # 00 Start here
#
# This course is about adapting language models on the hardware you have, and about believing only what was measured.
# This first notebook looks at your machine, lets a real pretrained model read a few sentences, shows how exercises and
# quizzes work, and ends with a question that comes before all others: do you need a model of your own at all?
#
# **You will be able to**
#
# * say what your machine computes fast, in which number format, and which known traps it has;
# * choose a size of the course that fits it, and know where models and data come from;
# * run a pretrained encoder, and tell what a longer text costs;
# * work out from which load a model of your own is cheaper than a hosted one.
#
# | tier | model | minutes | memory |
# |---|---|---|---|
# | `cpu`, two cores | MiniLM, on board | under 1 | under 1 GB of RAM |
# | `t4`, `gpu` | DistilBERT, a download of 268 MB | not measured yet | not measured yet |

# %% [markdown] tags=["instructor"]
# **Timing:** 25 minutes with the exercise and the quiz, 10 of them for the calculator at the end.
# **Ask the room first:** who has a GPU, who has an API bill, who knows how large either is? Write the answers down, and
# come back to them at the calculator.
# **Where people get stuck:** a kernel that is not the course's environment. The setup cell says so in one sentence;
# `course doctor` says which interpreter the kernel runs.

# %% [markdown]
# Run a cell with Shift+Enter, or all of them from the menu *Run*. A notebook of this course never stops half-way: what
# you have not tried yet says so and lets the rest go on. Nothing here can be broken; change the code and run it again.
# The next cell prepares the kernel. In a clone of the course it changes nothing.

# %% tags=["setup"]

# %%
import time
from importlib import import_module

import torch

from course_lib import decide, doctor, hardware, hub, tiers
from course_lib.batching import pad
from course_lib.classify import Encoder, mean_pool
from course_lib.teach import claims, exercises, plots, widgets
from course_lib.teach.quiz import quiz

# %% [markdown]
# ## 1 What is this machine?
#
# Speed is decided before the first line of a model runs: by the device, by the number format that it multiplies in
# hardware, by how many cores you are really allowed to use, and by free memory. Libraries answer some of these
# questions too kindly. A container may show 64 cores and grant two; a T4 reports support for bfloat16 and then emulates
# it. So the course asks the compute capability, the instruction flags and the control group instead.

# %%
machine = hardware.detect()
summary = [{"what": what, "here": here} for what, here in hardware.describe(machine)]
plots.table(summary, {"what": "Property", "here": "This machine"}, caption="What the course will work with")

# %% [markdown]
# The doctor goes on to known traps: an old package that breaks a new one, another Python behind the kernel, a model file
# that is not what it claims to be. `course doctor` in a terminal prints the same with the way out of each trap.

# %%
traps = doctor.report()["traps"]
for trap in traps:
    trap["found"] = "found" if trap["found"] else "fine"
plots.table(traps, {"name": "Looked at", "found": "", "what": "What was seen"}, caption="Known traps")

# %% [markdown]
# ### Measure instead of believing
#
# Training is mostly multiplying matrices, so how fast this machine multiplies them decides how long you wait. Multiplying
# two matrices of n rows and n columns takes 2n³ operations: n multiplications and n additions for each of n² results. We
# time it in three number formats and keep the best of several tries, because everything else that runs on the machine
# can only make it slower.


# %%
def gigaflops(dtype, n=512, tries=5):
    a = torch.randn(n, n).to(machine.device, dtype)
    seconds = []
    for _ in range(tries + 1):  # the first one also pays for setting up
        start = time.perf_counter()
        float((a @ a)[0, 0])  # asking for a number waits until a GPU is done
        seconds.append(time.perf_counter() - start)
    return 2 * n**3 / min(seconds) / 1e9


# %%
formats = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
speeds = [gigaflops(dtype) for dtype in formats.values()]
words = {"xlabel": "Number format", "ylabel": "Speed (billion operations/s)", "title": "Multiplying matrices here"}
plots.bars(list(formats), {"this machine": speeds}, **words)

# %%
fastest = max(zip(speeds, formats, strict=True))[1]
print(f"Fastest here: {fastest}. The course will use: {machine.dtype}.")

# %% [markdown]
# The two need not agree: one small product is not a training run, and float16 has so narrow a range that gradients
# vanish in it unless they are scaled, which the course does on GPUs only. Where a format with half the bits comes out many
# times slower than float32, you are looking at emulation: the result is right and the wait is long.

# %% [markdown]
# ## 2 Four sizes of one course
#
# Every lesson exists once and runs in four sizes, the *tiers*. A tier is a row of numbers: which model, how many records,
# how many passes. The code asks for a number and never for the name of the tier. The hardware chooses; the environment
# variable `COURSE_TIER` overrules it.

# %%
tier = tiers.current()
columns = {
    "name": "Tier",
    "encoder": "Model",
    "sentiment": "Data",
    "train_size": "Training texts",
    "minutes": "Minutes",
}
plots.table(list(tiers.TIERS.values()), columns, caption=f"The tiers; this notebook runs on {tier.name!r}")

# %% [markdown]
# ### Where models and data come from
#
# A model is a file that somebody else made. The course loads tensors only (safetensors, no pickles), never runs code
# from a model repository, and fixes the exact bytes where a public source gives their hash. A name that is in the table
# needs nothing else; a folder on your disk or any id of the Hugging Face hub works in its place.

# %%
columns = {"name": "Name", "kind": "Kind", "repo": "From", "license": "License", "size": "Size", "pinned": "Fixed"}
plots.table(hub.catalogue(), columns, caption="The short names")

# %% [markdown]
# ## 3 A first model
#
# An *encoder* turns a text into vectors, one for each token. Averaged, they give one vector for the text, and texts that
# mean similar things get vectors that point in similar directions. This was learned from a large amount of text by
# somebody else's computers. Lesson 03 starts from here and asks how much better it gets when you train it further.

# %%
encoder = Encoder.load(tier.encoder, tier.max_length)
model = encoder.span(0)
parameters = sum(parameter.numel() for parameter in model.parameters())
print(f"{tier.encoder}: {encoder.depth} blocks, {encoder.width} numbers per token, {parameters / 1e6:.1f} M parameters")


# %%
def embed(texts):
    inputs, mask = pad(encoder.tokenize(texts))  # (texts, tokens)
    with torch.no_grad():
        vectors = mean_pool(model(inputs, mask), mask)  # (texts, width)
    return torch.nn.functional.normalize(vectors)


# %% [markdown]
# Five sentences, and a question that shares hardly a word with its best match. The numbers are cosines: 1 means the same
# direction, 0 means unrelated. Put in sentences of your own, also in another language, and see where it stops working.

# %%
sentences = [
    "The kettle leaks from the bottom.",
    "Delivery took three weeks.",
    "My grandmother loves this radio.",
    "It stopped working after two days.",
    "The colour is nothing like the photo.",
]
question = "Which customer had a device that broke quickly?"
scores = embed(sentences) @ embed([question])[0]

# %%
ranking = sorted(zip(scores.tolist(), sentences, strict=True), reverse=True)
rows = [{"score": score, "text": text} for score, text in ranking]
plots.table(rows, {"text": "Sentence", "score": ("Cosine", "{:.2f}")}, caption=question)

# %% [markdown]
# ### What does a longer text cost?
#
# Each token passes through every block, so time grows with the number of tokens; attention compares every token with
# every other one, so at some length it grows faster than that. Measured here, for a batch of eight texts:


# %%
def milliseconds(tokens, texts=8, tries=3):
    ids = encoder.tokenize(["word"])[0][1].repeat(texts, tokens)
    seconds = []
    for _ in range(tries + 1):
        start = time.perf_counter()
        with torch.no_grad():
            model(ids, torch.ones_like(ids))
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds) / texts


# %%
lengths = [8, 16, 32, 64, 128]
costs = [milliseconds(tokens) for tokens in lengths]
proportional = [costs[2] * tokens / lengths[2] for tokens in lengths]
series = {"measured": costs, "in proportion to 32 tokens": proportional}
words = {"xlabel": "Tokens per text", "ylabel": "Time per text (ms)", "title": f"Reading with {tier.encoder}"}
plots.line(lengths, series, xlog=True, ylog=True, **words)

# %% [markdown]
# Where the measured line lies above the straight one, a token of a short text costs more than a token of a long one: the
# machine spends part of its time on starting work instead of doing it. This is why the course sorts texts by length
# before it puts them into batches, and why "how many texts per second" means little without their length.

# %% [markdown]
# ## 4 How to learn with this course
#
# An **exercise** is a cell with three dots. Replace them and run the cell; the check after it says what is wrong, not only
# that something is. `exercises.hint("00-first")` gives one hint at a time, `exercises.solution("00-first")` the solution.
#
# Models count in tokens, people in words. English text has about 1.33 tokens for each word. **How many tokens are 100,000
# words?**

# %% tags=["solution"]
# exercise: 00-first

# %%
exercises.check("00-first", tokens)

# %% [markdown]
# A **quiz** explains every answer, the wrong ones too: read why before you go on. It works with the mouse, with the Tab and
# arrow keys, and as plain text with `quiz("00").answer(1, "b")`.

# %%
quiz("00")

# %% [markdown]
# What you have done is kept on your machine, over restarts, and is nobody else's business.

# %%
exercises.progress("00")

# %% [markdown]
# ### The house
#
# Every lesson is a room: the code behind its cells is in a module or package of its own, and what several lessons need lies
# below. Imports go down, never up. The first line of each room says what it is for; a question mark after a name, as in
# `decide.compare?`, shows its documentation, and two show the code.

# %%
rooms = ["hardware", "tiers", "hub", "memory", "records", "batching", "train", "decide", "classify", "teach", "lessons"]
ideas = [import_module(f"course_lib.{room}").__doc__.splitlines()[0] for room in rooms]
rows = [{"room": room, "idea": idea} for room, idea in zip(rooms, ideas, strict=True)]
plots.table(rows, {"room": "Room", "idea": "Its first line"}, caption="course_lib, from the ground up")

# %% [markdown]
# ## 5 The map of claims
#
# Talks about language models are full of numbers: "LoRA trains 0.3% of the weights", "few labels? freeze the model". The
# course keeps a ledger of such claims. Each lesson computes what can be computed, measures what can be measured, and
# writes a verdict: *holds*, *holds with conditions*, *corrected*, or *rumour* where nobody outside can know.

# %%
summary = claims.summary()
open_claims = [counts.get("not tested yet", 0) for counts in summary.values()]
tested = [sum(counts.values()) - still for counts, still in zip(summary.values(), open_claims, strict=True)]
series = {"with a verdict": tested, "not tested yet": open_claims}
words = {"xlabel": "Claims", "ylabel": "Lesson", "title": "Claims that have been asked for evidence"}
plots.bars(list(summary), series, horizontal=True, height=5.5, **words)

# %% [markdown]
# `course claims` prints the whole ledger, and `course claims --check` computes every verdict again.

# %% [markdown]
# ## 6 Do you need a model of your own?
#
# Own models, it is said, give you privacy, ownership, control and a fixed bill. The first three follow from where the
# weights lie. The fourth is arithmetic: a hosted model is paid by the token, a machine of your own by the hour, busy or
# idle. So there is a load at which the two bills are equal, and it hangs on three prices:
#
# $$\text{tokens at break-even} = \frac{\text{machine per month}}{\text{hosted price per token}}$$
#
# **All prices below are assumptions, in round numbers.** Prices change by the month; put in the ones you were quoted.
# How many tokens per second a machine serves, all requests together, is the number that people guess worst, and lesson 07
# measures it.


# %%
def bills(million_tokens, gpu, speed, hosted):
    prices = decide.Prices(gpu, speed, hosted)
    loads = [10 ** (k / 8) for k in range(33)]  # 1 to 10,000 million tokens a month
    months = [decide.compare(load * 1e6, prices) for load in loads]
    series = {"your own": [m.own_dollars for m in months], "hosted": [m.api_dollars for m in months]}
    yours = decide.compare(million_tokens * 1e6, prices)
    title = f"{million_tokens:,} million tokens a month: {'own' if yours.cheaper == 'own' else 'hosted'} is cheaper"
    words = {"xlabel": "Million tokens per month", "ylabel": "Bill per month ($)", "title": title}
    return plots.line(loads, series, xlog=True, ylog=True, summary=yours.sentence, **words)


# %%
controls = {
    "million_tokens": widgets.steps("Million tokens", [1, 10, 100, 300, 1000, 3000, 10_000], value=100),
    "gpu": widgets.slider("Machine", 0.2, 5.0, value=0.8, step=0.2, unit="$/hour"),
    "speed": widgets.steps("Tokens per second", [50, 150, 300, 600, 1200, 2400], value=600),
    "hosted": widgets.steps("Hosted ($/million)", [0.1, 0.3, 0.6, 1, 3, 10, 30], value=0.6),
}
widgets.interactive_figure(bills, controls, title="Your own or hosted?")

# %% [markdown]
# Try it with the arrow keys. Two things surprise most people. A cheap hosted model is hard to beat: to fill a machine of
# your own you need a stream of requests day and night. And the line of your own bill has steps: machines come whole, so
# just after a step the hosted model may be cheaper once more.

# %%
prices = decide.EXAMPLES["a small hosted model"]
for needs in ({}, {"data_must_stay": True}):
    advice = decide.advise(100e6, prices, **needs)
    print(advice.choice, "-", advice.reasons[0])

# %% [markdown]
# The bill is often not what decides. If the data may not leave the house, if it must work without a network, or if the
# model must stay as it was tested, no price is low enough. And none of this says whether a small model of your own is
# *good* enough for your task. That is what the other lessons measure.

# %% [markdown] tags=["instructor"]
# **Come back to the answers from the beginning.** Let somebody enter the prices that they really pay. Then ask what is
# missing from the calculation: people who look after the machine (`upkeep_dollars_per_month`), the time to build it, and
# the quality of the answers.

# %% [markdown]
# ## What was claimed, and what was found
#
# This lesson tests one claim. The figures come from the example prices, which are assumptions.

# %%
claims.show("00")

# %% [markdown]
# ## On a T4
#
# The number format becomes float16, because a T4 multiplies bfloat16 in software. The encoder is DistilBERT instead of
# MiniLM, three times as large, and the film reviews of IMDb take the place of the course's own. The cells are the same.
#
# ## Further reading
#
# - V. Sanh, L. Debut, J. Chaumond, T. Wolf: *DistilBERT, a distilled version of BERT*, 2019, arXiv:1910.01108.
# - N. Reimers, I. Gurevych: *Sentence-BERT*, 2019, arXiv:1908.10084: why an average of token vectors can stand for a text.
# - P. Micikevicius and others: *Mixed Precision Training*, 2017, arXiv:1710.03740: what float16 needs in order to train.
#
# **Next:** lesson 03, the classifier ladder: from guessing to fine-tuning everything, each step with its accuracy and its
# cost.
