"""Full-text search (SQLite FTS5) over one table of documents, indexed behind the writes.

Owns: the index and how far it has come. Must not know: what the documents are; their table is named by
whoever composes the store, and has the columns `n` (ascending), and `body_text`.
"""

from quire.errors import UserError
from quire.limits import INDEX_STEP
from quire.store.database import Database


class SearchIndex:
    """The index over `table`; `step` moves it forward in small transactions, whenever there is time."""

    def __init__(self, db: Database, table: str) -> None:
        self._db = db
        self._table = table
        self._cursor: int | None = None
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._cursor = None

    def create(self) -> None:
        """Make an empty index (again, after its table was made anew)."""
        self._db.execute("DROP TABLE IF EXISTS search")
        self._db.execute("DROP TABLE IF EXISTS search_cursor")
        self._db.execute(
            f"CREATE VIRTUAL TABLE search USING fts5(body_text, content='{self._table}', content_rowid='n',"
            " columnsize=0, tokenize='unicode61 remove_diacritics 2')"
        )
        self._db.execute("CREATE TABLE search_cursor (indexed INTEGER NOT NULL) STRICT")
        self._db.execute("INSERT INTO search_cursor VALUES (0)")
        self._cursor = 0

    def exists(self) -> bool:
        """Whether `create` was ever called on this database."""
        return self._db.one("SELECT 1 FROM sqlite_schema WHERE name = 'search_cursor'") is not None

    def step(self) -> int:
        """Index up to INDEX_STEP documents in one transaction; how many there were."""
        cursor = self.indexed()
        row = self._db.one(
            f"SELECT max(n), count(*) FROM (SELECT n FROM {self._table} WHERE n > ? ORDER BY n LIMIT ?)",
            (cursor, INDEX_STEP),
        )
        if row is None or not row[1]:
            return 0
        last, count = row
        with self._db.transaction():
            self._db.execute(
                f"INSERT INTO search (rowid, body_text) SELECT n, body_text FROM {self._table}"
                " WHERE n > ? AND n <= ?",
                (cursor, last),
            )
            self._db.execute("UPDATE search_cursor SET indexed = ?", (last,))
        self._cursor = last
        return int(count)

    def catch_up(self) -> None:
        """Index everything that is written so far."""
        while self.step():
            pass

    def indexed(self) -> int:
        """The number `n` of the last document indexed."""
        if self._cursor is None:
            row = self._db.one("SELECT indexed FROM search_cursor")
            self._cursor = int(row[0]) if row else 0
        return self._cursor

    def backlog(self) -> int:
        """How many documents wait to be indexed (an upper bound)."""
        row = self._db.one(f"SELECT max(n) FROM {self._table}")
        return max(0, int((row and row[0]) or 0) - self.indexed())


def match_expression(words: str) -> str:
    """An FTS5 expression for what a person typed: every word, `"a phrase"` kept, `word*` as a prefix.

    Raises UserError when nothing is left to search for.
    """
    words = words.replace("\0", " ").encode(errors="replace").decode()
    terms: list[str] = []
    for place, part in enumerate(words.split('"')):
        if place % 2:  # inside quotation marks
            terms += [f'"{part}"'] if part.strip() else []
            continue
        for word in part.split():
            bare = word.rstrip("*")
            if any(letter.isalnum() for letter in bare):
                terms.append(f'"{bare}"' + ("*" if word != bare else ""))
    if not terms:
        raise UserError("There is nothing to search for: give at least one word.")
    return " ".join(terms)
