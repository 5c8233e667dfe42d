"""Distributions with model plugins, written into a folder that Python then finds them in."""

from __future__ import annotations

from importlib.metadata import EntryPoint, distributions
from pathlib import Path

MODEL = '''
import numpy as np
from tastemaker.plugins import Config, Recommender, select

class Settings(Config):
    """None."""

class Model(Recommender):
    """s = 0."""
    name = "{name}"
    reference = "none"
    config_type = Settings
    {extra}
    def fit(self, data):
        {fit}
        return self
    def recommend(self, batch, k):
        {recommend}
        return select(np.zeros((len(batch), batch.history.n_items), np.float32), batch, k)
    def save(self, folder):
        {save}
        np.save(folder / "none.npy", np.zeros(1))
    @classmethod
    def load(cls, folder, config):
        return cls(config)
'''


def model(
    name: str, extra: str = "", *, fit: str = "pass", recommend: str = "pass", save: str = "pass"
) -> str:
    """The source of a module whose class `Model` is a model of that name."""
    return MODEL.format(name=name, extra=extra, fit=fit, recommend=recommend, save=save)


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, distribution: str, entries: dict[str, str], **modules: str) -> None:
        """entries: name -> module:attribute; modules: name -> source."""
        info = self.folder / f"{distribution}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[tastemaker.models]", *lines]))
        for name, source in modules.items():
            (self.folder / f"{name}.py").write_text(source)

    @property
    def entries(self) -> list[EntryPoint]:
        return [entry for each in distributions(path=[str(self.folder)]) for entry in each.entry_points]
