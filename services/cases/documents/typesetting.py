"""Typesetting with typst: CPU work, so only ever called in a child process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import typst

TEMPLATES = Path(__file__).parent / "templates"


def typeset(template: str, data: dict[str, Any]) -> bytes:
    """The PDF of ``templates/<template>.typ`` filled with ``data``."""
    pdf = typst.compile(
        str(TEMPLATES / f"{template}.typ"),
        root=str(TEMPLATES),
        sys_inputs={"data": msgspec.json.encode(data).decode()},
        format="pdf",
    )
    assert isinstance(pdf, bytes)
    return pdf
