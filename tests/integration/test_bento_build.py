"""`bentoml build` makes a Bento that answers on its own, and that carries nothing of where it was built."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.bento_servers import run, running
from support.repository import ROOT
from support.served_homes import make_home

pytestmark = pytest.mark.servers

FAMILY = ROOT / "models" / "baselines"


def test_a_bento_answers_far_from_where_it_was_built(tmp_path: Path) -> None:
    versions = make_home(tmp_path / "home", ["popularity"])
    environment = {"TASTEMAKER_HOME": str(tmp_path / "home"), "BENTOML_HOME": str(tmp_path / "bentoml")}
    built = run(["bentoml", "build", "--output", "tag"], FAMILY, environment)
    assert built.returncode == 0, built.stderr
    tag = built.stdout.strip().removeprefix("__tag__:")
    bento = tmp_path / "carried" / "bento"
    shutil.copytree(tmp_path / "bentoml" / "bentos" / tag.replace(":", "/"), bento)
    shutil.rmtree(tmp_path / "home")
    shutil.rmtree(tmp_path / "bentoml")

    assert {path.name for path in (bento / "src").iterdir()} == {
        "tastemaker", "tastemaker_baselines", "tastemaker_baselines-0.1.0.dist-info", "version",
    }  # fmt: skip
    requirements = (bento / "env" / "python" / "requirements.txt").read_text()
    names = {line.partition("==")[0].lower() for line in requirements.split()}
    assert names == {
        "bentoml", "httptools", "markupsafe", "msgspec", "numpy", "psutil", "pydantic", "pydantic-settings",
        "scipy", "structlog", "uvicorn",
    }  # fmt: skip
    texts = [
        path.read_text() for path in bento.rglob("*") if path.suffix in {".yaml", ".json", ".txt", ".toml"}
    ]
    assert not [text for text in texts if str(tmp_path) in text or str(FAMILY) in text]

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    away = {"TASTEMAKER_HOME": "logs of its own", "BENTOML_HOME": str(tmp_path / "another")}
    with running(["bentoml", "serve", str(bento)], elsewhere, away) as client:
        body = client.post("/recommend", json={"user_id": "user-01", "k": 5}).json()
    assert (body["model"], body["version"]) == ("popularity", versions["popularity"].id)
    assert len(body["items"]) == 5
    assert (elsewhere / "logs of its own" / "spool" / "requests.db").exists()


def test_a_bento_of_nothing_is_refused_in_one_line(tmp_path: Path) -> None:
    environment = {"TASTEMAKER_HOME": str(tmp_path / "empty"), "BENTOML_HOME": str(tmp_path / "bentoml")}
    built = run(["bentoml", "build", "-f", "bentofile.random.yaml"], FAMILY, environment)
    assert built.returncode != 0
    assert "no sound version of 'random'" in built.stderr
    assert "Traceback" not in built.stderr
