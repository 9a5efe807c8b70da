"""Run by Alembic, on the connection that `server.listening.database` gives it."""

from __future__ import annotations

from alembic import context

from server.listening.records import Record

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Record.metadata,
    # Ours alone: a PostgreSQL database may be shared with others who use Alembic.
    version_table="listening_version",
    # SQLite alters tables by making new ones.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
