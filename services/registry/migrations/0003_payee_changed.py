"""When a household's payee was last changed: nobody is paid in his place for a day."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.add_column(
        "household", sa.Column("payee_changed_at", sa.DateTime(timezone=True), nullable=True)
    )
