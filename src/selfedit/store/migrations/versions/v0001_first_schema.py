"""The first schema: runs, cache, trials, adapters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("model_revision", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("started", time, nullable=False),
        sa.Column("finished", time),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_table(
        "cache",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("run_id", sa.Integer),
        sa.Column("created", time, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_cache"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_cache_run_id_runs"),
    )
    op.create_table(
        "trials",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("task_id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("reward", sa.Double),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("edit", sa.Text, nullable=False),
        sa.Column("score", sa.Text),
        sa.Column("losses", sa.Text, nullable=False),
        sa.Column("created", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trials"),
        sa.UniqueConstraint("key", name="uq_trials_key"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_trials_run_id_runs"),
    )
    op.create_index("ix_trials_run_id_id", "trials", ["run_id", "id"])
    op.create_index("ix_trials_task_id", "trials", ["task_id"])
    op.create_table(
        "versions",
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("reserved", time, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_versions"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "adapters",
        sa.Column("version", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("model_revision", sa.Text, nullable=False),
        sa.Column("parent", sa.Integer),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("created", time, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("documents", sa.Text, nullable=False),
        sa.Column("scores", sa.Text, nullable=False),
        sa.Column("run_id", sa.Integer),
        sa.PrimaryKeyConstraint("version", name="pk_adapters"),
        sa.ForeignKeyConstraint(["version"], ["versions.version"], name="fk_adapters_version_versions"),
        sa.ForeignKeyConstraint(["parent"], ["adapters.version"], name="fk_adapters_parent_adapters"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_adapters_run_id_runs"),
    )
    op.create_index("ix_adapters_model_revision", "adapters", ["model_revision"])
    op.create_table(
        "current_adapters",
        sa.Column("model_revision", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("model_revision", name="pk_current_adapters"),
        sa.ForeignKeyConstraint(
            ["version"], ["adapters.version"], name="fk_current_adapters_version_adapters"
        ),
    )
