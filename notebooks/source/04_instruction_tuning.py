# %% [markdown]
# # 04 Instruction tuning
#
# A base model continues a text; an assistant answers a question. Between the two lie some hundred examples and a few minutes of training, and
# nearly everything that goes wrong goes wrong before the training starts: in the data, in the template, in the tokens that count. In this
# lesson you will look at each of those closely, tune a model, and find out what it gained, what it lost, and how to know.
#
# **You will be able to**
#
# * read, check and mend a file of instructions, whatever its format;
# * say, token by token, what a model learns from a conversation, and what happens when that is wrong;
# * tune a model, and compare it with itself before, on the same items, with intervals;
# * measure what more examples, better examples and other tasks change;
# * say what a judge's verdict is worth, and what a model's own data are worth;
# * do all of it with your own file from the command line.
#
# | tier | model | minutes | memory |
# |---|---|---|---|
# | `cpu`, two cores | the course's base model, 6 million parameters; the town's own instructions | under 3 | about 2 GB of RAM |
# | `t4` | SmolLM2 with 1.7 billion parameters, QLoRA; instructions written by people (Dolly) | not measured yet | not measured yet |
# | `gpu` | the same with LoRA in bf16, more examples | not measured yet | not measured yet |

# %% tags=["setup"]

# %% [markdown] tags=["instructor"]
# **Timing:** 100 minutes with the exercises; run all at the start. **Ask first:** "Who of you has tuned a model that would not stop talking?"
# Somebody has; section 7 shows why. **Where people get stuck:** they take the mask for a matter of style. Let them switch it to "everything" in
# the interactive figure and say which tokens the model would then learn to write. Keep the judge (section 9) for the end of a session: it
# starts discussions.

# %% [markdown]
# ## 1 What a base model does with a question
#
# First the model as it is, asked in two ways: as a text to continue, and in a chat template, the form in which assistants are asked.

# %%
from course_lib import instruct, tiers
from course_lib.generate import Decoding
from course_lib.instruct.assistant import Assistant
from course_lib.teach import claims, exercises, plots

tier = tiers.current()
base = Assistant.from_name(tier.base)
question = "Name the place in this text.\n\nText: Ama bought 3 jars of honey at the fish market for 12 kori."
print("continued:", base.continue_([question + "\n"], Decoding(max_new=40))[0].strip())
print("asked:    ", base.answer([[{"role": "user", "content": question}]], max_new=40)[0])

# %% [markdown]
# The course's base model has read the town's documents and no question of this kind, so it goes on as documents go on. The template does not
# help: its marks are tokens that the model has never seen.
#
# ## 2 The data
#
# An example is a question and the answer that you wish for. These are tasks about the town, in words that differ from example to example;
# every one says how its answer is to be scored. On a larger tier they are instructions that people wrote.

# %%
kinds = ["category", "counting", "extraction", "polite", "mood", "rating", "headline", "table-sentence"]
most = tier.example_budgets[-1]
lessons, exam = instruct.load_records(tier.instructions, most, 2 * tier.items, kinds)
rows = [{name: one[name][:70] for name in ("task", "instruction", "input", "output")} for one in lessons[:8]]
columns = {"task": "Task", "instruction": "Instruction", "input": "Input", "output": "Answer"}
plots.table(
    rows, columns, caption=f"The first of {len(lessons)} examples to learn from; {len(exam)} others are for the exam"
)

# %% [markdown]
# **Fix the metric before you train.** Afterwards everybody finds one that flatters. A quick test of the metric itself: is every right answer
# right by it?

# %%
from course_lib.metrics import report

report.check(exam)
print({one["task"]: one["metric"] for one in exam})

# %% [markdown]
# **Formats.** The same example can stand in a file in several ways: with named fields (Alpaca), as a list of messages (what commercial services
# take), as prompt and completion, as a row of a table. Reading and writing them must not lose anything, and here it does not:

# %%
import tempfile
from pathlib import Path

from course_lib.records.exchange import FORMATS, read_conversations, write_conversations

folder = Path(tempfile.mkdtemp())
talks = [instruct.conversation(one) for one in lessons]
for format in FORMATS:
    file = folder / f"lessons.{'csv' if format == 'csv' else 'jsonl'}"
    write_conversations(file, talks, format, overwrite=True)
    same = "the same conversations again" if read_conversations(file) == talks else "something was lost"
    print(f"{format:18} {same}: {file.read_text()[:70]}...")

# %% [markdown]
# **Mistakes.** Now spoil a part of the data in ways that are known: wrong answers, copies, answers in a broken form. What does a check find?

# %%
from random import Random

from course_lib.records.inspection import KINDS, inspect
from course_lib.world import instructions
from course_lib.world.place import Place

town = Place.build(split="train")
size = tier.example_budgets[1]
clean = instructions.mixture(town, Random("clean"), size, kinds)
spoilt_free = instructions.mixture(town, Random("more"), 3 * size // 2, kinds)
spoilt = instructions.noisy(spoilt_free, Random(1))
trial = instructions.mixture(Place.build(split="test"), Random("trial"), 2 * tier.items, kinds)
found = inspect([instruct.conversation(one) for one in spoilt], base.chat.encode, base.writer.positions)
print(
    "what was done to them:",
    {name: sum(one["noise"] == name for one in spoilt) for name in ("wrong", "duplicate", "format")},
)
rows = [{"kind": KINDS[kind].title, "found": count} for kind, count in found.counts().items()]
plots.table(rows, {"kind": "What", "found": "Found"}, caption=f"{len(spoilt)} examples, some of them spoilt on purpose")

# %% [markdown]
# Copies are found, broken forms in part. Wrong answers are not: they look like any other. That is why the talks say to look at your data with
# your own eyes. Here is the tool for it: *a* accepts, *e* edits, *r* rejects, arrows go back and forth, and what you decided is kept.

# %%
from course_lib.teach.review import review

review([one for one in spoilt if one["noise"] in ("", "wrong")][:12])

# %% [markdown]
# **Exercise 1.** A file may share questions with your test. Find those that do, the nearly equal ones too.

# %% tags=["solution"]
# exercise: 04-duplicates

# %%
exercises.check("04-duplicates", copies)

# %% [markdown]
# ## 3 From messages to tokens
#
# What does the model see, and what does it learn? Choose an example and a template. Only coloured tokens count for the loss: the answer's, and
# the token that ends it. Switch on the neighbour to see two examples packed into one row, and look at what each token may see then.

# %%
from course_lib.teach.token_figure import explorer

shown = {one["task"]: instruct.conversation(one).dicts() for one in clean[:4]}
explorer(base.tokenizer, shown)

# %% [markdown]
# Try this: the mask "everything". Which tokens would the model learn to write that only a user writes? Then "answer without end". What would it
# do after an answer? (Section 7 does it.)
#
# **Exercise 2.** Say which tokens count.

# %% tags=["solution"]
# exercise: 04-mask

# %%
exercises.check("04-mask", learned)

# %% [markdown]
# **Packing.** Examples differ in length, and a batch is as long as its longest one. How much of what is computed is padding?

# %%
from course_lib.batching import Batches, padding_share
from course_lib.instruct import examples

items, cut = examples.items(base.chat, talks, base.writer.positions)
lengths = [len(ids) for ids, _ in items]
at_random, bucketed = (padding_share(Batches(items, lengths, list, 16, bucket=bucket)) for bucket in (False, True))
shares = {"at random": at_random, "similar lengths together": bucketed, "packed": 0.0}
rows = [{"how": how, "padding": share} for how, share in shares.items()]
plots.table(rows, {"how": "Batches of 16", "padding": ("Padding", "{:.0%}")}, caption="Computed for nothing")

# %% [markdown]
# Packed rows have no padding at all: one text follows the other. For that, two things must know where a text ends, the positions and the
# attention. **Exercise 3.** In a packed row, which token may see which?

# %% tags=["solution"]
# exercise: 04-pack

# %%
exercises.check("04-pack", may_see)

# %%
answered = sum(sum(learn) for _, learn in items)
print(
    f"{sum(lengths):,} tokens, {answered:,} of them count ({answered / sum(lengths):.0%}); logits are made for those only"
)

# %% [markdown]
# Does any of this change what is learned? No: the loss and its gradient are the same up to rounding, and tests of the course compare them. It
# only changes what is computed for nothing.
#
# ## 4 Before, with a prompt, after
#
# Three candidates answer the same exam: the base model asked directly; the base model with examples in its prompt (lesson 02); and the model
# after tuning. The untuned ones go first.


# %%
def few_shot(record, count=4):
    """Examples of the same task as plain text, and the question after them."""
    alike = [one for one in lessons if one["task"] == record["task"]][:count]
    return "\n\n".join([*(f"{asked(one)}\n{one['output']}" for one in alike), asked(record)]) + "\n"


def asked(record):
    return f"{record['instruction']}\n{record['input']}".strip()


# %%
def prompted(records):
    """The base model's answers behind examples, up to the end of the line."""
    texts = base.continue_([few_shot(one) for one in records], Decoding(max_new=48, stop=("\n",)))
    return [text.strip() for text in texts]


scores = {"base": instruct.report(base, exam, "base")}
scores["base, 4 examples"] = instruct.scored(exam, prompted(exam), "base, 4 examples")
for found in scores.values():
    print(f"{found.name}: {found.macro().score:.0%} on average over the tasks")

# %% [markdown]
# Now the training. The first line it prints says what it will need. The loss on the exam's answers is taken at the end.

# %%
from course_lib.instruct.tune import held_out_loss

tuned = instruct.train_on(tier.base, lessons, method=tier.method, epochs=3, title="tuning")
predicted, measured = (size / 2**20 for size in (tuned.history.predicted_peak, tuned.history.measured_peak))
print(f"{tuned.tokens:,} tokens in {tuned.seconds:.0f} s, {tuned.tokens / tuned.seconds:,.0f} a second")
print(f"memory at the peak: {predicted:.0f} MiB of tensors predicted, {measured:.0f} MiB measured")

# %%
losses = tuned.history.loss
width = max(1, len(losses) // 30)
parts = [losses[k : k + width] for k in range(0, len(losses), width)]
steps = [k * width + len(part) for k, part in enumerate(parts)]
exam_items, _ = examples.items(base.chat, [instruct.conversation(one) for one in exam], base.writer.positions)
words = {"xlabel": "Step", "ylabel": "Loss (nats per token of an answer)", "title": "Learning to answer"}
known = {"on the exam, at the end": held_out_loss(tuned.learner, exam_items)}
plots.line(steps, {"while learning": [sum(part) / len(part) for part in parts]}, references=known, **words)

# %% [markdown]
# A loss is not yet an answer. The same exam, task by task, by the metric that was fixed before:

# %%
scores["tuned"] = instruct.report(tuned.assistant, exam, "tuned")
series = {}
for name, found in scores.items():
    rows = found.rows()
    series[name] = ([r.score for r in rows], [r.low for r in rows], [r.high for r in rows])
tasks = [r.task for r in scores["tuned"].rows()]
words = {"xlabel": "Score (%)", "ylabel": "Task", "title": "The same questions before, with a prompt, after"}
plots.bars(tasks, series, percent=True, horizontal=True, height=6.0, **words)


# %%
def answers_of(assistant, records):
    return assistant.answer([instruct.conversation(one).dicts()[:-1] for one in records])


def compare(first, second):
    """Two reports on the same exam: the difference over all tasks, and whether it is more than luck."""
    change = report.compare(first, second)[-1]
    luck = "more than luck" if change.p < 0.05 else "could be luck"
    print(f"{first.name} against {second.name}: {100 * change.difference:+.0f} points, p = {change.p:.2g}, {luck}")


compare(scores["base, 4 examples"], scores["base"])
compare(scores["tuned"], scores["base, 4 examples"])

# %% [markdown]
# Look at answers, not only at scores. Where it is wrong, is it wrong in form or in content?

# %%
answers = zip(exam, answers_of(base, exam[:8]), answers_of(tuned.assistant, exam[:8]), strict=False)
rows = [
    {"question": asked(one)[:90], "before": was[:40], "after": now[:60], "right": one["output"][:60]}
    for one, was, now in answers
]
columns = {"question": "Question", "before": "Base", "after": "Tuned", "right": "Right answer"}
plots.table(rows, columns, caption="Answers before and after")

# %% [markdown]
# **Exercise 4.** Many answers are nearly right. Write the score that gives part of the points: token F1.

# %% tags=["solution"]
# exercise: 04-token-f1

# %%
exercises.check("04-token-f1", token_f1)

# %% [markdown]
# ## 5 How many examples, and how good
#
# Some say that a hundred to a thousand good examples are enough. We train fresh models on the first so many examples of the same data.

# %%
budgets = list(tier.example_budgets)
line = [scores["base"]]
for n in budgets[:-1]:
    fewer = instruct.train_on(tier.base, lessons[:n], method=tier.method, epochs=3, title=f"{n} examples")
    line.append(instruct.report(fewer.assistant, exam, f"{n} examples"))
del fewer  # a model takes memory as long as it has a name
line.append(scores["tuned"])
live = {"this run": tuple([getattr(one.macro(), name) for one in line] for name in ("score", "low", "high"))}
words = {"xlabel": "Examples (0 drawn at 1)", "ylabel": "Score, mean of the tasks (%)", "title": "More examples"}
plots.line([1, *budgets], live, percent=True, xlog=True, xticks=[1, *budgets], **words)

# %% [markdown]
# The next figure was recorded with the course's base model, up to 3,000 examples and all of the town's seventeen tasks:

# %%
from course_lib.teach.claim_checks import tuned as recordings

told = recordings.recorded()
sizes = [max(1, n) for n in told.curve]
rows = [one.macro() for one in told.curve.values()]
series = {"recorded": tuple([getattr(row, name) for row in rows] for name in ("score", "low", "high"))}
words["title"] = f"Seventeen tasks, {told.source}"
plots.line(sizes, series, percent=True, xlog=True, xticks=sizes, **words)

# %% [markdown]
# A logarithmic axis: each step to the right costs several times as much as the one before. Whether the curve has become flat is what "enough"
# means, and it depends on the tasks.
#
# **Better or more?** The spoilt data of section 2 are more than the clean ones. Is a small clean set better than a larger spoilt one?

# %%
sets = {f"{len(clean)} clean": clean, f"{len(spoilt)} spoilt": spoilt}
students = [instruct.train_on(tier.base, some, method=tier.method, epochs=3, title=name) for name, some in sets.items()]
quality = [instruct.report(one.assistant, trial, name) for one, name in zip(students, sets, strict=True)]
shares = {
    "score": ("Score", "{:.0%}"),
    "low": ("from", "{:.0%}"),
    "high": ("to", "{:.0%}"),
    "in_form": ("In form", "{:.0%}"),
}
rows = [{"data": found.name, **vars(found.macro())} for found in quality]
plots.table(rows, {"data": "Learned from"} | shares, caption="Quality and quantity")

# %%
compare(*quality)
novice = answers_of(students[0].assistant, trial)  # for section 9
del students
rows = [{"data": name, **vars(found.macro())} for name, found in told.noise.items()]
plots.table(rows, {"data": "Learned from"} | shares, caption=f"The same with more examples ({told.source})")

# %% [markdown]
# *Cleaned* is what `course data check --fix` makes of the noisy data without knowing any right answer: copies and empty answers go. What is
# wrong and looks right stays, and it does not average out: the noisy thousand score less than three hundred clean ones.

# %% [markdown]
# ## 6 One task, and what it costs the others
#
# A model that has learned many tasks now goes on learning, from one alone, which it never had before. It gets better at that. What became of
# the rest? And what, had the new task been mixed in from the beginning?

# %%
from course_lib.instruct import forgetting

new_task = "passage-question"
tests = {kind: [one for one in trial if one["task"] == kind] for kind in kinds}
tests[new_task] = instructions.items(Place.build(split="test"), Random(12), new_task, 30)
practice = instructions.items(town, Random(13), new_task, len(clean))
many = instruct.train_on(tier.base, spoilt_free, method=tier.method, epochs=3, title="many tasks")
stages = [forgetting.evaluate("many tasks", many.assistant, tests, trained_on=kinds)]
alone = instruct.train_on(many.learner, practice, method=tier.method, epochs=3, title="then one task")
stages.append(forgetting.evaluate("then one alone", alone.assistant, tests, trained_on=[new_task]))
del many, alone

# %%
both = instruct.train_on(tier.base, [*spoilt_free, *practice], method=tier.method, epochs=3, title="all at once")
stages.append(forgetting.evaluate("all at once", both.assistant, tests, trained_on=[*kinds, new_task]))
lost = forgetting.Matrix(tuple(stages))
row_names, column_names, values = lost.heat()
words = {"xlabel": "Scored on", "ylabel": "Trained on", "title": "What is learned, and what is forgotten"}
plots.matrix(values, row_names, column_names, percent=True, **words)

# %%
rows = [row for row in lost.changes("many tasks", "then one alone") if row["task"] != new_task]
columns = {"task": "Task", "before": ("Before", "{:.0%}"), "after": ("After", "{:.0%}"), "p": ("p", "{:.2g}")}
plots.table(rows, columns, caption=f"What learning {new_task} alone did to the other tasks")

# %% [markdown]
# Nothing told the model to forget; the weights that held the old tasks were free to move, and moved. Old examples mixed in among the new ones
# are the usual remedy, at the price of training on them again. How much it holds is in the last row, and in the recorded claim below.
#
# ## 7 What goes wrong
#
# Three mistakes that everybody makes once. **The end token is not learned.** The usual cause: a tokenizer without a pad token gets its end token
# as one, and padding is left out of the loss by its *id*. Then the end of every answer is left out, too:

# %%
ends = base.chat.stop_ids
whole, _ = examples.items(base.chat, [instruct.conversation(one) for one in clean], base.writer.positions)
endless = [
    (ids, [learns and token not in ends for token, learns in zip(ids, learn, strict=True)]) for ids, learn in whole
]
runs_on = instruct.train_on(tier.base, endless, method=tier.method, epochs=3, title="no end")
for one in trial[:3]:
    (answer,) = runs_on.assistant.answer([instruct.conversation(one).dicts()[:-1]], max_new=40)
    print(f"{one['output']!r} became {answer!r}")
del runs_on

# %% [markdown]
# **Another template in use than in training.** The tuned model is asked without its marks, or with those of another family:

# %%
from course_lib.prompts import Chat

for template in ("course", "plain", "chatml"):
    other = Assistant(tuned.learner.model, base.tokenizer, Chat(base.tokenizer, template))
    found = instruct.report(other, exam[: tier.items], template)
    print(f"{template:8} {found.macro().score:.0%} on average, {found.macro().in_form:.0%} in the right form")

# %% [markdown]
# **Another tokenizer's data.** A token is a number, and which word it stands for is the tokenizer's own affair. Here the same questions are
# encoded by a tokenizer with as many tokens, in another order. Nothing fails; there is no error, only a loss:

# %%
shuffled = list(range(len(base.tokenizer)))
Random(0).shuffle(shuffled)
foreign = [([shuffled[token] for token in ids], learn) for ids, learn in exam_items]
own_loss, foreign_loss = (held_out_loss(tuned.learner, some) for some in (exam_items, foreign))
print(f"loss with its own tokenizer {own_loss:.2f}, with another one {foreign_loss:.2f} nats per token")

# %% [markdown]
# ## 8 Another domain
#
# In the fishing villages people speak an old dialect, of which the base model has not read a line. Continued pretraining is the same training
# with plain texts, in which every token counts. What does it do to the surprise about the dialect, and about plain language?

# %%
from course_lib.instruct import domain
from course_lib.world import corpus, dialect

villagers = [dialect.document(town, Random(n)) for n in range(len(clean) // 2)]
unread = {"dialect": [one["dialect"] for one in dialect.items(Place.build(split="test"), Random(1), 40)]}
unread["plain"] = [document.text for document, _ in zip(corpus.documents(5, "test"), range(40), strict=False)]
heard = domain.texts_to_items(base.tokenizer, villagers, 256)
local = instruct.train_on(tier.base, heard, method=tier.method, epochs=2, title="dialect")
rows = [
    {"texts": name, "before": base.perplexity(texts), "after": local.assistant.perplexity(texts)}
    for name, texts in unread.items()
]
columns = {"texts": "Texts that it has not read", "before": ("Before", "{:,.1f}"), "after": ("After", "{:,.1f}")}
del local
plots.table(rows, columns, caption="Perplexity before and after reading the dialect")

# %% [markdown]
# ## 9 A model as judge
#
# Where no metric fits, people let a model choose between two answers. Here a metric does fit, so that we can see what the judge is worth. The
# answers of two of our models are shown to it in both orders. A judge that prefers a *place* contradicts itself when they are swapped.

# %%
from course_lib.instruct import judge

referee = Assistant.from_name(tier.judge) if tier.judge else both.assistant
better = answers_of(tuned.assistant, trial)
marks = [[report.score(one, text) for one, text in zip(trial, texts, strict=True)] for texts in (novice, better)]
verdicts = {how: judge.pairwise(referee, trial, novice, better, how=how) for how in ("labels", "likelihood")}
for way, found in verdicts.items():
    if found.position_bias and found.consistency:
        same, front = found.consistency.value, found.position_bias.value
        print(f"{way}: {same:.0%} say the same both times; the place in front wins {front:.0%}")

# %%
rows = [{"how": way, **row} for way, found in verdicts.items() for row in found.agreement(*marks).rows()]
columns = {
    "how": "Asked for",
    "judge": "Judge",
    "agrees": ("Agrees with the metric", "{:.0%}"),
    "low": ("from", "{:.0%}"),
}
plots.table(rows, columns | {"high": ("to", "{:.0%}"), "n": "Items"}, caption="What the judge's verdict is worth")

# %% [markdown]
# Compare the judge with those who need no model: a coin, the longer answer. A small model that nobody taught to judge is not worth much when it
# is asked for a letter; how *likely* it finds an answer says more. On a larger tier a real assistant takes its place. Whatever you use: swap
# the positions, and measure its agreement on items where you know the answer.
#
# **Exercise 5.** From verdicts in both orders: how often does the place decide, and who wins where it does not?

# %% tags=["solution"]
# exercise: 04-judge-bias

# %%
exercises.check("04-judge-bias", judged)

# %% [markdown]
# ## 10 Data that the model makes itself
#
# A tuned model can be made to write tasks, too: turn some examples around, so that a task is the answer. Then let it propose, let it answer,
# and let filters throw away what looks bad. Because the town can check many of its tasks, we know what is left in the sieve.

# %%
from course_lib.instruct import proposals, selfinstruct

turned = proposals.meta_records(clean)
writer = instruct.train_on(
    tuned.learner, [*turned, *clean[: len(clean) // 2]], method=tier.method, epochs=2, title="turned"
)
how = {"recipe": selfinstruct.Recipe(samples=3, agree=2), "check": instructions.checked, "apart": trial}
made = selfinstruct.self_instruct(writer.assistant, clean, 2 * tier.items // 3, **how)
plots.table(made.rows(), {name: name.capitalize() for name in made.rows()[0]}, caption="What the filters leave")

# %%
for one in made.records[:4]:
    print(f"{one['instruction']} | {one['input']} -> {one['output']}")
for name, share in (("before the filters", made.before), ("after", made.after)):
    if share:
        print(f"right {name}: {share.value:.0%} ({share.low:.0%} to {share.high:.0%}) of {share.n} that can be checked")

# %% [markdown]
# ## 11 Your own file
#
# Everything above is one command: it checks your data, plans, asks the untuned model first, trains, asks again, and leaves a model with a card.
# Killed at any moment it goes on with `--resume`, to the same bits.
#
# ```sh
# course data check mine.jsonl --fix clean.jsonl
# course finetune --data clean.jsonl --model course-base --method lora --out build/mine
# course generate --model build/mine/model "A question that nobody has asked yet"
# ```
#
# The same from Python, on a file of the town's examples:

# %%
from course_lib.instruct.finetune import Job, finetune

own = folder / "mine.jsonl"
write_conversations(own, [instruct.conversation(one) for one in clean + spoilt_free], "alpaca", overwrite=True)
job = Job(str(own), tier.pretrain_model, folder / "run", items=24, max_train=len(clean))
done = finetune(job, say=lambda line: print(line.replace(str(folder), "FOLDER")))

# %%
card = (done.folder / "README.md").read_text().replace(str(folder), "FOLDER")
print(card[card.index("# ") : card.index("## Answers")])

# %% [markdown]
# ## 12 Quiz

# %%
from course_lib.teach.quiz import quiz

quiz("04")

# %%
exercises.progress("04")

# %% [markdown]
# ## 13 What the talks claimed
#
# Your run has few items, so its intervals are wide. The verdicts below come from a recorded run with more examples, more items and several
# seeds, on the course's base model; where a claim speaks of large models, the entry says so.

# %%
claims.show("04")

# %% [markdown]
# ## 14 On a T4, and further
#
# On a T4 the same cells tune a real base model of 1.7 billion parameters with QLoRA: the base in 4 bits, adapters in float32, products in fp16.
# It learns first from instructions that people wrote (Dolly), and from section 5's noise on from the town's. Scores on Dolly are overlaps of
# words (ROUGE-L), because nobody can say which of many good answers is the right one; read answers rather than the last digit.
#
# **Further reading.** Wei et al. 2022, *Finetuned language models are zero-shot learners*. Ouyang et al. 2022, *Training language models to
# follow instructions*. Zhou et al. 2023, *LIMA: less is more for alignment*. Wang et al. 2023, *Self-Instruct*. Gururangan et al. 2020, *Don't stop
# pretraining*. Zheng et al. 2023, *Judging LLM-as-a-judge*. Krell et al. 2021, *Efficient sequence packing without cross-contamination*.
# Luo et al. 2023, *An empirical study of catastrophic forgetting*.
