"""Divisions of Honghu: the shipped file, and finding places by what people write."""

from pathlib import Path

import pytest

import services.registry
from services.registry.domain.divisions import Gazetteer, Kind, kind_of, read_csv, short_name

DATA = Path(services.registry.__file__).parent / "data" / "divisions" / "421083.csv"


@pytest.fixture(scope="module")
def honghu() -> Gazetteer:
    """The county as shipped."""
    with DATA.open(encoding="utf-8") as file:
        return Gazetteer(read_csv(file))


def test_holds_all_of_honghu(honghu: Gazetteer) -> None:
    """20 towns; 233 villages, 59 communities and 8 fisheries: every beneficiary has a place."""
    kinds = [division.kind for division in honghu.villages()]
    assert len(honghu.towns()) == 20
    assert (kinds.count(Kind.VILLAGE), kinds.count(Kind.COMMUNITY)) == (233, 59)
    assert kinds.count(Kind.VILLAGE_LIKE) == 8


def test_every_place_has_its_parent(honghu: Gazetteer) -> None:
    """The tree has no holes: province, prefecture, county, town, village."""
    parents = {12: 9, 9: 6, 6: 4, 4: 2}
    for code in honghu.divisions:
        if len(code) > 2:
            assert code[: parents[len(code)]] in honghu.divisions


@pytest.mark.parametrize(
    "written", ["沈庙村村民委员会", "沈庙村委会", "沈庙村", "沈庙", "421083108204"]
)
def test_finds_a_village_however_written(honghu: Gazetteer, written: str) -> None:
    """Rosters come from many hands."""
    assert honghu.village("421083108", written) == "421083108204"


@pytest.mark.parametrize("written", ["戴家场镇", "戴家场", "戴家场镇人民政府", "421083108"])
def test_finds_a_town_however_written(honghu: Gazetteer, written: str) -> None:
    """As above, for towns."""
    assert honghu.town(written) == "421083108"


def test_a_form_that_means_two_places_means_none(honghu: Gazetteer) -> None:
    """瞿家湾 is a village and a community: guessing would put people in the wrong place."""
    assert honghu.village("421083109", "瞿家湾") is None
    assert honghu.village("421083109", "瞿家湾村") == "421083109200"
    assert honghu.village("421083109", "瞿家湾社区") == "421083109001"


def test_a_village_is_sought_in_its_town_only(honghu: Gazetteer) -> None:
    """沈庙 lies in 戴家场, not in 新堤."""
    assert honghu.village("421083001", "沈庙村") is None


def test_every_full_and_short_name_leads_home(honghu: Gazetteer) -> None:
    """No two places of a town share a name, so nobody is refused for writing the full one."""
    for village in honghu.villages():
        town = village.code[:9]
        assert honghu.village(town, village.name) == village.code
        assert honghu.village(town, village.short_name) == village.code


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("戴家场村村民委员会", "戴家场村"),
        ("柏枝社区居委会", "柏枝社区"),
        ("柏枝社区居民委员会", "柏枝社区"),
        ("柏枝村委会", "柏枝村"),
        ("村民委员会", "村民委员会"),
        ("里湖渔场生活区", "里湖渔场生活区"),
    ],
)
def test_short_names(name: str, short: str) -> None:
    """The committee's name is not the place's name."""
    assert short_name(name) == short


@pytest.mark.parametrize("code", ["", "4", "42108", "4210831", "4210831082041"])
def test_what_is_no_code_has_no_kind(code: str) -> None:
    """Code lengths are 2, 4, 6, 9 and 12."""
    with pytest.raises(ValueError, match="not a division code"):
        kind_of(code, "某地")
