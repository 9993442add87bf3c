"""Tells whether the bytes of large objects are still there: hashes their pages at the start of the transaction.

https://www.postgresql.org/docs/current/catalog-pg-largeobject.html
"""

from migration_pipeline.adapters.alembic_project import Session
from migration_pipeline.adapters.row_hashes import MAY_READ_PAGES

PAGES = "migration_pipeline_pages_before"
COPY = f"""
CREATE TEMPORARY TABLE {PAGES} ON COMMIT DROP AS
SELECT loid, pageno, length(data) AS bytes, sha256(data) AS hash FROM pg_catalog.pg_largeobject
"""
#: Pages of objects that are still there; bytes that came after the old ones of the last page are no loss.
LOST = f"""
SELECT count(*) FROM pg_temp.{PAGES} b
JOIN pg_catalog.pg_largeobject_metadata m ON m.oid = b.loid
LEFT JOIN pg_catalog.pg_largeobject a ON a.loid = b.loid AND a.pageno = b.pageno
WHERE a.loid IS NULL OR sha256(substr(a.data, 1, b.bytes)) <> b.hash
"""


def copy(session: Session) -> bool:
    """Hash every page; return whether we may read them."""
    if not session.query(MAY_READ_PAGES)[0][0]:
        return False
    session.query(COPY)
    return True


def pages_lost(session: Session) -> int:
    """Return how many pages of before are gone or hold other bytes, those of deleted objects left out."""
    return int(session.query(LOST)[0][0])
