"""The tables. A change here needs a new file in `migrations/versions` (a test compares them).

Columns of type `JsonText` hold strict JSON in ASCII (see `records.to_json`), as text, because
PostgreSQL's own JSON types refuse characters that a model may write.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

from sqlalchemy import BigInteger, DateTime, Dialect, Double, ForeignKey, Index, MetaData, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class AnyText(TypeDecorator[str]):
    """Text in which every Python string round-trips, on every database.

    NUL and lone surrogates (odd file names, broken model output) cannot be stored as they are: such
    a string, and one that begins with a double quote, is stored as a JSON string.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or not (
            value.startswith('"')
            or "\0" in value
            or any("\ud800" <= character <= "\udfff" for character in value)
        ):
            return value
        return json.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or not value.startswith('"'):
            return value
        return str(json.loads(value))


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, always in UTC (SQLite itself keeps no time zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


JsonText = Annotated[str, mapped_column(Text)]
Time = Annotated[datetime, mapped_column(UtcDateTime)]


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: AnyText, float: Double}  # noqa: RUF012 (SQLAlchemy's own declaration)


class RunRow(Base):
    """One call of a command: its input and its outcome."""

    __tablename__ = "runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    model: Mapped[str]
    model_revision: Mapped[str]
    status: Mapped[str]
    settings: Mapped[JsonText]
    inputs: Mapped[JsonText]
    result: Mapped[JsonText | None]
    error: Mapped[str]
    started: Mapped[Time]
    finished: Mapped[Time | None]


class ProgressRow(Base):
    """How far a run is: the latest word, which is written over and over while it goes on."""

    __tablename__ = "progress"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True, autoincrement=False)
    value: Mapped[JsonText]
    updated: Mapped[Time]


class CacheRow(Base):
    """A value that its key determines, such as a judge's verdict."""

    __tablename__ = "cache"

    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    value: Mapped[JsonText]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    created: Mapped[Time]


class TrialRow(Base):
    """A trial, in the order of arrival. `reward` repeats what `score` says, for queries."""

    __tablename__ = "trials"
    __table_args__ = (Index("ix_trials_run_id_id", "run_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    task_id: Mapped[str] = mapped_column(index=True)
    status: Mapped[str]
    reason: Mapped[str]
    reward: Mapped[float | None]
    seed: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float]
    edit: Mapped[JsonText]
    score: Mapped[JsonText | None]
    losses: Mapped[JsonText]
    created: Mapped[Time]


class VersionRow(Base):
    """A number that was given out. AUTOINCREMENT: never again, even after the row is gone."""

    __tablename__ = "versions"
    __table_args__ = ({"sqlite_autoincrement": True},)

    version: Mapped[int] = mapped_column(primary_key=True)
    reserved: Mapped[Time]


class DocumentRow(Base):
    """A document as a version learned it. The key is a hash of the value."""

    __tablename__ = "documents"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[JsonText]


class AdapterRow(Base):
    """An adapter and where it came from. Deleting one changes its status; the row stays.

    documents: keys of `documents`; in rows of before there was that table, the values themselves.
    """

    __tablename__ = "adapters"

    version: Mapped[int] = mapped_column(
        ForeignKey("versions.version"), primary_key=True, autoincrement=False
    )
    model: Mapped[str]
    model_revision: Mapped[str] = mapped_column(index=True)
    parent: Mapped[int | None] = mapped_column(ForeignKey("adapters.version"))
    status: Mapped[str]
    path: Mapped[str]
    created: Mapped[Time]
    reason: Mapped[str]
    settings: Mapped[JsonText]
    documents: Mapped[JsonText]
    scores: Mapped[JsonText]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))


class CurrentRow(Base):
    """Which adapter a base model answers with now. No row: the base model alone."""

    __tablename__ = "current_adapters"

    model_revision: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(ForeignKey("adapters.version"))
