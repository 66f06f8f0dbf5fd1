"""The views: ``fact``, what each entry tells after redaction, and ``bi_*`` for tools such as Metabase or Datasette.

Made anew after every migration, so that they always fit the tables. docs/audit.md describes the columns.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, Text

from bridge.store.schema import Instant

fact = Table(
    "fact",
    MetaData(),  # a view: not among the tables that migrations compare
    Column("seq", BigInteger, comment="The entry; that which was erased, where another stands for it"),
    Column("at", Instant),
    Column("kind", Text),
    Column("work_package", BigInteger),
    Column("payload", Text),
)

_SQLITE = {
    "time": "strftime('%Y-%m-%dT%H:%M:%S', {0} / 1000000, 'unixepoch') || printf('.%03dZ', {0} / 1000 % 1000)",
    "decision_id": "printf('%04d-%02d-%02d-%04d', {0}.day / 10000, {0}.day / 100 % 100, {0}.day % 100, {0}.number)",
    "inner": "json_extract(payload, '$.{0}')",
}
_POSTGRESQL = {
    "time": "timestamptz 'epoch' + {0} * interval '1 microsecond'",
    "decision_id": "to_char(to_date({0}.day::text, 'YYYYMMDD'), 'YYYY-MM-DD') || '-'"
    " || lpad({0}.number::text, greatest(4, length({0}.number::text)), '0')",
    "inner": "payload::json ->> '{0}'",
}

VIEWS = {
    "fact": """
        SELECT seq, at, kind, work_package, payload FROM entry WHERE payload IS NOT NULL AND stands_for IS NULL
        UNION ALL
        SELECT stands_for, at, {inner:kind}, work_package, {inner:payload} FROM entry
        WHERE payload IS NOT NULL AND stands_for IS NOT NULL""",
    "bi_ticket": """
        SELECT t.work_package AS ticket, t.project AS project_id, p.identifier AS project, p.name AS project_name,
               t.status AS status_id, s.name AS status, y.name AS type, t.vanished, {time:t.first_seen} AS first_seen,
               {time:t.changed_at} AS changed_at
        FROM ticket t
        LEFT JOIN project_name p ON p.seq = (SELECT max(seq) FROM project_name WHERE project = t.project)
        LEFT JOIN status_name s ON s.seq = (SELECT max(seq) FROM status_name WHERE status = t.status)
        LEFT JOIN type_name y ON y.seq = (SELECT max(seq) FROM type_name WHERE type = t.type)""",
    "bi_move": """
        SELECT {decision_id:d} AS decision, d.work_package AS ticket, d.project AS project_id, p.identifier AS project,
               d.type, d.kind, d.origin_name AS from_status, d.target_name AS to_status, d.person AS person_id,
               d.person_name AS person, d.party, d.own AS by_bridge, d.verdict, d.rule, d.mode, d.reason,
               {time:d.earliest} AS moved_after, {time:d.latest} AS moved_before, {time:d.decided_at} AS decided_at,
               y.hash AS policy, d.seq AS entry
        FROM decision d
        JOIN policy y ON y.seq = d.policy
        LEFT JOIN project_name p ON p.seq = (SELECT max(seq) FROM project_name WHERE project = d.project)
        WHERE d.current""",
    "bi_revert": """
        SELECT {decision_id:d} AS decision, a.work_package AS ticket, a.project AS project_id, a.person AS person_id,
               d.person_name AS person, d.rule, a.origin AS from_status_id, d.target_name AS from_status,
               a.target AS to_status_id, s.name AS to_status, a.state, a.conflicts,
               {time:d.latest} AS moved_before, {time:a.intended_at} AS intended_at,
               {time:a.reverted_at} AS reverted_at, {time:a.explained_at} AS explained_at, a.seq AS entry
        FROM action a
        JOIN decision d ON d.seq = a.decision
        LEFT JOIN status_name s ON s.seq = (SELECT max(seq) FROM status_name WHERE status = a.target)""",
    "bi_role": """
        SELECT r.project AS project_id, p.identifier AS project, r.person AS person_id, n.name AS person, r.roles,
               {time:r.first_read} AS first_read, {time:r.last_read} AS last_read, r.current
        FROM role_spell r
        LEFT JOIN project_name p ON p.seq = (SELECT max(seq) FROM project_name WHERE project = r.project)
        LEFT JOIN person n ON n.seq = (SELECT max(seq) FROM person WHERE person = r.person)""",
    "bi_event": """
        SELECT e.kind, e.work_package AS ticket, {time:e.at} AS at, f.payload AS details, e.seq AS entry
        FROM event e LEFT JOIN fact f ON f.seq = e.seq""",
    "bi_checkpoint": """
        SELECT size AS entries, {time:at} AS at, note, token IS NOT NULL AS timestamped FROM checkpoint""",
}


class _Spelling:
    """Lets a view say ``{time:column}`` for what each database spells in its own way."""

    def __init__(self, template: str) -> None:
        self._template = template

    def __format__(self, argument: str) -> str:
        return self._template.replace("{0}", argument)


def create(connection: Connection) -> None:
    """Make every view. The caller's transaction."""
    templates = _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL
    spellings = {name: _Spelling(template) for name, template in templates.items()}
    for name, query in VIEWS.items():
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {query.format(**spellings)}")


def drop(connection: Connection) -> None:
    """Remove every view that is there, so that the tables can be changed."""
    for name in reversed(VIEWS):
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
