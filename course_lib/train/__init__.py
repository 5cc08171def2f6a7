"""The one training loop of the course.

A step takes ``accumulate`` batches, adds up their losses, divides by the number of labels in all of them (on all
processes), clips the gradient and lets AdamW move the weights. Dividing by labels rather than averaging the batches'
means is what makes accumulation, several processes and uneven batches give the same gradient as one large batch. The
learning rate rises linearly over W warm-up steps and falls along a cosine, a function of the step t = 0 ... T-1 alone:

    lr(t) = lr * (t + 1) / W                                    while t < W
    lr(t) = lr * (1 + cos(pi * (t - W) / (T - W))) / 2          afterwards

Everything that the next step depends on (trainable weights, optimizer, random states of every library and process,
position in the data) is in the checkpoint, so a run that is killed anywhere continues to the same bits. What is
frozen runs in evaluation mode: dropout in a part that cannot learn would only be noise.

`settings` says how to train and what happened, `loop` is the loop, `state` is what a checkpoint of it holds.

Left out: schedules other than the cosine, optimizers other than AdamW.
"""

from course_lib.train.loop import fit, training_mode
from course_lib.train.settings import History, TrainConfig

__all__ = ["History", "TrainConfig", "fit", "training_mode"]
