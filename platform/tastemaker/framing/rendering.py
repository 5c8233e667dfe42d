"""A formulation as text for the terminal and as Markdown."""

from __future__ import annotations

import textwrap

from tastemaker.framing.formulation import formulate
from tastemaker.problem.spec import ProblemSpec


def to_text(spec: ProblemSpec, width: int = 100) -> str:
    """Unicode mathematics. Formulas keep their line whatever the width; remarks are wrapped."""
    lines = [spec.name, "═" * len(spec.name)]
    for section in formulate(spec):
        lines += ["", section.title, *(f"    {formula.text}" for formula in section.formulas)]
        for remark in section.remarks:
            lines += textwrap.wrap(remark, width, initial_indent="  · ", subsequent_indent="    ")
    return "\n".join(lines) + "\n"


def to_markdown(spec: ProblemSpec) -> str:
    """LaTeX between dollar signs, as GitHub, JupyterLab and most others render it."""
    blocks = [f"# {_plain(spec.name)}"]
    for section in formulate(spec):
        blocks.append(f"## {section.title}")
        blocks += [f"$$\n{formula.latex}\n$$" for formula in section.formulas]
        blocks.append("\n".join(f"- {_plain(remark)}" for remark in section.remarks))
    return "\n\n".join(blocks) + "\n"


def _plain(words: str) -> str:
    """Text in which nothing is Markdown or HTML."""
    return "".join(f"\\{mark}" if mark in "\\`*_[]<>#$" else mark for mark in " ".join(words.split()))
