"""The card of a tuned model: what it was made from, how, and what it can do now (Mitchell et al. 2019).

Everything in it is taken from the run; nothing is typed in by hand.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from course_lib.metrics.report import TaskReport, compare

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "tokenizers")


def versions() -> dict[str, str]:
    """The versions that a result may depend on."""
    return {name: version(name) for name in PACKAGES}


def text(report: dict[str, Any], before: TaskReport | None, after: TaskReport | None) -> str:
    """The card in Markdown, with the header that the Hugging Face hub reads."""
    tuning, parts = report["tuning"], report["parameters"]
    detail = {
        "lora": f"LoRA of rank {tuning['rank']} (alpha {tuning['alpha']:g}) on {tuning['targets']}",
        "qlora": f"QLoRA: LoRA of rank {tuning['rank']} (alpha {tuning['alpha']:g}) on a base in NF4",
        "last-n": f"the last {tuning['blocks']} blocks",
        "full": "all weights",
    }[tuning["method"]]
    lines = [
        "---",
        f"base_model: {report['model']}",
        f"library_name: {'peft' if tuning['method'] in ('lora', 'qlora') else 'transformers'}",
        "pipeline_tag: text-generation",
        "---",
        "",
        f"# {report['model']}, tuned",
        "",
        f"- **Data**: {report['examples']['train']:,} examples of `{report['data']}`, {report['tokens']['train']:,}"
        f" tokens, of which {report['tokens']['learned']:,} are learned; {report['examples']['test']:,} held out,"
        f" {report['examples']['copies']} copies of those left out. Fingerprint (sha256): `{report['fingerprint']}`.",
        f"- **Learned**: {detail}; {parts['learned']:,} of {parts['all']:,} parameters, held in float32; the model in"
        f" {report['numbers']['held']}, computed in {report['numbers']['computed']}.",
        f"- **Recipe**: {tuning['epochs']} epochs, steps of {tuning['batch_size']} examples, {tuning['optimizer']},"
        f" learning rate {report['learning_rate']:.2g} with warm-up and half a cosine, weight decay"
        f" {tuning['weight_decay']:g}, seed {tuning['seed']}.",
        f"- **Made on** {report['hardware']['device']}, {report['date']}, with"
        f" {', '.join(f'{name} {number}' for name, number in report['versions'].items())}.",
        "",
        "## Loss on held-out examples (nats per token of the answer)",
        "",
        "| step | loss |",
        "|---|---|",
        *(f"| {point['step']} | {point['loss']:.3f} |" for point in report["held_out"]),
        "",
        "## Answers to held-out questions",
        "",
        *_table(before, after),
        "",
        "Greedy answers. The questions are like those it was trained on; about others this says nothing.",
        "",
    ]
    return "\n".join(lines)


def _table(before: TaskReport | None, after: TaskReport | None) -> list[str]:
    if not before or not after:
        return ["Not measured."]
    rows = ["| measured by | before | after | difference, 95% interval | items |", "|---|---|---|---|---|"]
    for one in compare(after, before):
        rows.append(
            f"| {one.task} | {one.second:.1%} | {one.first:.1%} | {one.low:+.1%} to {one.high:+.1%} | {one.n} |"
        )
    return rows
