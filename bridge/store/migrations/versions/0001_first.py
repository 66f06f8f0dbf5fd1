"""The first schema. Never changed: a later one is a migration of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "action",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="Its intent's entry; the action's id",
        ),
        sa.Column("decision", sa.BigInteger(), nullable=False, comment="decision.seq of the verdict it carries out"),
        sa.Column("work_package", sa.BigInteger(), nullable=False),
        sa.Column("project", sa.BigInteger(), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=True, comment="Whose move is put back"),
        sa.Column("activity", sa.BigInteger(), nullable=False, comment="With part: the change that is put back"),
        sa.Column("part", sa.Integer(), nullable=False, comment="Which change within the activity"),
        sa.Column("origin", sa.BigInteger(), nullable=False, comment="Status id that the illegal move led to"),
        sa.Column("target", sa.BigInteger(), nullable=False, comment="Status id that the ticket is put back to"),
        sa.Column(
            "lock_version",
            sa.Integer(),
            nullable=True,
            comment="Of the reading that the intent rests on; null when not read yet",
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="intended, claimed or an Outcome"),
        sa.Column("conflicts", sa.Integer(), nullable=False, comment="How often the server answered 409"),
        sa.Column("detail", sa.Text(), nullable=True, comment="JSON: what the last outcome said"),
        sa.Column("intended_at", sa.BigInteger(), nullable=False),
        sa.Column("claimed_at", sa.BigInteger(), nullable=True),
        sa.Column("reverted_at", sa.BigInteger(), nullable=True, comment="When the server had accepted the revert"),
        sa.Column("explained_at", sa.BigInteger(), nullable=True, comment="When the explanation stood in the ticket"),
        sa.Column("ended_at", sa.BigInteger(), nullable=True, comment="Null while something is left to do"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("work_package", "activity", "part", name="action_change"),
        comment="Every revert, from intent to explanation; at most one for each status change",
    )
    op.create_index(
        "action_open",
        "action",
        ["seq"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "action_reverted",
        "action",
        ["reverted_at"],
        unique=False,
        sqlite_where=sa.text("reverted_at IS NOT NULL"),
        postgresql_where=sa.text("reverted_at IS NOT NULL"),
    )
    op.create_table(
        "activity",
        sa.Column("work_package", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "activity", sa.BigInteger(), autoincrement=False, nullable=False, comment="OpenProject's activity id"
        ),
        sa.Column(
            "seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="Its entry holds it as received"
        ),
        sa.Column("updated_at", sa.Text(), nullable=False, comment="The activity's updatedAt as printed"),
        sa.Column(
            "digest",
            sa.LargeBinary(),
            nullable=True,
            comment="First 8 bytes of SHA-256 of the content; null once redacted",
        ),
        sa.PrimaryKeyConstraint("work_package", "activity", "seq"),
        comment="Every revision of every activity, in order of observation (seq)",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "anchor",
        sa.Column(
            "size", sa.BigInteger(), autoincrement=False, nullable=False, comment="Entries 1 … size were cut off"
        ),
        sa.Column("chain", sa.LargeBinary(), nullable=False, comment="Chain value of the last of them"),
        sa.Column("root", sa.LargeBinary(), nullable=False, comment="RFC 6962 root over them"),
        sa.PrimaryKeyConstraint("size"),
        comment="Where the record begins since retention has cut its oldest part; the retention entry says the same",
    )
    op.create_table(
        "checkpoint",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False, comment="Entries that it covers"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="When it was signed, by the bridge's own clock"),
        sa.Column("root", sa.LargeBinary(), nullable=False, comment="RFC 6962 root over entries 1 … size"),
        sa.Column(
            "note",
            sa.Text(),
            nullable=False,
            comment="C2SP signed note: origin, size, root, extension lines, signatures",
        ),
        sa.Column(
            "token",
            sa.LargeBinary(),
            nullable=True,
            comment="RFC 3161 time-stamp token over the note, if one was fetched",
        ),
        sa.PrimaryKeyConstraint("size"),
        comment="Signed tree heads",
    )
    op.create_table(
        "decision",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="The entry this row comes from",
        ),
        sa.Column(
            "day",
            sa.Integer(),
            nullable=False,
            comment="UTC day of decided_at as yyyymmdd; with number the decision's id",
        ),
        sa.Column(
            "number",
            sa.Integer(),
            nullable=False,
            comment="1, 2, 3 … within the day: 20261124 and 42 is 2026-11-24-0042",
        ),
        sa.Column("work_package", sa.BigInteger(), nullable=False),
        sa.Column("project", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False, comment="Ticket type as the policy was told; empty when unknown"),
        sa.Column(
            "activity", sa.BigInteger(), nullable=False, comment="With part: which status change was judged (ChangeKey)"
        ),
        sa.Column("part", sa.Integer(), nullable=False, comment="Which change within the activity"),
        sa.Column("kind", sa.Text(), nullable=False, comment="creation, move or gap"),
        sa.Column(
            "origin", sa.BigInteger(), nullable=True, comment="Status id before; null for a creation or where unknown"
        ),
        sa.Column("target", sa.BigInteger(), nullable=True, comment="Status id after; null where unknown"),
        sa.Column(
            "origin_name",
            sa.Text(),
            nullable=True,
            comment="As the policy spells it; null where the policy does not know it",
        ),
        sa.Column(
            "target_name",
            sa.Text(),
            nullable=True,
            comment="As the policy spells it; null where the policy does not know it",
        ),
        sa.Column("person", sa.BigInteger(), nullable=True, comment="Who moved the ticket; null where unknown"),
        sa.Column(
            "person_name",
            sa.Text(),
            nullable=True,
            comment="Their name when the decision was made; null when unknown or redacted",
        ),
        sa.Column(
            "party",
            sa.Text(),
            nullable=True,
            comment="Their party when they moved it; null when unknown, or the bridge itself",
        ),
        sa.Column("own", sa.Boolean(), nullable=False, comment="True: the bridge's own move, recorded and not judged"),
        sa.Column("verdict", sa.Text(), nullable=False, comment="allowed, illegal or undecided"),
        sa.Column(
            "rule", sa.Text(), nullable=True, comment="The objection that counts (the strictest); null unless illegal"
        ),
        sa.Column(
            "rules",
            sa.Text(),
            nullable=True,
            comment="JSON array of all rules that object, strictest first; null unless illegal",
        ),
        sa.Column(
            "mode", sa.Text(), nullable=True, comment="How far that rule goes: observe or enforce; null unless illegal"
        ),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=False,
            comment="Why undecided, or why allowed where it is not plain; else empty",
        ),
        sa.Column(
            "sentence",
            sa.Text(),
            nullable=True,
            comment='The rule in words, JSON by language ({"en": …, "fr": …}); null unless illegal',
        ),
        sa.Column("exemption", sa.Text(), nullable=True, comment="The exemption that covers a rule which would object"),
        sa.Column("policy", sa.BigInteger(), nullable=False, comment="policy.seq"),
        sa.Column("earliest", sa.BigInteger(), nullable=False, comment="The move did not happen before this"),
        sa.Column("latest", sa.BigInteger(), nullable=False, comment="The move did not happen after this"),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("review_at", sa.BigInteger(), nullable=True, comment="Judge again after this; null when final"),
        sa.Column(
            "current",
            sa.Boolean(),
            nullable=False,
            comment="False once a later decision about the same change replaced it",
        ),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("day", "number", name="decision_id"),
        comment="Every verdict. The rows with current = true, ordered by latest, are each ticket's life in statuses",
    )
    op.create_index(
        "decision_review",
        "decision",
        ["review_at"],
        unique=False,
        sqlite_where=sa.text("review_at IS NOT NULL AND current"),
        postgresql_where=sa.text("review_at IS NOT NULL AND current"),
    )
    op.create_index("decision_work_package", "decision", ["work_package"], unique=False)
    op.create_table(
        "enforcement",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="The entry this row comes from",
        ),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("project", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="Moves made before this are never put back"),
        sa.Column("until", sa.BigInteger(), nullable=True, comment="Null while it goes on"),
        sa.PrimaryKeyConstraint("seq"),
        comment="When each rule was enforced in each project",
    )
    op.create_table(
        "entry",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="1, 2, 3 … without a gap",
        ),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="When it was written, by the bridge's own clock"),
        sa.Column("kind", sa.Text(), nullable=False, comment="An EntryKind"),
        sa.Column("work_package", sa.BigInteger(), nullable=True, comment="The ticket it is about, if it is about one"),
        sa.Column(
            "payload", sa.Text(), nullable=True, comment="What happened, as RFC 8785 writes JSON; null once erased"
        ),
        sa.Column(
            "salt", sa.LargeBinary(), nullable=True, comment="16 random bytes, hashed with the payload; erased with it"
        ),
        sa.Column(
            "commitment",
            sa.LargeBinary(),
            nullable=True,
            comment="SHA-256(salt ‖ payload), kept only where the payload is erased",
        ),
        sa.Column(
            "chain", sa.LargeBinary(), nullable=False, comment="SHA-256(chain of seq-1 ‖ leaf hash); see docs/audit.md"
        ),
        sa.Column(
            "stands_for",
            sa.BigInteger(),
            nullable=True,
            comment="Seq of the erased entry whose remaining facts this one carries",
        ),
        sa.PrimaryKeyConstraint("seq"),
        comment="Append-only, hash-chained",
    )
    op.create_index(
        "entry_stands_for",
        "entry",
        ["stands_for"],
        unique=False,
        sqlite_where=sa.text("stands_for IS NOT NULL"),
        postgresql_where=sa.text("stands_for IS NOT NULL"),
    )
    op.create_index(
        "entry_work_package",
        "entry",
        ["work_package"],
        unique=False,
        sqlite_where=sa.text("work_package IS NOT NULL"),
        postgresql_where=sa.text("work_package IS NOT NULL"),
    )
    op.create_table(
        "event",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="The entry this row comes from",
        ),
        sa.Column("kind", sa.Text(), nullable=False, comment="An EntryKind; the details are in the entry's payload"),
        sa.Column("work_package", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="When it happened, as the caller says"),
        sa.PrimaryKeyConstraint("seq"),
        comment="Everything else that was recorded: cycles, pauses, policies, exemptions, appeals, exports, log-ins …",
    )
    op.create_index("event_kind", "event", ["kind", "at"], unique=False)
    op.create_table(
        "legal_hold",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="The entry this row comes from",
        ),
        sa.Column("work_package", sa.BigInteger(), nullable=True, comment="The ticket that is held; null: everything"),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True, comment="Null while it goes on"),
        sa.PrimaryKeyConstraint("seq"),
        comment="What neither retention nor redaction may touch",
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False, comment="watermark, polls_done, polls_missed"),
        sa.Column("value", sa.Text(), nullable=False, comment="An ISO time, or a number"),
        sa.PrimaryKeyConstraint("key"),
        comment="Operating state, not evidence: it only ever makes the bridge look again",
    )
    op.create_table(
        "person",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="The entry this row comes from",
        ),
        sa.Column("person", sa.BigInteger(), nullable=False, comment="OpenProject user id"),
        sa.Column("name", sa.Text(), nullable=True, comment="Null once redacted"),
        sa.Column("observed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        comment="Every name each person has had; the highest seq of a person is the present one",
    )
    op.create_index("person_person", "person", ["person"], unique=False)
    op.create_table(
        "policy",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="The entry this row comes from",
        ),
        sa.Column("hash", sa.Text(), nullable=False, comment="The policy's own hash"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("hash"),
        comment="Policies that decisions were made under, by the first entry that told of each",
    )
    op.create_table(
        "project_name",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="The entry this row comes from",
        ),
        sa.Column("project", sa.BigInteger(), nullable=False),
        sa.Column("identifier", sa.Text(), nullable=False, comment="The project's word in URLs"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        comment="Every name each project has had; the highest seq of a project is the present one",
    )
    op.create_table(
        "role_spell",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="The entry this row comes from",
        ),
        sa.Column("project", sa.BigInteger(), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=False),
        sa.Column(
            "roles", sa.Text(), nullable=False, comment="JSON array of role names, sorted; [] while not a member"
        ),
        sa.Column(
            "created_at", sa.BigInteger(), nullable=True, comment="The membership's createdAt; null while not a member"
        ),
        sa.Column(
            "changed_at", sa.BigInteger(), nullable=True, comment="The membership's updatedAt; null while not a member"
        ),
        sa.Column("first_read", sa.BigInteger(), nullable=False, comment="First reading that showed these roles"),
        sa.Column("last_read", sa.BigInteger(), nullable=False, comment="Last reading that showed them unchanged"),
        sa.Column(
            "current", sa.Boolean(), nullable=False, comment="True for the latest spell of this person in this project"
        ),
        sa.PrimaryKeyConstraint("seq"),
        comment="Who held which roles in which project, from when to when",
    )
    op.create_index("role_spell_person", "role_spell", ["person", "project"], unique=False)
    op.create_table(
        "status_name",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="The entry this row comes from",
        ),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_closed", sa.Boolean(), nullable=False, comment="Whether it closes a ticket"),
        sa.Column("is_default", sa.Boolean(), nullable=False, comment="Whether new tickets begin in it"),
        sa.Column("gone", sa.Boolean(), nullable=False, comment="True: the server no longer lists this status"),
        sa.Column("observed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        comment="Every name each status has had; the highest seq of a status is the present one",
    )
    op.create_table(
        "ticket",
        sa.Column(
            "work_package", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="The entry that last changed this row"),
        sa.Column("project", sa.BigInteger(), nullable=False, comment="As last listed"),
        sa.Column(
            "status",
            sa.BigInteger(),
            nullable=True,
            comment="Status id as last listed; null where the server does not list it",
        ),
        sa.Column(
            "type",
            sa.BigInteger(),
            nullable=True,
            comment="Type id as last listed; null where the server does not list it",
        ),
        sa.Column("vanished", sa.Boolean(), nullable=False, comment="True while the server does not show the ticket"),
        sa.Column(
            "synced", sa.Boolean(), nullable=False, comment="True when its activities were read after the last listing"
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why it counts as vanished, or could not be read"),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False, comment="When the bridge saw this row change"),
        sa.PrimaryKeyConstraint("work_package"),
        comment="Every ticket ever seen, as last listed",
    )
    op.create_table(
        "tile",
        sa.Column(
            "level", sa.SmallInteger(), autoincrement=False, nullable=False, comment="1: roots of 16 leaves; then 256 …"
        ),
        sa.Column(
            "number", sa.BigInteger(), autoincrement=False, nullable=False, comment="Position within the level, from 0"
        ),
        sa.Column("hashes", sa.LargeBinary(), nullable=False, comment="16 hashes of 32 bytes"),
        sa.PrimaryKeyConstraint("level", "number"),
        comment="Full tiles of the RFC 6962 tree over the entries, so that a proof reads little",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "type_name",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="The entry this row comes from",
        ),
        sa.Column("type", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        comment="Every name each ticket type has had; the highest seq of a type is the present one",
    )
