"""The version of Tastemaker, in one place: packaging, the CLI, artifacts and OpenAPI read it from here."""

__version__ = "0.1.0"
