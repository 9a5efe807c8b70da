"""Databases of both kinds, a clock that tests turn, and a test whose audio is there."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from server.listening.catalogue import Catalogue, StoredClip, System, Test
from server.listening.database import Database
from server.listening.definition import TestDefinition
from server.listening.voting import Progress, Vote, Voting

CLIP_S = 2.0


def _postgres_binaries() -> Path | None:
    """Debian keeps them away from the path."""
    folders = [Path(found).parent for found in [shutil.which("initdb")] if found]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL of this session's own, without a database's name."""
    if (binaries := _postgres_binaries()) is None:
        pytest.skip("needs a PostgreSQL server: sudo apt-get install postgresql")
    # It refuses to run as root.
    user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
    if user:
        with suppress(KeyError):
            pwd.getpwnam("postgres")
            user["extra_groups"] = []
        if "extra_groups" not in user:
            pytest.skip("needs the user postgres, because PostgreSQL doesn't run as root")
    folder = Path(tempfile.mkdtemp(prefix="voicecore-postgres-"))
    if user:
        shutil.chown(folder, "postgres", "postgres")
    port = _free_port()
    data = folder / "data"
    initialise = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "voicecore",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-sync",
    ]
    subprocess.run(initialise, check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)
    command = [binaries / "postgres", "-D", data, "-p", str(port), "-k", folder, "-h", "127.0.0.1", "-F"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **user)
    try:
        url = f"postgresql+pg8000://voicecore@127.0.0.1:{port}"
        _wait_for(f"{url}/postgres", server)
        yield url
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder)


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    engine = create_engine(url)
    deadline = time.monotonic() + 60
    while True:
        try:
            engine.connect().close()
            break
        except SQLAlchemyError:
            assert server.poll() is None, "PostgreSQL did not start"
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.1)
    engine.dispose()


@pytest.fixture
def postgres_url(postgres_server: str, request: pytest.FixtureRequest) -> str:
    """An empty database."""
    name = f"t{abs(hash(request.node.nodeid)):x}"
    engine = create_engine(f"{postgres_server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{postgres_server}/{name}".replace("+pg8000", "")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'listening.sqlite'}"


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    database = Database.at(database_url, tmp_path)
    yield database
    database.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """Where the database makes no difference."""
    database = Database.at(None, tmp_path)
    yield database
    database.close()


@dataclass
class Clock:
    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Hall:
    """The whole back end on one database, and people who vote in it."""

    database: Database
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.catalogue = Catalogue(self.database, self.clock)
        self.voting = Voting(self.database, self.clock)

    def make(self, **fields: Any) -> Test:
        """A test of two systems and three texts, unless told otherwise; its audio is not there."""
        defaults = {"title": "A and B", "kind": "preference", "systems": ["anna", "ben"]}
        definition = TestDefinition(**defaults | {"texts": ["One.", "Two.", "Three."]} | fields)
        systems = [
            System(row.shown_name, f"sha256:{row.submission}", f"sha256:voice {row.voice}")
            for row in definition.systems
        ]
        self.clock.now += 1
        return self.catalogue.create(definition, systems)

    def open(self, **fields: Any) -> Test:
        """The same with its audio: every clip takes two seconds."""
        test = self.make(**fields)
        assert self.catalogue.lease("here") == test.id
        for clip in self.catalogue.wanted_clips(test.id):
            self.catalogue.save_clip(clip.id, StoredClip(f"sha256:{clip.id:064x}", CLIP_S, -23.0))
        assert self.catalogue.open(test.id, "here")
        return self.catalogue.get(test.id)

    def heard(self, progress: Progress) -> dict[str, float]:
        assert progress.trial is not None
        return {side.side: side.must_hear_s for side in progress.trial.sides}

    def listen_and_vote(self, progress: Progress, answer: str, thinks_s: float = 1.0) -> Vote:
        """Hears as much as is required, thinks, votes."""
        assert progress.trial is not None
        heard = self.heard(progress)
        self.clock.now += sum(heard.values()) + thinks_s
        return self.voting.vote(progress.rater_id, progress.trial.position, answer, heard)

    def vote_on_all(self, test: Test, choose: Callable[[Progress], str], thinks_s: float = 1.0) -> str:
        """A rater who comes, answers everything and goes; its id."""
        progress = self.voting.join(test.id)
        while progress.trial is not None:
            self.listen_and_vote(progress, choose(progress), thinks_s)
            progress = self.voting.progress(progress.rater_id)
        return progress.rater_id


@pytest.fixture
def hall(database: Database) -> Hall:
    return Hall(database)


@pytest.fixture
def sqlite_hall(sqlite: Database) -> Hall:
    return Hall(sqlite)
