"""Chat formats: a conversation goes in, the tokens that a model reads come out, and which of them it learns.

A model that answers was trained on conversations written in one layout, its chat template: marks for who speaks, and a
token that ends an answer. Three things decide whether training works, and all three can be seen token by token:

- Only the assistant's words count for the loss, with the token that ends them. Without that token the model never
  learns to stop; with the rest, it learns to write questions.
- Generation must see exactly the tokens that stood before the answer in training. So a text is never tokenised as a
  whole but cut where answers begin (`pieces`), and a prompt is the same pieces without the last.
- What is learned is decided by place, not by id: a tokenizer whose pad token is its end token loses nothing.

`Chat` does this for the tokenizer's own template, or one of TEMPLATES. `layout` finds out what a template does by
trying it, `fitting` shortens what is too long, `problems` says in sentences what is wrong before training begins.

Left out: tools and images in conversations, and templates that depend on more than the messages.
"""

from course_lib.prompts.chat.chat import Chat, Encoded
from course_lib.prompts.chat.templates import TEMPLATES

__all__ = ["TEMPLATES", "Chat", "Encoded"]
