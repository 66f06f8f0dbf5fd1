"""Every table and column of the store. ``entry`` is the record; all other facts are *projections* of it.

A projection row is written in the transaction of its entry, names that entry's ``seq``, and can be rebuilt from the
entries alone. Readers may join on ``seq`` for the whole payload. Times are instants in whole microseconds since
1970-01-01T00:00:00Z (``Instant``): the server's times, except ``entry.at``, which is the bridge's own clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect

HEAD = "0001"
"""The newest migration. Known here so that opening an up-to-date database need not import Alembic."""

APPLICATION_ID = 0x42524447
"""SQLite's ``application_id`` of a bridge database: how a foreign file is told from ours."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(at: datetime) -> int:
    """Whole microseconds since the epoch, exact (no float on the way)."""
    return (at - EPOCH) // _MICROSECOND


def instant(us: int) -> datetime:
    """The aware UTC time that ``microseconds`` came from."""
    return EPOCH + timedelta(microseconds=us)


class Instant(TypeDecorator[datetime]):
    """An aware UTC time, stored as whole microseconds since the epoch."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - its interface
        """Out: a naive time is refused by the subtraction."""
        return None if value is None else microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - its interface
        """In."""
        return None if value is None else instant(value)


class EntryKind(StrEnum):
    """What an entry tells. docs/audit.md describes each payload."""

    GENESIS = "genesis"
    KEY = "key"
    """The public key that signs the checkpoints from here on."""
    TICKET = "ticket"
    VANISHED = "vanished"
    ACTIVITY = "activity"
    WATERMARK = "watermark"
    STATUS = "status"
    PERSON = "person"
    PROJECT = "project"
    TYPE = "type"
    ROLES = "roles"
    ROLES_READ = "roles_read"
    DECISION = "decision"
    ENFORCEMENT = "enforcement"
    INTENT = "intent"
    CLAIM = "claim"
    OUTCOME = "outcome"
    CLOCK = "clock"
    """The clock was found set back; times before and after this entry cannot be compared."""
    BEAT = "beat"
    """Written before each checkpoint: the polls done and missed since the last one."""
    REDACTION = "redaction"
    RETENTION = "retention"
    CARRIED = "carried"
    LEGAL_HOLD = "legal_hold"

    START = "start"
    STOP = "stop"
    CYCLE = "cycle"
    MISSED = "missed"
    UNREADABLE = "unreadable"
    HOLD = "hold"
    BREAKER = "breaker"
    PAUSE = "pause"
    RESUME = "resume"
    POLICY = "policy"
    SETTINGS = "settings"
    EXEMPTION = "exemption"
    APPEAL = "appeal"
    REMINDER = "reminder"
    REPORT = "report"
    EXPORT = "export"
    LOGIN = "login"
    RESTORE = "restore"
    PUBLICATION = "publication"
    """A checkpoint was given to somebody else: ``size`` says which, ``to`` where."""
    ACKNOWLEDGEMENT = "acknowledgement"
    """Somebody has seen what needed a person; ``matter`` says which."""


EVENTS = frozenset(list(EntryKind)[list(EntryKind).index(EntryKind.START) :])
"""Kinds that callers record as they are; the others have a method of their own in the ledger."""

LISTED = EVENTS | {
    EntryKind.KEY,
    EntryKind.BEAT,
    EntryKind.CLOCK,
    EntryKind.ROLES_READ,
    EntryKind.RETENTION,
    EntryKind.LEGAL_HOLD,
}
"""Kinds that have a row in ``event``, by which they are found."""

metadata = MetaData()

# SQLite makes only a column of type INTEGER the rowid itself, which saves an index.
_Seq = BigInteger().with_variant(Integer, "sqlite")


def _seq() -> Column[int]:
    return Column("seq", _Seq, primary_key=True, autoincrement=False, comment="The entry this row comes from")


# --- The record -----------------------------------------------------------------------------------------------------

entry = Table(
    "entry",
    metadata,
    Column("seq", _Seq, primary_key=True, autoincrement=False, comment="1, 2, 3 … without a gap"),
    Column("at", Instant, nullable=False, comment="When it was written, by the bridge's own clock"),
    Column("kind", Text, nullable=False, comment="An EntryKind"),
    Column("work_package", BigInteger, comment="The ticket it is about, if it is about one"),
    Column("payload", Text, comment="What happened, as RFC 8785 writes JSON; null once erased"),
    Column("salt", LargeBinary, comment="16 random bytes, hashed with the payload; erased with it"),
    Column("commitment", LargeBinary, comment="SHA-256(salt ‖ payload), kept only where the payload is erased"),
    Column("chain", LargeBinary, nullable=False, comment="SHA-256(chain of seq-1 ‖ leaf hash); see docs/audit.md"),
    Column("stands_for", BigInteger, comment="Seq of the erased entry whose remaining facts this one carries"),
    Index(
        "entry_work_package",
        "work_package",
        sqlite_where=text("work_package IS NOT NULL"),
        postgresql_where=text("work_package IS NOT NULL"),
    ),
    Index(
        "entry_stands_for",
        "stands_for",
        sqlite_where=text("stands_for IS NOT NULL"),
        postgresql_where=text("stands_for IS NOT NULL"),
    ),
    comment="Append-only, hash-chained",
)

tile = Table(
    "tile",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False, comment="1: roots of 16 leaves; then 256 …"),
    Column("number", BigInteger, primary_key=True, autoincrement=False, comment="Position within the level, from 0"),
    Column("hashes", LargeBinary, nullable=False, comment="16 hashes of 32 bytes"),
    sqlite_with_rowid=False,
    comment="Full tiles of the RFC 6962 tree over the entries, so that a proof reads little",
)

anchor = Table(
    "anchor",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False, comment="Entries 1 … size were cut off"),
    Column("chain", LargeBinary, nullable=False, comment="Chain value of the last of them"),
    Column("root", LargeBinary, nullable=False, comment="RFC 6962 root over them"),
    comment="Where the record begins since retention has cut its oldest part; the retention entry says the same",
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False, comment="Entries that it covers"),
    Column("at", Instant, nullable=False, comment="When it was signed, by the bridge's own clock"),
    Column("root", LargeBinary, nullable=False, comment="RFC 6962 root over entries 1 … size"),
    Column("note", Text, nullable=False, comment="C2SP signed note: origin, size, root, extension lines, signatures"),
    Column("token", LargeBinary, comment="RFC 3161 time-stamp token over the note, if one was fetched"),
    comment="Signed tree heads",
)

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True, comment="watermark, polls_done, polls_missed"),
    Column("value", Text, nullable=False, comment="An ISO time, or a number"),
    comment="Operating state, not evidence: it only ever makes the bridge look again",
)

# --- Tickets and what the server said -------------------------------------------------------------------------------

ticket = Table(
    "ticket",
    metadata,
    Column("work_package", _Seq, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False, comment="The entry that last changed this row"),
    Column("project", BigInteger, nullable=False, comment="As last listed"),
    Column("status", BigInteger, comment="Status id as last listed; null where the server does not list it"),
    Column("type", BigInteger, comment="Type id as last listed; null where the server does not list it"),
    Column("vanished", Boolean, nullable=False, comment="True while the server does not show the ticket"),
    Column("synced", Boolean, nullable=False, comment="True when its activities were read after the last listing"),
    Column("reason", Text, comment="Why it counts as vanished, or could not be read"),
    Column("first_seen", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False, comment="When the bridge saw this row change"),
    comment="Every ticket ever seen, as last listed",
)

activity = Table(
    "activity",
    metadata,
    Column("work_package", BigInteger, primary_key=True, autoincrement=False),
    Column("activity", BigInteger, primary_key=True, autoincrement=False, comment="OpenProject's activity id"),
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="Its entry holds it as received"),
    Column("updated_at", Text, nullable=False, comment="The activity's updatedAt as printed"),
    Column("digest", LargeBinary, comment="First 8 bytes of SHA-256 of the content; null once redacted"),
    sqlite_with_rowid=False,
    comment="Every revision of every activity, in order of observation (seq)",
)

status_name = Table(
    "status_name",
    metadata,
    _seq(),
    Column("status", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("is_closed", Boolean, nullable=False, comment="Whether it closes a ticket"),
    Column("is_default", Boolean, nullable=False, comment="Whether new tickets begin in it"),
    Column("gone", Boolean, nullable=False, comment="True: the server no longer lists this status"),
    Column("observed_at", Instant, nullable=False),
    comment="Every name each status has had; the highest seq of a status is the present one",
)

person = Table(
    "person",
    metadata,
    _seq(),
    Column("person", BigInteger, nullable=False, comment="OpenProject user id"),
    Column("name", Text, comment="Null once redacted"),
    Column("observed_at", Instant, nullable=False),
    Index("person_person", "person"),
    comment="Every name each person has had; the highest seq of a person is the present one",
)

project_name = Table(
    "project_name",
    metadata,
    _seq(),
    Column("project", BigInteger, nullable=False),
    Column("identifier", Text, nullable=False, comment="The project's word in URLs"),
    Column("name", Text, nullable=False),
    Column("observed_at", Instant, nullable=False),
    comment="Every name each project has had; the highest seq of a project is the present one",
)

type_name = Table(
    "type_name",
    metadata,
    _seq(),
    Column("type", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("observed_at", Instant, nullable=False),
    comment="Every name each ticket type has had; the highest seq of a type is the present one",
)

role_spell = Table(
    "role_spell",
    metadata,
    _seq(),
    Column("project", BigInteger, nullable=False),
    Column("person", BigInteger, nullable=False),
    Column("roles", Text, nullable=False, comment="JSON array of role names, sorted; [] while not a member"),
    Column("created_at", Instant, comment="The membership's createdAt; null while not a member"),
    Column("changed_at", Instant, comment="The membership's updatedAt; null while not a member"),
    Column("first_read", Instant, nullable=False, comment="First reading that showed these roles"),
    Column("last_read", Instant, nullable=False, comment="Last reading that showed them unchanged"),
    Column("current", Boolean, nullable=False, comment="True for the latest spell of this person in this project"),
    Index("role_spell_person", "person", "project"),
    comment="Who held which roles in which project, from when to when",
)

# --- What the bridge thought and did --------------------------------------------------------------------------------

policy = Table(
    "policy",
    metadata,
    _seq(),
    Column("hash", Text, nullable=False, unique=True, comment="The policy's own hash"),
    comment="Policies that decisions were made under, by the first entry that told of each",
)

decision = Table(
    "decision",
    metadata,
    _seq(),
    Column("day", Integer, nullable=False, comment="UTC day of decided_at as yyyymmdd; with number the decision's id"),
    Column("number", Integer, nullable=False, comment="1, 2, 3 … within the day: 20261124 and 42 is 2026-11-24-0042"),
    Column("work_package", BigInteger, nullable=False),
    Column("project", BigInteger, nullable=False),
    Column("type", Text, nullable=False, comment="Ticket type as the policy was told; empty when unknown"),
    Column("activity", BigInteger, nullable=False, comment="With part: which status change was judged (ChangeKey)"),
    Column("part", Integer, nullable=False, comment="Which change within the activity"),
    Column("kind", Text, nullable=False, comment="creation, move or gap"),
    Column("origin", BigInteger, comment="Status id before; null for a creation or where unknown"),
    Column("target", BigInteger, comment="Status id after; null where unknown"),
    Column("origin_name", Text, comment="As the policy spells it; null where the policy does not know it"),
    Column("target_name", Text, comment="As the policy spells it; null where the policy does not know it"),
    Column("person", BigInteger, comment="Who moved the ticket; null where unknown"),
    Column("person_name", Text, comment="Their name when the decision was made; null when unknown or redacted"),
    Column("party", Text, comment="Their party when they moved it; null when unknown, or the bridge itself"),
    Column("own", Boolean, nullable=False, comment="True: the bridge's own move, recorded and not judged"),
    Column("verdict", Text, nullable=False, comment="allowed, illegal or undecided"),
    Column("rule", Text, comment="The objection that counts (the strictest); null unless illegal"),
    Column("rules", Text, comment="JSON array of all rules that object, strictest first; null unless illegal"),
    Column("mode", Text, comment="How far that rule goes: observe or enforce; null unless illegal"),
    Column("reason", Text, nullable=False, comment="Why undecided, or why allowed where it is not plain; else empty"),
    Column("sentence", Text, comment='The rule in words, JSON by language ({"en": …, "fr": …}); null unless illegal'),
    Column("exemption", Text, comment="The exemption that covers a rule which would object"),
    Column("policy", BigInteger, nullable=False, comment="policy.seq"),
    Column("earliest", Instant, nullable=False, comment="The move did not happen before this"),
    Column("latest", Instant, nullable=False, comment="The move did not happen after this"),
    Column("decided_at", Instant, nullable=False),
    Column("review_at", Instant, comment="Judge again after this; null when final"),
    Column("current", Boolean, nullable=False, comment="False once a later decision about the same change replaced it"),
    UniqueConstraint("day", "number", name="decision_id"),
    Index(
        "decision_review",
        "review_at",
        sqlite_where=text("review_at IS NOT NULL AND current"),
        postgresql_where=text("review_at IS NOT NULL AND current"),
    ),
    comment="Every verdict. The rows with current = true, ordered by latest, are each ticket's life in statuses",
)

decision_work_package = Index("decision_work_package", decision.c.work_package)

action = Table(
    "action",
    metadata,
    Column("seq", _Seq, primary_key=True, autoincrement=False, comment="Its intent's entry; the action's id"),
    Column("decision", BigInteger, nullable=False, comment="decision.seq of the verdict it carries out"),
    Column("work_package", BigInteger, nullable=False),
    Column("project", BigInteger, nullable=False),
    Column("person", BigInteger, comment="Whose move is put back"),
    Column("activity", BigInteger, nullable=False, comment="With part: the change that is put back"),
    Column("part", Integer, nullable=False, comment="Which change within the activity"),
    Column("origin", BigInteger, nullable=False, comment="Status id that the illegal move led to"),
    Column("target", BigInteger, nullable=False, comment="Status id that the ticket is put back to"),
    Column("lock_version", Integer, comment="Of the reading that the intent rests on; null when not read yet"),
    Column("state", Text, nullable=False, comment="intended, claimed or an Outcome"),
    Column("conflicts", Integer, nullable=False, comment="How often the server answered 409"),
    Column("detail", Text, comment="JSON: what the last outcome said"),
    Column("intended_at", Instant, nullable=False),
    Column("claimed_at", Instant),
    Column("reverted_at", Instant, comment="When the server had accepted the revert"),
    Column("explained_at", Instant, comment="When the explanation stood in the ticket"),
    Column("ended_at", Instant, comment="Null while something is left to do"),
    UniqueConstraint("work_package", "activity", "part", name="action_change"),
    Index("action_open", "seq", sqlite_where=text("ended_at IS NULL"), postgresql_where=text("ended_at IS NULL")),
    Index(
        "action_reverted",
        "reverted_at",
        sqlite_where=text("reverted_at IS NOT NULL"),
        postgresql_where=text("reverted_at IS NOT NULL"),
    ),
    comment="Every revert, from intent to explanation; at most one for each status change",
)

enforcement = Table(
    "enforcement",
    metadata,
    _seq(),
    Column("rule", Text, nullable=False),
    Column("project", BigInteger, nullable=False),
    Column("since", Instant, nullable=False, comment="Moves made before this are never put back"),
    Column("until", Instant, comment="Null while it goes on"),
    comment="When each rule was enforced in each project",
)

legal_hold = Table(
    "legal_hold",
    metadata,
    _seq(),
    Column("work_package", BigInteger, comment="The ticket that is held; null: everything"),
    Column("since", Instant, nullable=False),
    Column("until", Instant, comment="Null while it goes on"),
    comment="What neither retention nor redaction may touch",
)

event = Table(
    "event",
    metadata,
    _seq(),
    Column("kind", Text, nullable=False, comment="An EntryKind; the details are in the entry's payload"),
    Column("work_package", BigInteger),
    Column("at", Instant, nullable=False, comment="When it happened, as the caller says"),
    Index("event_kind", "kind", "at"),
    comment="Everything else that was recorded: cycles, pauses, policies, exemptions, appeals, exports, log-ins …",
)

PROJECTIONS = (
    ticket,
    activity,
    status_name,
    person,
    project_name,
    type_name,
    role_spell,
    policy,
    decision,
    action,
    enforcement,
    legal_hold,
    event,
)
"""Tables that hold nothing which the entries do not tell."""
