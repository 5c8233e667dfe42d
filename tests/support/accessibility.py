"""What axe-core finds wrong with a page for people who don't see it, or use no mouse."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def axe_findings(tab: Page) -> list[str]:
    """Rule and element of each violation in an open page."""
    found = Axe().run(tab).response["violations"]
    return [f"{one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]]
