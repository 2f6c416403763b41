"""Words of messages that never became a text are found too when their time is over."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_index(
        "ix_message_words_kept",
        "message",
        ["finished_at"],
        unique=False,
        postgresql_where=sa.text("text IS NULL AND personalisation <> '{}'::jsonb"),
    )
