"""From scores to text: how a causal language model is made to write.

A model gives scores for the next token; writing means to pick one, add it, and ask again. How to pick (`Decoding`):
the likeliest one repeats itself on open questions and is right for short answers; drawing among the likely ones gives
variety, which voting over samples needs. `Writer` does it for many prompts at once, streams, and scores given texts;
`writer_of` makes one of a model that is being trained, and `asking` leaves that as it was.

Left out: beam search, speculative decoding, and a batch that takes up new requests while others are being written.
"""

from course_lib.generate.decoding import Completion, Decoding
from course_lib.generate.reading import asking
from course_lib.generate.writer import Prompt, Writer, writer_of

__all__ = ["Completion", "Decoding", "Prompt", "Writer", "asking", "writer_of"]
