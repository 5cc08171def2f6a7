"""How wide a number is, by where it lives: the first thing that decides what a run takes.

"bf16" says little. Under autocast a model held in 16 bits still has 32-bit numbers wherever a layer norm has passed,
because CUDA computes layer norms in fp32 and nothing makes the result narrower; a 4-bit layer hands on whatever width
it was given; peft's adapters are held in fp32 beside a 16-bit matrix. `Widths` follows a number through one block.

Left out: fp8.
"""

from __future__ import annotations

from dataclasses import dataclass

from course_lib.memory.architecture import Architecture
from course_lib.memory.recipe import WIDTH, Recipe


@dataclass(frozen=True)
class Widths:
    """Bytes of one number.

    ``compute``: operands of a matrix product; ``held``: the model's weights; ``stream``: the residual stream;
    ``normed``: what a norm gives; ``inner``: what linear layers make of that; ``outer``: what attention's output layer
    gives; ``adapter``: an adapter's weights; ``added``: what it adds.
    """

    compute: int
    held: int
    stream: int
    normed: int
    inner: int
    outer: int
    adapter: int
    added: int

    @classmethod
    def of(cls, model: Architecture, recipe: Recipe) -> Widths:
        """The widths of a run.

        >>> from course_lib.memory.models import preset
        >>> llama, pythia = preset("llama-2-7b").architecture, preset("pythia-1.4b").architecture
        >>> Widths.of(llama, Recipe(method="lora")).normed, Widths.of(pythia, Recipe(method="lora")).normed
        (2, 4)
        """
        compute, held, adapter = WIDTH[recipe.compute], WIDTH[recipe.held], WIDTH[recipe.learned]
        if not recipe.autocasts:
            return cls(compute, held, held, held, held, held, adapter, adapter)
        layer_norm = model.norm == "layer"
        four_bit = quantized(model, recipe)
        after_norm = not model.causal  # an encoder's stream is what its last norm gave
        stream = 4 if held == 4 or (layer_norm and (four_bit or after_norm)) else held
        normed = 4 if layer_norm else stream
        inner = normed if four_bit else compute
        return cls(compute, held, stream, normed, inner, compute, adapter, compute)


def quantized(model: Architecture, recipe: Recipe) -> bool:
    """Whether the linear layers are held in 4 bits. Falcon's own kind of them is none to transformers, and stays."""
    return recipe.method == "qlora" and (model.model_type != "falcon" or recipe.program != "transformers")
