"""Where people live and which officer looks after them there."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from services.registry.domain.divisions import Gazetteer
from services.registry.domain.roster.columns import OFFICER, TOWN, VILLAGE
from services.registry.domain.roster.problems import Findings


class Places:
    """Reads town and village; remembers how a place is written, for thousands are written alike."""

    def __init__(self, gazetteer: Gazetteer, found: Findings) -> None:
        self._gazetteer = gazetteer
        self._found = found
        self._read: dict[tuple[str, str], tuple[str | None, str | None]] = {}

    def village(self, row: int, town: str, village: str) -> str | None:
        """Division code of the village, as named by its town and itself."""
        written = (town, village)
        try:
            town_code, code = self._read[written]
        except KeyError:
            gazetteer = self._gazetteer
            town_code = gazetteer.town(town) if town else None
            code = gazetteer.village(town_code, village) if town_code and village else None
            self._read[written] = (town_code, code)
        if code is None:
            self._refuse(row, written, town_code)
        return code

    def _refuse(self, row: int, written: tuple[str, str], town: str | None) -> None:
        refuse = self._found.refuse
        if not written[0]:
            refuse(row, TOWN, "", "镇为空", "请填写镇（街道）名称")
        elif town is None:
            refuse(
                row,
                TOWN,
                written[0],
                "区划中没有这个镇",
                "请用全称，如“戴家场镇”，或填 9 位区划代码",
            )
        elif not written[1]:
            refuse(row, VILLAGE, "", "村为空", "请填写村（社区）名称")
        else:
            name = self._gazetteer.divisions[town].short_name
            refuse(
                row,
                VILLAGE,
                written[1],
                f"{name}没有这个村（社区），或有重名",
                "请用全称，如“沈庙村”“戴市社区”，或填 12 位区划代码",
            )


class Responsible:
    """Reads the officer; ``officers`` gives each officer's number the divisions in their care."""

    def __init__(
        self,
        gazetteer: Gazetteer,
        officers: Mapping[str, Collection[str]],
        found: Findings,
    ) -> None:
        self._gazetteer = gazetteer
        self._officers = officers
        self._found = found
        self._looked_after = {scope for scopes in officers.values() for scope in scopes}
        self._staffed: dict[str, bool] = {}

    def officer(self, row: int, text: str, division: str | None) -> str:
        """The officer's number, when somebody looks after the village and it is they."""
        if division is None:
            return text
        refuse = self._found.refuse
        if not self._has_officer(division):
            name = self._gazetteer.divisions[division].short_name
            refuse(
                row, OFFICER, text, f"{name}还没有责任人", "请先任命该村（社区）的民政专干，再导入"
            )
        elif not text:
            refuse(row, OFFICER, "", "责任人工号为空", "请填写该村（社区）民政专干的工号")
        else:
            scopes = self._officers.get(text)
            if scopes is None:
                refuse(row, OFFICER, text, "没有这个工号，或已离岗", "请核对工号，或先任命")
            elif not any(division.startswith(scope) for scope in scopes):
                name = self._gazetteer.divisions[division].short_name
                refuse(row, OFFICER, text, f"该工号不负责{name}", "请填写负责该村（社区）的工号")
        return text

    def _has_officer(self, division: str) -> bool:
        known = self._staffed.get(division)
        if known is None:
            known = any(division[:n] in self._looked_after for n in (12, 9, 6))
            self._staffed[division] = known
        return known
