"""Layout of the platform's HTML pages: head, style, title, time, rows, summary and tables.

    shell   a whole page that works offline: no script, nothing from another host
    parts   tables and lists of facts; text is escaped, `markupsafe.Markup` is not
    index   `index.html` of a folder of reports: its pages with their times and summaries

The contents of pages are elsewhere: see `evaluation.leaderboard.html`, `monitoring.drift` and others.
"""

from tastemaker.html.parts import below, embedded, facts, join, table
from tastemaker.html.shell import Page, cell, render, titled

__all__ = ["Page", "below", "cell", "embedded", "facts", "join", "render", "table", "titled"]
