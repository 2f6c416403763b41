"""Panels, rows and dashboards as Grafana's JSON; the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDE = 24
HEIGHT = 8

Kind = Literal["timeseries", "stat", "table", "bargauge"]


@dataclass(frozen=True)
class Query:
    """A query and the words of its legend."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture. ``thresholds`` are (from, colour) beside green from the bottom."""

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = 12
    thresholds: Sequence[tuple[float, str]] = ()
    note: str = ""


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Board:
    """A dashboard; ``uid`` is part of its address and of its file's name."""

    uid: str
    title: str
    rows: Sequence[Row]
    links: Sequence[str] = field(default=("zhida",))


def document(board: Board) -> dict[str, Any]:
    """The dashboard as Grafana (10 and later) imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in board.rows:
        panels.append(_heading(len(panels) + 1, row.title, y))
        y += 1
        x = 0
        for panel in row.panels:
            if x + panel.width > WIDE:
                x, y = 0, y + HEIGHT
            place = {"h": HEIGHT, "w": panel.width, "x": x, "y": y}
            panels.append(_panel(len(panels) + 1, panel, place))
            x += panel.width
        y += HEIGHT
    return {
        "uid": f"zhida-{board.uid}",
        "title": f"直达 {board.title}",
        "tags": ["zhida"],
        "schemaVersion": 39,
        "timezone": "Asia/Shanghai",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [
            {"type": "dashboards", "tags": list(board.links), "title": "直达", "asDropdown": False}
        ],
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus", "label": "数据源"}
            ]
        },
        "panels": panels,
    }


def _heading(number: int, title: str, y: int) -> dict[str, Any]:
    place = {"h": 1, "w": WIDE, "x": 0, "y": y}
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": place,
        "panels": [],
    }


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    steps = [{"color": "green", "value": None}] + [
        {"color": colour, "value": value} for value, colour in panel.thresholds
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.note,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": _OPTIONS[panel.kind],
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "instant": panel.kind != "timeseries",
                "range": panel.kind == "timeseries",
            }
            for place, query in enumerate(panel.queries)
        ],
    }


_LAST = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
_OPTIONS: dict[Kind, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {**_LAST, "colorMode": "background", "graphMode": "area"},
    "bargauge": {**_LAST, "displayMode": "basic", "orientation": "horizontal"},
    "table": {"showHeader": True},
}
