"""Which commands a page asks its readers to type, and which pages forget to say so."""

from __future__ import annotations

import pytest

from support.documented_commands import commands, keys_shown
from support.repository import ROOT

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "models/*/README.md", "deploy/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_commands_says_what_becomes_of_it(page: str) -> None:
    commands((ROOT / page).read_text("utf-8"), page)


def test_commands_are_found_with_their_lines_status_and_what_is_shown() -> None:
    page = """
Text, and a command that is none: tastemaker run

```bash
cd here      # one's own folder

tastemaker run \\
  --json
curl -d '{"a":
  1}' localhost
```

```bash exits 2: it is too early
tastemaker evaluate ease
```

```bash not typed: it takes a day
tastemaker demo
```

```console
$ curl -X POST "localhost:3000/x" \\
    -d '{}'
{"request_id": "1",
 "items": [{"score": 2}], ...}
$ ls
```

```text
tastemaker says this
```
"""
    found = commands(page, "page.md")
    assert [(one.line, one.text.split()[0], one.status) for one in found] == [
        (5, "cd", 0), (7, "tastemaker", 0), (9, "curl", 0), (14, "tastemaker", 2),
        (22, "curl", 0), (26, "ls", 0),
    ]  # fmt: skip
    assert found[1].text == "tastemaker run \\\n  --json"
    assert keys_shown(found[4].shown) == {"request_id", "items", "score"}
    assert found[5].shown == ""


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("tastemaker serve ease", 3000),
        ("tastemaker serve --port 3001   # another", 3001),
        ("bentoml serve a.b:C --port 3002", 3002),
        ("dagster dev", 3000),
        ("tastemaker run", None),
        ("bentoml build models/baselines", None),
    ],
)
def test_servers_are_known_by_their_port(text: str, port: int | None) -> None:
    [command] = commands(f"```bash\n{text}\n```\n", "page.md")
    assert command.port == port


@pytest.mark.parametrize(
    "page",
    [
        "```\ntastemaker run\n```\n",
        "```sh\npip install x\n```\n",
        "Text:\n\n    make demo\n",
        "```toml\n[a]\n$ curl localhost\n```\n",
        "```bash not typed:\ntastemaker run\n```\n",
        "```bash notyped: for no reason\ntastemaker run\n```\n",
        "```bash exits 0: all is well\ntastemaker run\n```\n",
        "```bash\necho 'this never ends\n```\n",
    ],
)
def test_a_page_that_does_not_say_it_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match=r"^page\.md:\d+: "):
        commands(page, "page.md")
