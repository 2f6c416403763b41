"""The migrations of each service and its models say the same."""

import importlib

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from deploy.local import Servers
from services.chassis import migrate
from services.chassis.database import engine
from services.chassis.discovery import NAMES
from services.chassis.models import ChassisBase


@pytest.mark.parametrize("service", NAMES)
def test_migrations_make_the_tables_of_the_models(servers: Servers, service: str) -> None:
    """A database brought to the newest revision differs from the models in nothing."""
    models = importlib.import_module(f"services.{service}.models")
    with servers.cluster.scratch_database(service) as url:
        migrate.upgrade(service, url)
        made = engine(url)
        with made.connect() as connection:
            context = MigrationContext.configure(connection)
            assert compare_metadata(context, [ChassisBase.metadata, models.Base.metadata]) == []
        made.dispose()
