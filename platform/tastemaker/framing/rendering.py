"""Rendering of a formulation as text for terminals and as Markdown."""

from __future__ import annotations

import textwrap

from tastemaker.framing.formulation import formulate
from tastemaker.problem.spec import ProblemSpec


def to_text(spec: ProblemSpec, width: int = 100) -> str:
    """Return a problem's formulation in Unicode.

    Args:
        spec: The problem to formulate.
        width: Characters per line of remarks; formulas are not wrapped.
    """
    lines = [spec.name, "═" * len(spec.name)]
    for section in formulate(spec):
        lines += ["", section.title, *(f"    {formula.text}" for formula in section.formulas)]
        for remark in section.remarks:
            lines += textwrap.wrap(remark, width, initial_indent="  · ", subsequent_indent="    ")
    return "\n".join(lines) + "\n"


def to_markdown(spec: ProblemSpec) -> str:
    """Return a problem's formulation in Markdown, with LaTeX between dollar signs."""
    blocks = [f"# {_plain(spec.name)}"]
    for section in formulate(spec):
        blocks.append(f"## {section.title}")
        blocks += [f"$$\n{formula.latex}\n$$" for formula in section.formulas]
        blocks.append("\n".join(f"- {_plain(remark)}" for remark in section.remarks))
    return "\n\n".join(blocks) + "\n"


def _plain(words: str) -> str:
    """Return text with the special characters of Markdown and HTML escaped."""
    return "".join(f"\\{mark}" if mark in "\\`*_[]<>#$" else mark for mark in " ".join(words.split()))
