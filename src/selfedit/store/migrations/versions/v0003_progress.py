"""A run says how far it is while it goes on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "progress",
        sa.Column("run_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_progress"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_progress_run_id_runs"),
    )
