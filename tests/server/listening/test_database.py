"""Both databases: their tables, their migrations, their failures, and what a commit promises."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from server.listening.database import Database, alembic_config, parse_url
from server.listening.errors import DatabaseUnavailable
from server.listening.records import Record, TestRecord


def engine_of(database: Database):
    with database.read() as session:
        return session.get_bind()


def test_migrated_tables_are_those_of_the_records(database: Database):
    with engine_of(database).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = [
            row for row in compare_metadata(context, Record.metadata) if "listening_version" not in str(row)
        ]
        assert differences == []


def test_every_migration_goes_both_ways(database: Database):
    engine = engine_of(database)
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    assert set(inspect(engine).get_table_names()) == {"listening_version"}
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "head")
    assert set(Record.metadata.tables) <= set(inspect(engine).get_table_names())


def test_several_processes_may_open_an_empty_database_at_once(database_url: str, tmp_path: Path):
    databases = [Database.at(database_url, tmp_path) for _ in range(4)]
    failures = []

    def look(database: Database) -> None:
        try:
            with database.read() as session:
                session.query(TestRecord).count()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=look, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.close()
    assert failures == []


def test_a_migrated_database_keeps_what_it_has(database_url: str, tmp_path: Path, hall):
    made = hall.make()
    again = Database.at(database_url, tmp_path)
    with again.read() as session:
        assert session.get_one(TestRecord, made.id).title == made.title
    again.close()


def test_sqlite_waits_for_the_disk(sqlite: Database):
    with sqlite.write() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA synchronous")) == 2  # FULL
        assert session.scalar(text("PRAGMA foreign_keys")) == 1


@pytest.mark.postgres
def test_postgres_waits_for_the_disk(postgres_url: str, tmp_path: Path):
    database = Database.at(postgres_url, tmp_path)
    with database.read() as session:
        assert session.scalar(text("SHOW synchronous_commit")) == "on"
    database.close()


@pytest.mark.postgres
def test_a_shared_database_keeps_its_other_tables(postgres_url: str, tmp_path: Path):
    engine = create_engine(parse_url(postgres_url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num varchar(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('theirs')"))
    database = Database.at(postgres_url, tmp_path)
    with database.read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "theirs"
    database.close()
    engine.dispose()


def test_a_write_that_fails_leaves_nothing(database: Database):
    def write() -> None:
        with database.write() as session:
            session.add(
                TestRecord(id="x", title="", kind="mos", definition={}, seed=0, status="open", created_at=0)
            )
            session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        write()
    with database.read() as session:
        assert session.query(TestRecord).count() == 0


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("nonsense", "no URL"),
        ("mysql://u:secret@h/d", "mysql"),
        ("sqlite://", "only in memory"),
        ("postgresql://u:secret@h:port/d", "no URL"),
    ],
)
def test_a_url_that_names_no_database_of_ours_is_refused_without_its_password(url: str, found: str):
    with pytest.raises(ValueError, match=found) as refusal:
        parse_url(url)
    assert "secret" not in str(refusal.value)


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path):
    database = Database.at("postgresql://anna:secret@127.0.0.1:1/voices", tmp_path)
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/voices: found .*; expected") as failure:
        database.read().__enter__()
    assert "secret" not in str(failure.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path):
    (tmp_path / "listening.sqlite").write_text("not a database at all, but a longer text than its header is")
    database = Database.at(None, tmp_path)
    with pytest.raises(DatabaseUnavailable, match=r"listening\.sqlite"):
        database.read().__enter__()
    database.close()
