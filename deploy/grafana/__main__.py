"""Writes every dashboard as ``deploy/grafana/<name>.json``."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.grafana.boards import BOARDS
from deploy.grafana.panels import Board, document

HERE = Path(__file__).parent


def written(board: Board) -> str:
    """The file's content."""
    return json.dumps(document(board), ensure_ascii=False, indent=2) + "\n"


if __name__ == "__main__":
    for each in BOARDS:
        (HERE / f"{each.uid}.json").write_text(written(each), encoding="utf-8")
