"""How many operations, how long, how much: from parameters and tokens to hours and dollars.

A product with a weight takes one multiplication and one addition, 2 FLOPs per parameter and token. A backward pass does
it twice more, for the gradient of the input and for that of the weight. So, for N parameters and D tokens:

    inference 2 N D        training 6 N D        with frozen weights 4 N D        checkpointing + 2 N D

Freezing weights saves a third and not more: the gradient still has to pass through them. Time is operations divided by
what the device does per second, of which training reaches 30% to 50% on large GPUs; generating text one token at a
time waits for memory instead, because every weight is read for every token.

Rates are in FLOP/s, bandwidths in bytes/s. Left out: norms, activation functions, the softmax, the optimizer's step
(together about 1% to 3%), input embeddings (a lookup: leave them out of N), waiting for data and for other devices.
"""

from __future__ import annotations

from course_lib.errors import CourseError
from course_lib.memory.arithmetic.checks import amount, count, share

HOUR = 3600.0


def attention_flops(layers: int, width: int, seq: int, *, causal: bool = False) -> float:
    """FLOPs per token of a forward pass in the two products without weights, scores and their sum: ``4 L h s``.

    ``width``: heads * head_dim. ``causal``: half, where the kernel skips what is masked. Three times this with the
    backward pass is the 12 L h s per token of PaLM (Chowdhery et al. 2022, appendix B; it does not halve).

    >>> 3 * attention_flops(32, 4096, 4096) / (6 * 6.6e9)  # Llama-2-7B at full length, against its weights
    0.16268...
    """
    flops = 4.0 * count("layers", layers) * count("width", width) * count("seq", seq)
    return flops / 2 if causal else flops


def flops_parts(
    parameters: float,
    tokens: float,
    *,
    trained: float | None = None,
    through: float | None = None,
    recompute: bool = False,
    attention: float = 0.0,
) -> dict[str, float]:
    """FLOPs of training on ``tokens`` tokens, by pass.

    * ``parameters``: all that a token is multiplied with (no input embedding; of experts, the active ones)
    * ``trained``: how many of them learn (None: all; adapters count in both)
    * ``through``: how many the gradient passes through (None: all; the last blocks alone, when the rest is frozen)
    * ``recompute``: checkpointing does the forward pass of those again (Chen et al. 2016)
    * ``attention``: FLOPs per token forward, from `attention_flops`; twice that backward

    Source: Kaplan et al. 2020, section 2.1. CourseError where more learn than there are, or than are passed through.

    >>> flops_parts(7e9, 1e6, trained=20e6)
    {'forward': 1.4e+16, 'gradients of activations': 1.4e+16, 'gradients of weights': 40000000000000.0, 'again': 0.0}
    """
    n, d, a = amount("parameters", parameters), amount("tokens", tokens), amount("attention", attention)
    learning = n if trained is None else amount("trained", trained)
    passed = n if through is None else amount("through", through)
    if not learning <= passed <= n:
        raise CourseError(
            f"Of {n:.4g} parameters the gradient passes through {passed:.4g} and {learning:.4g} learn: "
            "each number has to be at most the one before."
        )
    backward = passed / n if n else 0.0  # the share of the layers, and of their attention, that is differentiated
    forward = (2 * n + a) * d
    return {
        "forward": forward,
        "gradients of activations": (2 * passed + 2 * a * backward) * d,
        "gradients of weights": 2 * learning * d,
        "again": forward * backward if recompute else 0.0,
    }


def training_flops(
    parameters: float,
    tokens: float,
    *,
    trained: float | None = None,
    through: float | None = None,
    recompute: bool = False,
    attention: float = 0.0,
) -> float:
    """FLOPs of training: the sum of `flops_parts`. 6 N D where everything learns.

    >>> training_flops(7e9, 2e12)  # Llama-2-7B
    8.4e+22
    >>> training_flops(7e9, 1e6, trained=0) / training_flops(7e9, 1e6), training_flops(7e9, 1e6, recompute=True) / 7e15
    (0.666..., 8.0)
    """
    return sum(
        flops_parts(
            parameters, tokens, trained=trained, through=through, recompute=recompute, attention=attention
        ).values()
    )


def inference_flops(parameters: float, tokens: float, *, attention: float = 0.0) -> float:
    """FLOPs of a forward pass over ``tokens`` tokens: ``2 N D``, plus ``attention`` per token (`attention_flops`).

    >>> inference_flops(7e9, 1)
    14000000000.0
    """
    return (2.0 * amount("parameters", parameters) + amount("attention", attention)) * amount("tokens", tokens)


def seconds(flops: float, rate: float, utilisation: float = 0.4, devices: int = 1) -> float:
    """Seconds for ``flops`` on ``devices`` of ``rate`` FLOP/s each (dense peak) at this share of the peak.

    0.4 is usual for training on A100s (Llama-2, PaLM and Megatron report 0.4 to 0.5); small batches and small
    models reach far less. Sparse rates in data sheets are twice the dense ones: halve them.

    >>> seconds(training_flops(7e9, 2e12), 312e12) / HOUR  # A100 hours; Meta reports 184,320 for Llama-2-7B
    186965.81...
    """
    speed = amount("rate", rate, positive=True) * share("utilisation", utilisation, positive=True)
    return amount("flops", flops) / (speed * count("devices", devices, 1))


def utilisation(flops: float, rate: float, took: float, devices: int = 1) -> float:
    """The share of the peak that a run of ``took`` seconds reached: model FLOPs utilisation (Chowdhery et al. 2022).

    Recomputed passes are work but no use: leave them out of ``flops``.

    >>> round(utilisation(training_flops(7e9, 2e12), 312e12, 184_320 * HOUR), 3)
    0.406
    """
    speed = amount("rate", rate, positive=True) * count("devices", devices, 1)
    return amount("flops", flops) / (speed * amount("took", took, positive=True))


def seconds_bandwidth_bound(bytes_read: float, bandwidth: float, utilisation: float = 1.0) -> float:
    """Seconds that reading ``bytes_read`` takes: the least for one step of generation, whatever the batch.

    Bytes: all weights once, and the cache of every sequence. A batch of b sequences gives b tokens per step for one
    reading of the weights, which is why servers batch. Source: Pope et al. 2022.

    >>> round(1 / seconds_bandwidth_bound(13.5e9, 320e9))  # tokens per second of a 16-bit 7B model on a T4, at best
    24
    """
    speed = amount("bandwidth", bandwidth, positive=True) * share("utilisation", utilisation, positive=True)
    return amount("bytes_read", bytes_read) / speed


def decode_seconds(
    parameters: float, *, weights: float, cache: float = 0.0, batch: int = 1, rate: float, bandwidth: float
) -> float:
    """Seconds of one step that generates a token in each of ``batch`` sequences: the slower of reading and computing.

    ``weights``, ``cache``: bytes read (the cache of all sequences). The roofline model (Williams et al. 2009): below
    ``rate / bandwidth`` FLOPs per byte a device waits for its memory.

    >>> a100 = dict(rate=312e12, bandwidth=2.039e12)
    >>> [round(b / decode_seconds(7e9, weights=14e9, batch=b, **a100)) for b in (1, 64, 512)]  # tokens per second
    [146, 9321, 22286]
    """
    computing = inference_flops(parameters, count("batch", batch, 1)) / amount("rate", rate, positive=True)
    return max(computing, seconds_bandwidth_bound(amount("weights", weights) + amount("cache", cache), bandwidth))


def energy_kwh(took: float, watts: float, devices: int = 1, overhead: float = 1.0) -> float:
    """Kilowatt-hours of ``devices`` that draw ``watts`` each for ``took`` seconds.

    ``overhead``: what the building draws over what they draw (power usage effectiveness, 1.1 to 1.6). Source: Patterson
    et al. 2021. Left out: processors, memory and network of the hosts.

    >>> energy_kwh(10 * HOUR, 400, devices=8, overhead=1.1)
    35.2
    """
    if amount("overhead", overhead) < 1:
        raise CourseError(f"overhead is the building's power over the devices' own, at least 1, not {overhead!r}.")
    return amount("took", took) / HOUR * amount("watts", watts) * count("devices", devices, 1) * overhead / 1000


def dollars(took: float, dollars_per_hour: float, devices: int = 1) -> float:
    """Price of ``devices`` rented for ``took`` seconds at ``dollars_per_hour`` each; idle hours cost the same.

    >>> dollars(10 * HOUR, 4.5, devices=8)
    360.0
    >>> round(dollars(seconds(training_flops(13e9, 1.4e12), 312e12), 4) / 1e6, 2)  # millions: 13B on 1.4T tokens
    0.97
    """
    return amount("took", took) / HOUR * amount("dollars_per_hour", dollars_per_hour) * count("devices", devices, 1)
