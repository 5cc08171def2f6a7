"""How six families of models lay out a conversation, as Jinja templates of the kind that tokenizers carry.

The families differ in their marks, not in their idea: who speaks, what is said, where it ends. Llama 2 has no place for
a system message and folds it into the first question; Llama 2 and 3 write the token that begins a text by themselves,
the others leave that to `Chat`, which begins as the tokenizer begins every text. ``plain`` is for base models without
any token for chats: its headings are ordinary text, and only the end token ends an answer.
"""

from __future__ import annotations

# A text begins with a space: in the base model's pretraining nearly every word did, the answer to a prompt included
# ("Answer: bread"), and " bread" is one token. The prompt ends with the role, so the model writes the space with the
# word. (A document begins without one, but with a title or a capital letter; a line break would cost a token per turn.)
COURSE = """\
{%- for message in messages -%}
{{- '<|' + message['role'] + '|> ' + message['content'] | trim -}}
{%- if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif -%}
"""

CHATML = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
"""

LLAMA2 = """\
{%- set first = 0 -%}
{%- set system = '' -%}
{%- if messages[0]['role'] == 'system' -%}
{%- set first = 1 -%}
{%- set system = '<<SYS>>\\n' + messages[0]['content'] | trim + '\\n<</SYS>>\\n\\n' -%}
{%- endif -%}
{%- for message in messages[first:] -%}
{%- if message['role'] == 'user' -%}
{{- bos_token + '[INST] ' + (system if loop.first else '') + message['content'] | trim + ' [/INST]' -}}
{%- else -%}
{{- ' ' + message['content'] | trim + ' ' + eos_token -}}
{%- endif -%}
{%- endfor -%}
"""

LLAMA3 = """\
{{- bos_token -}}
{%- for message in messages -%}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif -%}
"""

ZEPHYR = """\
{%- for message in messages -%}
{{- '<|' + message['role'] + '|>\\n' + message['content'] | trim + eos_token + '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif -%}
"""

PLAIN = """\
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{{- message['content'] | trim + '\\n\\n' -}}
{%- elif message['role'] == 'user' -%}
{{- '### Instruction:\\n' + message['content'] | trim + '\\n\\n### Response:\\n' -}}
{%- else -%}
{{- message['content'] | trim + eos_token + ('' if loop.last else '\\n\\n') -}}
{%- endif -%}
{%- endfor -%}
"""

TEMPLATES: dict[str, str] = {
    "course": COURSE,
    "chatml": CHATML,
    "llama2": LLAMA2,
    "llama3": LLAMA3,
    "zephyr": ZEPHYR,
    "plain": PLAIN,
}
