"""The portal: the officers' desk as web pages, and the same work as a REST API.

Owns: no database. It keeps nothing but a signed session cookie in the browser.
Asks: registry, cases, funding and notify, each for what it owns, over RPC
(``services.contracts.commands``), carrying the signed-in person's actor token; the owner of the
answer verifies the token and checks role and division itself.
Publishes and hears: nothing.

Rooms: ``rooms/`` (a module a room of the desk), ``api/`` (the REST API, one table made from the
contracts), ``desk.py`` (what a handler holds: the session, the services, the form), ``forms.py``
(what was typed, read into what was meant), ``words.py`` (Chinese labels), ``writing.py`` (dates,
money and masks as people write them), ``templates/`` and ``static/``.
"""
