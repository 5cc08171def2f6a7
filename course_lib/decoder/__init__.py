"""A causal language model from scratch, in the format of Llama checkpoints: `model` is it, `config` its
numbers, `weights` its files."""

from course_lib.decoder.config import DecoderConfig
from course_lib.decoder.model import Cache, Decoder, initialise
from course_lib.decoder.weights import adopt, load, save, unlike_llama

__all__ = ["Cache", "Decoder", "DecoderConfig", "adopt", "initialise", "load", "save", "unlike_llama"]
