"""The local stack's keys: made once, never lost, never read by others."""

from pathlib import Path

from deploy.local.keys import kept


def test_keys_are_made_once_and_private(tmp_path: Path) -> None:
    """A second start finds the same keys; only their owner can read them."""
    file = tmp_path / "keys.env"
    first = kept(file)
    assert kept(file) == first
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_key_a_newer_version_needs_is_added_and_none_is_changed(tmp_path: Path) -> None:
    """After an upgrade old data still opens, and a new pair of services gets its transit key."""
    file = tmp_path / "keys.env"
    old = kept(file)
    pairs = old["TRANSIT_KEYS"].split(";")
    lines = [f"{name}={value}" for name, value in old.items() if name != "CASES_INDEX_KEY"]
    text = "\n".join(lines).replace(old["TRANSIT_KEYS"], ";".join(pairs[1:]))
    file.write_text(text, encoding="utf-8")
    new = kept(file)
    assert len(new["CASES_INDEX_KEY"]) == len(old["CASES_INDEX_KEY"])
    assert set(pairs[1:]) < set(new["TRANSIT_KEYS"].split(";"))
    assert len(new["TRANSIT_KEYS"].split(";")) == len(pairs)
    unchanged = old.keys() - {"CASES_INDEX_KEY", "TRANSIT_KEYS"}
    assert {name: new[name] for name in unchanged} == {name: old[name] for name in unchanged}
