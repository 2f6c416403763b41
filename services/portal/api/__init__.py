"""The REST API: the same commands and queries as the desk, for programs.

Nothing here is written per command. ``operations`` reads one table out of the contracts;
``routes`` serves it; ``openapi`` describes it. A new command in the contracts is a new address.
"""

from services.portal.api.routes import create_api

__all__ = ["create_api"]
