"""The template environment: filters, labels, and addresses of static files with their hash."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from services.contracts.actors import ROLE_LABELS, Role
from services.portal import words, writing
from services.portal.menu import menu_for
from services.portal.settings import PortalSettings

STATIC = Path(__file__).with_name("static")


@cache
def static(name: str) -> str:
    """``/static/desk.css?v=1f2e3d4c``: a changed file has a new address, so caching is safe."""
    digest = sha256((STATIC / name).read_bytes()).hexdigest()[:8]
    return f"/static/{name}?v={digest}"


def form_key() -> str:
    """A fresh idempotency key for a form: sent twice, the form is carried out once."""
    return str(uuid4())


def environment(settings: PortalSettings) -> Environment:
    """Jinja2 with autoescape, where an undefined name is an error and not an empty place."""
    env = Environment(
        loader=PackageLoader("services.portal"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(writing.FILTERS)
    env.filters.update(word=words.word, tone=words.tone)
    env.globals.update(
        static=static,
        form_key=form_key,
        deadline_words=writing.deadline,
        percent=writing.percent,
        menu_for=menu_for,
        role_words=ROLE_LABELS,
        Role=Role,
        bureau=settings.bureau,
        hotline=settings.hotline,
    )
    return env
