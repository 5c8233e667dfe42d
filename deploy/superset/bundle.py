"""Pack the dashboards in export/ for Superset's import, with the address of your database.

    python deploy/superset/bundle.py --database postgresql+psycopg2://tastemaker_bi@db.example/tastemaker

Superset's page Dashboards imports the file and asks for the password. `superset import-dashboards` does not
ask: with --with-password the file contains the password from the environment variable
TASTEMAKER_BI_PASSWORD, and only you may read it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit
from zipfile import ZIP_DEFLATED, ZipFile

EXPORT = Path(__file__).parent / "export"
DATABASE = "databases/Tastemaker.yaml"
PLACE = "sqlalchemy_uri: "
HIDDEN = "XXXXXXXXXX"
"""Superset's mark for a password that it asks for."""


def bundle(target: Path, database: str, password: str | None) -> None:
    """Write the file that Superset imports.

    Args:
        target: The file.
        database: SQLAlchemy URL of the metadata database, with a user and without a password.
        password: The user's password; None lets Superset ask for it.
    """
    written = {path.relative_to(EXPORT): path.read_text("utf-8") for path in sorted(EXPORT.rglob("*.yaml"))}
    lines = [
        f"{PLACE}{json.dumps(_url(database, password))}" if line.startswith(PLACE) else line
        for line in written[Path(DATABASE)].splitlines()
    ]
    written[Path(DATABASE)] = "\n".join(lines) + "\n"
    target.unlink(missing_ok=True)
    with (
        os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
        ZipFile(file, "w", ZIP_DEFLATED) as packed,
    ):
        for path, text in written.items():
            packed.writestr(f"tastemaker/{path.as_posix()}", text)


def _url(database: str, password: str | None) -> str:
    parts = urlsplit(database)
    if not parts.scheme.startswith("postgresql") or not parts.username or parts.password is not None:
        sys.exit(
            "error: --database must be a URL of Postgres with a user and without a password\n"
            "  fix: --database postgresql+psycopg2://tastemaker_bi@HOST/DATABASE"
        )
    hidden = HIDDEN if password is None else quote(password, safe="")
    return database.replace(f"{parts.username}@", f"{parts.username}:{hidden}@", 1)


def main() -> None:
    """Read the command line."""
    about, _, more = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", required=True, help="SQLAlchemy URL without a password")
    parser.add_argument("--output", type=Path, default=Path("tastemaker-superset.zip"), help="the file")
    parser.add_argument("--with-password", action="store_true", help="write the password into the file")
    given = parser.parse_args()
    password = os.environ.get("TASTEMAKER_BI_PASSWORD") if given.with_password else None
    if given.with_password and not password:
        sys.exit("error: TASTEMAKER_BI_PASSWORD is not set\n  fix: set it, or leave out --with-password")
    bundle(given.output, given.database, password)
    print(f"{given.output} has the dashboards; import it in Superset")


if __name__ == "__main__":
    main()
