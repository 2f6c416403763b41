"""Names of divisions, kept for a while: they change a few times a year."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import groupby
from threading import Lock

import msgspec

from services.contracts.commands.registry import DivisionView
from services.contracts.divisions import county, town, within

KEPT_S = 600.0

Fetch = Callable[[str], list[DivisionView]]
"""Asks registry for all places below a county."""


class Town(msgspec.Struct, frozen=True):
    """A town with its villages and communities."""

    place: DivisionView
    villages: tuple[DivisionView, ...]


class Gazetteer:
    """The places of the counties asked about. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counties: dict[str, tuple[float, dict[str, DivisionView]]] = {}

    def name(self, code: str, fetch: Fetch) -> str:
        """``新滩镇宦子口村`` for a village, ``新滩镇`` for a town; an unknown code as it is."""
        if len(code) < 6:
            return code or "全部辖区"
        places = self._places(county(code), fetch)
        parts = [places.get(town(code)) if len(code) > 9 else None, places.get(code)]
        return "".join(place.short_name for place in parts if place) or (
            "全市" if len(code) == 6 else code
        )

    def towns(self, scopes: tuple[str, ...], fetch: Fetch) -> tuple[Town, ...]:
        """Towns and villages that lie within ``scopes``, by code, for choosing a place."""
        found: list[Town] = []
        for code in sorted({county(scope) for scope in scopes if len(scope) >= 6}):
            places = self._places(code, fetch)
            villages = [
                place
                for key, place in sorted(places.items())
                if len(key) == 12 and any(within(key, scope) for scope in scopes)
            ]
            found += [
                Town(places[key], tuple(inside))
                for key, inside in groupby(villages, key=lambda place: town(place.code))
                if key in places
            ]
        return tuple(found)

    def _places(self, code: str, fetch: Fetch) -> dict[str, DivisionView]:
        """All places of a county by code, asked for anew when what is kept is old."""
        with self._lock:
            kept = self._counties.get(code)
        if kept and time.monotonic() - kept[0] < KEPT_S:
            return kept[1]
        places = {place.code: place for place in fetch(code)}
        with self._lock:
            self._counties[code] = (time.monotonic(), places)
        return places
