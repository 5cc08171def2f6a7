"""A causal language model from scratch, in the format of Llama checkpoints: `model` is it, `config` its
numbers, `weights` its files."""

from course_lib.decoder.config import DecoderConfig
from course_lib.decoder.model import Cache, Decoder, initialise
from course_lib.decoder.weights import load, save

__all__ = ["Cache", "Decoder", "DecoderConfig", "initialise", "load", "save"]
