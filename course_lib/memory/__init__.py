"""How much memory a run takes, said before it runs.

Four things fill a GPU: the weights, what training keeps beside each of them, what a step must remember of its
forward pass, and scratch space. Each is arithmetic on the architecture and the recipe.

* `arithmetic`: the formulas, each with its source and an example. No torch, answers in microseconds.

Left out: what other programs on the same card hold.
"""
