"""Which process has which trial of a search, in the database that holds the study.

A claim is a row: a trial's number, the mark of its process and a count that the process raises
every `BEAT` seconds. A process that sees the same count for `SILENT` seconds of its own clock takes
the owner for dead and the trial for free; no clocks are compared. A row changes hands in one UPDATE
under the condition that it is still as it was seen, so that no two processes get it. A process that
was only suspended finds its trial gone, and drops it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from trainer.core.errors import ConfigError
from trainer.job.tune.study import connected, database_errors

if TYPE_CHECKING:
    from sqlalchemy import Delete, Update

TABLE = "trainer_claims"
TURN = -1  # the row of the process that draws a trial
BEAT = 5.0  # seconds between signs of life
SILENT = 30.0  # seconds without one after which a process counts as dead
WAIT = 0.1  # seconds between looks at the table
MEMORY = (None, "", ":memory:")  # the names of databases of SQLite that end with the process

Sign = tuple[str, int]  # the owner of a claim and its count


class Claims:
    """The claims of all processes in the database at `url`; this one's mark is `mark`.

    A thread gives the signs of life, until `close`. Raises ConfigError where the database fails.
    """

    def __init__(self, url: str, mark: str) -> None:
        from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, pool

        self.url, self.mark = url, mark
        self.rows = Table(
            TABLE,
            MetaData(),
            Column("trial", Integer, primary_key=True, autoincrement=False),
            Column("owner", String(64), nullable=False),
            Column("count", Integer, nullable=False),
        )
        with database_errors(url):  # no pool: forks must not inherit a connection
            self.engine = create_engine(url, poolclass=pool.NullPool, connect_args=connected(url))
        if self.engine.dialect.name == "sqlite" and self.engine.url.database in MEMORY:
            raise ConfigError(
                f"job.storage={url}: a database in memory is no one else's; name a file"
            )
        self.make_table()
        self.seen: dict[int, tuple[Sign, float]] = {}  # others' signs, with the time since when
        self.ended = threading.Event()
        threading.Thread(target=self.live, daemon=True).start()

    def make_table(self) -> None:
        """Make the table unless it is there; another process may do so at the same moment."""
        from sqlalchemy import inspect
        from sqlalchemy.exc import SQLAlchemyError

        with database_errors(self.url):
            try:
                self.rows.metadata.create_all(self.engine)
            except SQLAlchemyError:
                if not inspect(self.engine).has_table(TABLE):
                    raise

    def close(self) -> None:
        """Give up all claims: what has not ended is free at once."""
        self.ended.set()
        self.write(self.rows.delete().where(self.rows.c.owner == self.mark))

    def live(self) -> None:
        """Give a sign of life every few seconds; one that fails is made up for by the next."""
        rows = self.rows
        beat = rows.update().where(rows.c.owner == self.mark).values(count=rows.c.count + 1)
        while not self.ended.wait(BEAT):
            with contextlib.suppress(ConfigError):
                self.write(beat)

    @contextlib.contextmanager
    def turn(self, check: Callable[[], object]) -> Iterator[None]:
        """Wait until no other process draws a trial; `check` may raise meanwhile."""
        while not self.take(TURN):
            check()
            time.sleep(WAIT)
        try:
            yield
        finally:
            self.release(TURN)

    def take(self, number: int) -> bool:
        """Whether a trial is this process's now: it was free, its own, or of a dead process."""
        silence = self.silences().get(number)
        if silence is None:
            return self.claim(number) or self.has(number)
        return silence > SILENT and self.take_over(number, *self.seen[number][0])

    def claim(self, number: int) -> bool:
        """Make the row of a trial; False where there is one."""
        from sqlalchemy.exc import IntegrityError

        insert = self.rows.insert().values(trial=number, owner=self.mark, count=0)
        with database_errors(self.url), contextlib.suppress(IntegrityError):
            with self.engine.begin() as connection:
                connection.execute(insert)
            return True
        return False

    def take_over(self, number: int, owner: str, count: int) -> bool:
        """Take a row that is still as it was seen; False where it has changed."""
        at = self.rows.c
        seen = (at.trial == number) & (at.owner == owner) & (at.count == count)
        return self.write(self.rows.update().where(seen).values(owner=self.mark, count=0)) == 1

    def has(self, number: int) -> bool:
        """Whether a trial is this process's."""
        return self.read().get(number, ("", 0))[0] == self.mark

    def release(self, number: int) -> None:
        """Give up a trial; nothing happens where it is another's."""
        at = self.rows.c
        self.write(self.rows.delete().where((at.trial == number) & (at.owner == self.mark)))

    def outlived(self, check: Callable[[], object]) -> bool:
        """Whether a trial of another process is free now, by its end or its owner's death.

        Waits until that is clear: until all others have given a sign of life, or one has not.
        """
        before = self.others()
        while before:
            check()
            time.sleep(WAIT)
            silences = self.silences()
            after = self.others()
            if before.keys() - after.keys() or any(silences.get(n, 0.0) > SILENT for n in before):
                return True
            before = {number: sign for number, sign in before.items() if after[number] == sign}
        return False

    def silences(self) -> dict[int, float]:
        """For how many seconds each claim of another process has been seen without a change."""
        signs, now = {n: s for n, s in self.read().items() if s[0] != self.mark}, time.monotonic()
        kept = {n: self.seen[n] for n, sign in signs.items() if self.seen.get(n, ("",))[0] == sign}
        self.seen = {number: (sign, now) for number, sign in signs.items()} | kept
        return {number: now - since for number, (_, since) in self.seen.items()}

    def others(self) -> dict[int, Sign]:
        """The trials of other processes, as they were last seen."""
        return {number: sign for number, (sign, _) in self.seen.items() if number != TURN}

    def read(self) -> dict[int, Sign]:
        """All claims."""
        with database_errors(self.url), self.engine.connect() as connection:
            rows = connection.execute(self.rows.select())
            return {number: (owner, count) for number, owner, count in rows}

    def write(self, change: Update | Delete) -> int:
        """Change rows. Returns their number."""
        with database_errors(self.url), self.engine.begin() as connection:
            return connection.execute(change).rowcount
