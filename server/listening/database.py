"""Where listening tests are kept: SQLite in the data folder, or PostgreSQL.

A transaction that was committed survives the death of the process and of the machine: SQLite waits for the
disk at every commit (WAL with synchronous=FULL), PostgreSQL does by default.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.orm import Session

from server.listening.errors import DatabaseUnavailable

MIGRATIONS = Path(__file__).with_name("migrations")
BUSY_TIMEOUT_S = 30.0
# Any number that nobody else locks: the processes of a server migrate one after the other.
MIGRATION_LOCK = 0x766F696365
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+pg8000", "postgres": "postgresql+pg8000"}


class Database:
    """Opened and migrated when it's first used: a server that only speaks needs none."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine: Engine | None = None
        self._opening = threading.Lock()

    @classmethod
    def at(cls, url: str | None, folder: Path) -> Database:
        """`url` None: a file in `folder`. Raises ValueError."""
        if url is None:
            return cls(URL.create("sqlite", database=str(folder / "listening.sqlite")))
        return cls(parse_url(url))

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Raises DatabaseUnavailable."""
        with self._telling_failures(), Session(self._opened()) as session, session.begin():
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Committed, and on the disk, when it ends without an error. Raises DatabaseUnavailable."""
        with self._telling_failures():
            # One that begins by reading can't always go on to write: another may have written since.
            engine = self._opened().execution_options(sqlite_begin="IMMEDIATE")
            with Session(engine, expire_on_commit=False) as session, session.begin():
                yield session

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()

    def _opened(self) -> Engine:
        with self._opening:
            if self._engine is None:
                engine = (
                    _sqlite(self._url) if self._url.get_backend_name() == "sqlite" else _postgres(self._url)
                )
                migrate(engine)
                self._engine = engine
        return self._engine

    @contextmanager
    def _telling_failures(self) -> Iterator[None]:
        try:
            yield
        except (IntegrityError, DataError, ProgrammingError):
            raise  # a mistake of ours, and not the database's
        except DBAPIError as error:
            place = self._url.render_as_string(hide_password=True)
            raise DatabaseUnavailable(
                f"{place}: found {_first_line(error)}; expected a database to read and write. Start or mend "
                "it, or name another one with VOICECORE_DATABASE_URL."
            ) from error


def parse_url(url: str) -> URL:
    """With the driver that we bring. Raises ValueError without the URL in it: that may hold a password."""
    expected = "expected postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:////PATH"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(f"found no URL of a database; {expected}") from None
    if (driver := DRIVERS.get(parsed.drivername)) is None:
        raise ValueError(f"found a URL that begins with {parsed.drivername}; {expected}")
    if driver == "sqlite" and not parsed.database:
        raise ValueError(f"found a URL of a database that is only in memory; {expected}")
    return parsed.set(drivername=driver)


def migrate(engine: Engine) -> None:
    """Bring a database of any earlier version, or an empty one, to the newest tables."""
    with engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _postgres(url: URL) -> Engine:
    return create_engine(url, pool_pre_ping=True)  # a pooled connection may not have survived a restart


def _sqlite(url: URL) -> Engine:
    Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # else Python's module begins transactions when it sees fit
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    kind = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")


def _first_line(error: DBAPIError) -> str:
    return (str(error.orig).splitlines() or ["no answer"])[0][:200]
