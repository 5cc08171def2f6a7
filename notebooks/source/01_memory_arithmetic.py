# %% [markdown]
# # 01 Memory arithmetic
#
# A run that does not fit dies after minutes of loading, with a message that says how much was asked for and not why. Yet nothing about it
# is luck. What a run needs follows from a dozen numbers of the model and as many decisions of yours, and all of it can be added up before
# anything is downloaded. This lesson adds it up, from one parameter to a cluster, and checks the sum against bytes that were counted.
#
# **You will be able to**
#
# * say what a model takes to answer and to learn, and which part of it grows with what;
# * read a plan: the peak, the phase it comes in, and what the process holds besides;
# * make a run fit, in the order that costs least;
# * reckon with caches, with several devices, and from tokens to hours and dollars;
# * correct three figures that you will hear in talks.
#
# | tier | what is loaded | minutes | memory |
# |---|---|---|---|
# | `cpu`, two cores | MiniLM and the course's reviews; plans need no weights | under 1 | about 1 GB of RAM |
# | `t4` | DistilBERT and film reviews | not measured yet | not measured yet |
# | `gpu` | DistilBERT and all film reviews | not measured yet | not measured yet |

# %% tags=["setup"]

# %% [markdown] tags=["instructor"]
# **Timing:** 90 minutes with the exercises; 30 if you only do sections 2, 5 and 6. **Ask first:** "You have a T4 and want to tune a 7B model.
# Does it fit?" Collect numbers on the board and keep them until section 5. **Where people get stuck:** GB against GiB, and the belief that
# freezing the weights removes the activations. Both are worth a pause.

# %% [markdown]
# ## 1 One parameter
#
# A parameter is a number, and a number takes bits: 32 of them, or 16, or with some care 4. Eight bits are a byte. Below 16 bits a single
# scale has to be shared by a block of neighbours, because so few bits cannot tell both a hundredth and a hundred; the scale is stored too,
# which is why "4-bit" is never exactly four.

# %%
from course_lib import hub, records, tiers
from course_lib.memory import arithmetic, gpus, models
from course_lib.teach import claims, exercises, memory_figures, plots, widgets
from course_lib.teach.claim_checks import counted
from course_lib.teach.quiz import quiz
from course_lib.teach.values import number

tier = tiers.current()

# %%
kinds = {"fp32": "32 bits", "bf16": "16 bits", "int8": "8 bits", "nf4": "NF4", "nf4-double": "NF4, scales quantized"}
rows = [{"held": title, "bytes": arithmetic.bytes_per_parameter(kind)} for kind, title in kinds.items()]
for row in rows:
    row["7B"] = 7 * row["bytes"]
columns = {"held": "Held as", "bytes": ("Bytes each", "{:.3f}"), "7B": ("7 billion (GB)", "{:.1f}")}
plots.table(rows, columns, caption="What a parameter takes")

# %% [markdown]
# Is that so? Here is a real model, and the memory that its tensors really hold.

# %%
encoder, tokenizer = hub.load_encoder(tier.encoder)
parameters = sum(parameter.numel() for parameter in encoder.parameters())
held = counted.tensor_bytes(encoder.parameters())
print(f"{tier.encoder}: {parameters:,} parameters hold {held:,} bytes, {held / parameters:g} each")

# %% [markdown]
# "An embedding model needs about 1 GB", one hears. This one needs a small part of that.
#
# ### What the box says, and what you get
#
# Two units make confusion: a GB is $10^9$ bytes, a GiB is $2^{30}$, which is 7% more. Makers of GPUs write GB and mean GiB. Then the driver
# and error correction keep a part, and every process loses a little more to its CUDA context before its first tensor.

# %%
names = ["t4", "v100", "a10g", "rtx-4090", "a100-40", "l40s", "a100-80", "h100", "h200"]
cards = [gpus.gpu(name) for name in names]
rows = [{"card": c.title, "reported": c.usable / 2**30, "left": c.free / 2**30, "GB": c.free / 1e9} for c in cards]
columns = {"card": "Card", "reported": ("torch reports (GiB)", "{:.2f}"), "left": ("for tensors (GiB)", "{:.2f}")}
plots.table(rows, columns | {"GB": ("the same in GB", "{:.1f}")}, caption="What there is for tensors")

# %% [markdown]
# From here on everything is in GB, so that billions of parameters times bytes give the number directly.
#
# ## 2 Why training needs sixteen
#
# To answer, a model needs its weights. To learn, each weight needs company: a gradient that says where to go, and Adam's two running means,
# of the gradient and of its square. In mixed precision the passes run on 16-bit weights, and the optimizer corrects a 32-bit *master copy*,
# because a 16-bit number is too coarse to take a small correction. Here is one such step of a million weights:

# %%
import torch

layer = torch.nn.Linear(1000, 1000, bias=False, dtype=torch.bfloat16)
master = layer.weight.detach().float().requires_grad_()
adam = torch.optim.AdamW([master])
layer(torch.ones(2, 1000, dtype=torch.bfloat16)).sum().backward()
master.grad = layer.weight.grad.float()
adam.step()

# %%
moments = [value for value in adam.state[master].values() if value.numel() > 1]
parts = {"weight": [layer.weight], "gradient": [layer.weight.grad], "master copy": [master], "Adam": moments}
sizes = {name: counted.tensor_bytes(tensors) / 1e6 for name, tensors in parts.items()}
print(*(f"{name:12}{size:3.0f} bytes" for name, size in sizes.items()), sep="\n")
print(f"together    {sum(sizes.values()):3.0f} bytes per parameter")

# %% [markdown]
# Sixteen bytes, before a single token was remembered. It is a floor for *this* recipe and no law of nature: an 8-bit Adam takes 2 bytes
# where this one takes 8, and weights that live in bf16 alone get by with 8 in all, at the risk of corrections that are rounded away.
#
# **Exercise 1.** A LoRA freezes nearly all weights. How many bytes are left?

# %% tags=["solution"]
# exercise: 01-static

# %%
exercises.check("01-static", static_bytes)

# %% [markdown]
# ### The 14,000 GB
#
# A well-known slide says that a model of 175 billion parameters takes 14,000 GB to train. That would be 80 bytes for each. Here is how
# different sources count:

# %%
rows = []
for source, each in arithmetic.accountings().items():
    total = sum(each.values())
    told = " + ".join(f"{size} {part}" for part, size in each.items())
    rows.append({"source": source, "told": told, "bytes": total, "GB": 175 * total})
columns = {"source": "Counted by", "told": "Bytes per parameter", "bytes": "Sum", "GB": ("175B (GB)", "{:,}")}
plots.table(rows, columns, caption="One model, five sums")

# %% [markdown]
# Whoever counts tensors arrives at 16 to 20 bytes, so at 2,800 to 3,500 GB. The 80 need an assumption that does not hold: a popular estimate
# says "a 4-byte weight, and 20 bytes more for training"; read as "4 bytes *times* 20", it becomes 80. And 8 of those 20 were a guess for
# activations, which do not depend on the number of parameters at all, as we see next.
#
# ## 3 What a step has to remember
#
# The backward pass needs what the forward pass computed: inputs of every matrix that learns, queries, keys and values, the two sides of each
# product. For one layer of Llama-2-7B and a thousand tokens:

# %%
model = models.preset("llama-2-7b").architecture
shape = {"hidden": model.hidden, "heads": model.heads, "kv_heads": model.kv_heads, "head_dim": model.head_dim}
shape |= {"intermediate": model.intermediate, "gated": model.gated, "norm": model.norm}
kept = arithmetic.layer_activations(batch=1, seq=1000, **shape)
frozen = arithmetic.layer_activations(batch=1, seq=1000, frozen=True, **shape)

# %%
large = [name for name, size in kept.items() if size > 1e6]
series = {"all learn": [kept[name] / 1e6 for name in large], "frozen": [frozen.get(name, 0) / 1e6 for name in large]}
words = {"xlabel": "Bytes kept (MB)", "ylabel": "What is kept", "title": "One layer, a thousand tokens"}
summary = "; ".join(f"{name}: {sum(sizes):.0f} MB in all" for name, sizes in series.items())
plots.bars(large, series, horizontal=True, height=5.5, summary=summary, **words)

# %% [markdown]
# Freezing the weights removes the inputs of their matrices and little else: the gradient still has to find its way through the
# nonlinearities, the norms and the attention down to the lowest adapter. This is what the sums of "LoRA takes nearly nothing" forget.
#
# All of it grows with batch times length. *Checkpointing* keeps only the input of each layer and computes the rest again when the
# backward pass comes by. How much is kept in all 32 layers?

# %%
lengths = [256, 512, 1024, 2048, 4096]
inside = {kind: [sum(arithmetic.layer_activations(batch=1, seq=n, attention=kind, **shape).values()) for n in lengths]
          for kind in ("eager", "sdpa")}  # fmt: skip
inputs = [arithmetic.checkpointed(batch=1, seq=n, hidden=model.hidden) for n in lengths]
series = {f"{kind} attention": [32 * size / 1e9 for size in sizes] for kind, sizes in inside.items()}
series["checkpointing"] = [
    arithmetic.stack_activations(32, size, kept, every=1) / 1e9
    for size, kept in zip(inside["sdpa"], inputs, strict=True)
]

# %%
words = {"xlabel": "Tokens in the batch", "ylabel": "Activations (GB)", "title": "What 32 layers of Llama-2-7B keep"}
plots.line(lengths, series, xlog=True, ylog=True, references={"a T4": gpus.gpu("t4").free / 1e9}, **words)

# %% [markdown]
# Plain ("eager") attention keeps a score for every pair of tokens and bends upwards; the fused kernels behind `sdpa` compute scores again
# instead. Checkpointing takes down the rest, at the price of one more forward pass: a third more computing.
#
# **Exercise 2.** Write down what checkpointing keeps.

# %% tags=["solution"]
# exercise: 01-checkpoint

# %%
exercises.check("01-checkpoint", activation_bytes)

# %% [markdown]
# ## 4 A plan
#
# A step climbs several hills: the forward pass piles up activations, the loss adds logits for every token and every word of the
# vocabulary, the backward pass turns activations into gradients, the optimizer may want room of its own. A run dies on the highest hill, so a
# plan has to know them all. This one is for a small model, where most people look at the wrong part.

# %%
from course_lib.memory.plan import plan

options = {"method": "lora", "checkpointing": True, "micro_batch": 4, "seq_len": 1024}
run = plan("llama-3.2-1b", gpu="t4", engine="both", advise=False, **options)
memory_figures.of_plan(run, title="Llama-3.2-1B with LoRA, 4 x 1024 tokens")

# %% [markdown]
# A vocabulary of 128,256 words costs more than the model itself: logits, and among the temporary tensors their gradients. The last bar is what `nvidia-smi` would show: PyTorch's allocator asks the
# driver for large pieces and keeps what it once got, and the CUDA context comes on top.
#
# Two engines make such plans. *Formulas* add up what the code is known to keep, in a millisecond. The *trace* runs the model's own code on tensors
# that have shapes and no numbers, at two depths, and extends them to the full depth. It takes seconds, needs neither weights nor GPU, and is
# right about programs that nobody wrote formulas for. It also knows the order in which memory is asked for, and replays it through a model of the
# allocator. Both for the same run:

# %%
found = {"trace": run, "formulas": run.other}
rows = [{"hill": phase} | {name: sum(p.phases[phase].values()) for name, p in found.items()} for phase in run.phases]
rows.append({"hill": "held by the process"} | {name: p.reserved_bytes for name, p in found.items()})
columns = {"hill": "Phase", "trace": ("Trace (bytes)", "{:,}"), "formulas": ("Formulas (bytes)", "{:,}")}
plots.table(rows, columns, caption="The same run by both engines")

# %% [markdown]
# ## 5 A 7B model on a T4
#
# Now the question from every forum. You wish to tune Llama-2-7B on a T4, eight sequences of 512 tokens at a time. The plan says what happens, and
# its *advice* looks for the shortest list of changes after which it fits.

# %%
wish = plan("llama-2-7b", method="full", precision="fp16-mixed", micro_batch=8, gpu="t4", engine="formulas")
print(f"wanted {wish.reserved_bytes / 1e9:.0f} GB, there are {wish.gpu.usable / 1e9:.1f}")
for advice in wish.advice:
    print("-", advice.text)

# %% [markdown]
# Advice is quick, but you should know what each change does. We make them one at a time, each on top of the ones before, and look at what is left
# of the bar.

# %%
changes = {
    "full": {"method": "full", "precision": "fp16-mixed"},
    "LoRA": {"method": "lora", "precision": "fp16"},
    "batch 1": {"micro_batch": 1, "accumulate": 8},
    "checkpoints": {"checkpointing": True},
    "QLoRA": {"method": "qlora"},
}
settings, bars = {"micro_batch": 8}, {}
for name, change in changes.items():
    settings |= change
    step = plan("llama-2-7b", gpu="t4", engine="formulas", advise=False, **settings)
    bars[name] = step.parts | {"other": step.reserved_bytes - step.peak_bytes}

# %%
lines = {name: gpus.gpu(name).usable for name in memory_figures.CARDS}
words = {"xlabel": "One change on top of the other", "title": "Llama-2-7B, eight sequences of 512 tokens a step"}
memory_figures.stacked(bars, lines=lines, **words)

# %% [markdown] tags=["instructor"]
# **Come back to the numbers on the board.** Then let the room order the five changes by what they cost in time and in quality, not in bytes: accumulation
# costs almost nothing, checkpointing a third more time, quantizing a little quality, shorter sequences whatever stood at their end.

# %% [markdown]
# LoRA removes gradients and optimizer, and what is left is no longer a matter of what learns. Smaller batches with *accumulation* give the same
# gradient in several turns. Checkpointing takes time and gives room. Only quantizing touches the weights themselves.
#
# ### The other famous sum
#
# "LoRA trains 0.3%, so a 7B model takes 112 GB × 0.003 + 14 GB: about 14 GB." The 14 are the weights in 16 bits before the first token. Here is the
# plan of a run that was measured and published, at 1304 tokens without checkpointing, on an A100:

# %%
from course_lib.memory import published

(row,) = [row for row in published.complete() if row.title == "llama-2-7b lora r8 1x1304"]
lora = plan(row.model, row.recipe, row.gpu, engine="formulas", advise=False)
print(
    f"weights {lora.parts['weights'] / 1e9:.1f} GB, peak {lora.peak_bytes / 1e9:.1f}; published: {row.bytes / 1e9:.1f}"
)
print(*(f"{part:12} {size / 1e9:6.2f} GB" for part, size in lora.parts.items()), sep="\n")

# %% [markdown]
# ## 6 Your own run
#
# Choose a model and a recipe. The bars follow at once, and the same numbers stand below them as text. Look for three things: a model whose logits
# are larger than its weights, a run in which checkpointing hardly helps, and the largest model that you can tune on the card you have.


# %%
def what_fills_it(model, method, batch, length, checkpointing):
    options = {"method": method, "micro_batch": batch, "seq_len": length, "checkpointing": checkpointing}
    run = plan(model, gpu="a100-80", engine="formulas", advise=False, **options)
    return memory_figures.of_plan(run, title=f"{model}, {method}: {batch} x {length} tokens")


# %%
choices = [
    "smollm2-360m",
    "qwen2.5-0.5b",
    "llama-3.2-1b",
    "llama-3.2-3b",
    "llama-2-7b",
    "llama-3.1-8b",
    "llama-2-13b",
    "llama-2-70b",
]
controls = {
    "model": widgets.choice("Model", choices, value="llama-2-7b"),
    "method": widgets.choice("Method", ["full", "lora", "qlora", "inference"], value="lora"),
    "batch": widgets.steps("Sequences at a time", [1, 2, 4, 8, 16, 32], value=1),
    "length": widgets.steps("Tokens in each", [128, 256, 512, 1024, 2048, 4096], value=1024),
    "checkpointing": widgets.switch("Checkpointing"),
}
widgets.interactive_figure(what_fills_it, controls, title="What fills the card?")

# %% [markdown]
# ## 7 Is the plan right?
#
# A plan is a claim, so it is tested. Here a small model with random weights is really trained for two steps, while every operation is watched and
# every byte that a tensor holds is counted. The plan knows nothing of this count.

# %%
from course_lib.memory.live import compare
from course_lib.memory.recipe import Recipe

small = {"model_type": "llama", "hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 8}
small |= {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 8000, "max_position_embeddings": 2048}
recipe = Recipe(method="full", precision="fp32", micro_batch=4, seq_len=128)
counts = compare(small, recipe)

# %%
columns = {
    "phase": "Phase",
    "part": "Part",
    "predicted": ("Predicted (bytes)", "{:,}"),
    "measured": ("Measured (bytes)", "{:,}"),
    "error": ("Error", lambda share: f"{abs(share):.2%}"),
}
rows = [row for row in counts if row.measured > 1000]  # without the step counters of Adam
plots.table(rows, columns, caption="Predicted and counted, part by part")

# %%
recipes = {
    "checkpointing": recipe.but(checkpointing=True),
    "LoRA": recipe.but(method="lora"),
    "NF4 + LoRA": recipe.but(method="qlora"),
}
runs = {"full": counts} | {name: compare(small, other) for name, other in recipes.items()}
peaks = {name: max(rows, key=lambda row: (row.part == "total", row.measured)) for name, rows in runs.items()}

# %%
series = {kind: [getattr(row, kind) / 1e6 for row in peaks.values()] for kind in ("predicted", "measured")}
words = {"xlabel": "Recipe", "ylabel": "Peak of live bytes (MB)", "title": "A real model, trained here"}
plots.bars(list(peaks), series, **words)

# %% [markdown]
# Small models on a processor are one thing, and billions of parameters on a GPU another. Other people have measured those and published what they saw:
# fine-tuning runs of models with 1 to 13 billion parameters, on cards of 24 to 48 GB. The planner was asked about every run that is described completely;
# every setting was read from its source, and nothing was fitted. So were other public calculators, rewritten from their documentation. Most of those
# answer a simpler question, such as full training of any model, so read the table as "how far off you are if you ask them about such runs".

# %%
import json

from course_lib.assets import asset

recording = json.loads(asset("recordings/memory_errors.json").read_text(encoding="utf-8"))
columns = {
    "calculator": "Calculator",
    "median": ("Median error", "{:.1%}"),
    "worst": ("Worst", "{:.1%}"),
    "omits": "Leaves out",
}
caption = f"Recorded on {recording['date']}: errors on {recording['calculators'][0]['count']} published runs"
plots.table(recording["calculators"], columns, caption=caption)

# %% [markdown]
# The formulas answer at once, so you can repeat their part here. These are the runs on which they are furthest off.

# %%
missed = sorted(published.errors("formulas"), key=lambda one: -abs(one.error))
rows = [
    {"run": m.row.title, "published": m.row.bytes / 1e9, "plan": m.predicted / 1e9, "error": m.error} for m in missed
]
columns = {"run": "Run", "published": ("Published (GB)", "{:.2f}"), "plan": ("Plan (GB)", "{:.2f}")}
plots.table(rows[:6], columns | {"error": ("Error", "{:+.1%}")}, caption="The formulas' largest errors")

# %% [markdown] tags=["instructor"]
# **Worth asking:** why is exact agreement on the processor possible, and not on a GPU? There, matrix libraries take workspace of their own, kernels differ
# by card, and the allocator rounds. The count here sees what PyTorch asks for, and so does the plan.

# %% [markdown]
# ## 8 Answering
#
# A model that only answers needs its weights, two bytes each in 16 bits, and nothing of what learning adds. What grows is the *cache*: to write
# the next token, attention needs a key and a value of every token before it, from every layer, and computing them again each time would be
# slow.
#
# **Exercise 3.** How large is the cache?

# %% tags=["solution"]
# exercise: 01-kv-cache

# %%
exercises.check("01-kv-cache", cache_bytes)

# %% [markdown]
# "One token of a 13B model costs about 1 MB", says a rule. It is right for the model it was made for, and off by far for newer ones, in which
# several query heads share one head of keys and values.

# %%
rows = []
for name in ("llama-2-13b", "qwen2.5-14b", "llama-2-70b", "llama-3.1-8b", "qwen2.5-7b"):
    m = models.preset(name).architecture
    token = arithmetic.kv_cache_bytes(m.layers, m.kv_heads, m.head_dim, tokens=1)
    room = (gpus.gpu("a100-80").free - 2 * m.parameters) / token
    rows.append({"name": name, "heads": f"{m.heads} / {m.kv_heads}", "MB": token / 1e6, "room": max(0, room)})
columns = {"name": "Model", "heads": "Heads of queries / keys", "MB": ("Cache of a token (MB)", "{:.3f}")}
plots.table(rows, columns | {"room": ("Tokens beside 16-bit weights on 80 GB", "{:,.0f}")}, caption="Keys and values")

# %% [markdown]
# In 16 bits the 70B model is too large for any card of 80 GB. In NF4 it fits on 40: every matrix in the layers at little more than 4 bits,
# embedding and output layer in 16. A published measurement of such a run peaked at 37.21 GB.

# %%
from course_lib.teach.claim_checks.memory import quantized_bytes

for name in ("llama-2-7b", "llama-2-13b", "codellama-34b", "llama-2-70b"):
    size = quantized_bytes(models.preset(name).architecture)
    fitting = [card.name for card in cards if size < card.free]
    print(
        f"{name:14} {2 * models.preset(name).parameters / 1e9:6.1f} GB in 16 bits, {size / 1e9:5.1f} in NF4: {fitting[0]}"
    )

# %% [markdown]
# ## 9 Several devices
#
# Data parallelism copies the whole state to every device and only divides the texts: more speed, no room. *ZeRO*, and FSDP after it, ask why each
# device should hold what only one needs to update. Stage 1 divides the optimizer, stage 2 the gradients too, stage 3 also the weights, which then
# have to be gathered layer by layer for every pass.
#
# **Exercise 4.** What does each device hold?

# %% tags=["solution"]
# exercise: 01-zero

# %%
exercises.check("01-zero", per_device)

# %%
state = arithmetic.training_state(models.preset("llama-2-7b").parameters, "bf16-master")
weights, gradients = state["weights"], state["gradients"]
rows = []
for name in ("ddp", "zero1", "zero2", "zero3"):
    sent = sum(arithmetic.bytes_sent(name, 6, weights=weights, gradients=gradients).values())
    device = sum(arithmetic.sharded(state, 6, name, bucket_view=True).device.values())
    rows.append({"name": name, "device": device / 1e9, "sent": sent / 1e9})
columns = {"name": "Way", "device": ("On each of 6 devices (GB)", "{:.1f}"), "sent": ("Sent per step (GB)", "{:.1f}")}
plots.table(rows, columns, caption="Llama-2-7B, weights, gradients and optimizer")

# %% [markdown]
# "Six GPUs are too few to tune a 7B model, while LoRA runs on one": that depends on the six. The table has the state alone, so compare it with cards of
# 16 and of 24 GB and leave room for activations, which nobody divides. The claim's verdict at the end comes from whole plans.
#
# ## 10 Operations, tokens, money
#
# Multiplying a token with a weight takes two operations, and the backward pass does it twice more. So training takes $6 N D$ operations for $N$
# parameters and $D$ tokens, and a model that only answers takes $2 N$ a token. With frozen weights 4 of the 6 remain: LoRA saves memory first of
# all.
#
# **Exercise 5.** From parameters and tokens to days.

# %% tags=["solution"]
# exercise: 01-days

# %%
exercises.check("01-days", days)

# %%
card, rows = gpus.gpu("a100-80"), []
runs = {
    "13B on 1.4T tokens": (13e9, 1.4e12, None),
    "Llama-2-7B on 2T": (6.7e9, 2e12, None),
    "a LoRA on it, 30M": (6.7e9, 30e6, 20e6),
}
for name, (n, d, trained) in runs.items():
    work = arithmetic.training_flops(n, d, trained=trained)
    took = arithmetic.seconds(work, card.bf16, utilisation=0.4)
    bill = arithmetic.dollars(took, card.dollars_per_hour)
    rows.append({"name": name, "work": work, "hours": took / 3600, "dollars": bill})

# %%
columns = {
    "name": "Run",
    "work": ("Operations", "{:.1e}"),
    "hours": ("A100 hours", number),
    "dollars": ("Dollars", number),
}
plots.table(rows, columns, caption=f"At 40% of the peak and {card.dollars_per_hour:.2f} dollars an hour, an assumption")

# %% [markdown]
# The price is a price of one provider in 2026; put in yours. "13B on 1.4T tokens costs a million" was right with the list prices of 2023. And fine-tuning
# costs less than a thousandth of training from scratch as long as it stays short: at two billion tokens a 7B model reaches that line.
#
# ### Tokens are not words
#
# All of this counts tokens. English has about 4 of them for 3 words. Count with a real tokenizer, on the course's reviews and on the same few
# sentences in three languages:

# %%
split = records.load(tier.sentiment, train_size=tier.train_size, test_size=tier.test_size)
evidence = counted.evidence(tier.encoder, encoder, tokenizer, [*split.train.texts, *split.test.texts])
counts = {"reviews": evidence.reviews, **evidence.languages}
rows = [{"text": name, "words": c.words, "tokens": c.tokens, "each": c.tokens_per_word} for name, c in counts.items()]
columns = {
    "text": "Text",
    "words": ("Words", "{:,}"),
    "tokens": ("Tokens", "{:,}"),
    "each": ("Tokens per word", "{:.2f}"),
}
plots.table(rows, columns, caption=f"Counted with the tokenizer of {tier.encoder}")

# %% [markdown]
# The simple sentences take fewer tokens than reviews; in Swahili the same content takes half as many tokens again as in English. Who writes in a language that the
# tokenizer rarely saw pays more for the same message, in memory, in time and in money.
#
# ### The triangle
#
# Parameters, tokens and operations form a triangle: two of them fix the third. Which two are well chosen? For every budget there is a size at which
# the expected loss is lowest; smaller models would have to see too much, larger ones see too little. The loss is a published fit
# (Hoffmann et al. 2022, refitted by Besiroglu et al. 2024) and says nothing about your data.


# %%
SIZES = [0.5, 1, 3, 7, 13, 34, 70]  # billions of parameters


def triangle(billions, gpu_days):
    budget = gpu_days * 86_400 * 312e12 * 0.4  # A100s at 40% of their peak
    yours, best = arithmetic.triangle(parameters=billions * 1e9, flops=budget), arithmetic.compute_optimal(budget)
    points = []
    for n in sorted({*SIZES, best.parameters / 1e9}, key=lambda n: (n != billions, n)):
        loss = arithmetic.chinchilla_loss(n * 1e9, budget / (6e9 * n), "besiroglu")
        label, group = (f"{n:g}B", "other sizes") if n in SIZES else (f"{n:.2g}B", "the fit's choice")
        points.append(plots.Point(label, n, loss, group="your choice" if n == billions else group))
    title = f"{billions:g}B parameters and {yours.tokens / 1e12:.3g}T tokens take {budget:.1e} operations"
    each = f"{yours.tokens / yours.parameters:,.0f} tokens for each parameter"
    summary = f"{title}: {each}. The fit's choice is {best.parameters / 1e9:.2g}B on {best.tokens / 1e12:.3g}T tokens."
    words = {"xlabel": "Parameters (billions)", "ylabel": "Expected loss (nats per token)", "title": title}
    return plots.scatter_cost(points, percent=False, summary=summary, **words)


# %%
controls = {
    "billions": widgets.steps("Parameters (billions)", SIZES, value=7),
    "gpu_days": widgets.steps("A100 days", [10, 100, 1000, 10_000, 100_000], value=10_000),
}
widgets.interactive_figure(triangle, controls, title="Parameters, tokens, operations")

# %% [markdown]
# ## 11 Quiz
#
# Eight questions; every answer is explained, the wrong ones too.

# %%
quiz("01")

# %%
exercises.progress("01")

# %% [markdown]
# ## 12 What the talks claimed
#
# Twenty claims belong to this lesson. Each figure is computed again, from plans, from the tensors and tokens counted above, and from stated
# prices; the verdict follows from rules that are written beside the checks. What nobody outside can verify stays a rumour.

# %%
claims.show("01", evidence)

# %% [markdown]
# ## 13 On a T4, and further
#
# On a T4 the same cells count the tensors of DistilBERT and the tokens of film reviews. Two things change in your own runs. The card has no bf16, so recipes
# use fp16 with loss scaling. And it has no FlashAttention 2; `sdpa` uses a kernel that also keeps no scores. Every training run of this course asks
# for its plan first: it refuses what cannot fit, with the advice, and afterwards reports the peak that came. The same from a terminal, in seconds
# and for any model:
#
# ```bash
# course plan --model llama-2-70b --method qlora --gpu a100-80 --seq-len 2048 --checkpointing
# course plan --list
# ```
#
# **Further reading.** Rajbhandari et al. 2020, *ZeRO*. Korthikanti et al. 2022, *Reducing activation recomputation in large transformer models*. Chen et al.
# 2016, *Training deep nets with sublinear memory cost*. Dettmers et al. 2023, *QLoRA*. Micikevicius et al. 2018, *Mixed precision training*.
# Hoffmann et al. 2022, *Training compute-optimal large language models*. Pope et al. 2022, *Efficiently scaling transformer inference*.
