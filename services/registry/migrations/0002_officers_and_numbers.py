"""By index: who looks after a place, and the last household number a village has given."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_index(
        "ix_staff_scopes",
        "staff",
        ["scopes"],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("active"),
    )
    op.create_index("ix_household_number", "household", ["number"], unique=False)
