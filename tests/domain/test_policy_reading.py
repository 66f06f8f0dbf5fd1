"""What is no policy is refused in words, at its place and all at once."""

from __future__ import annotations

import hashlib
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.domain.model import Mode, RuleId
from bridge.domain.policy import Exemption, Limits, Party, Rule, load
from bridge.domain.policy.rules import (
    After,
    Filled,
    ModeFor,
    NeedsComment,
    OnlyInto,
    OtherPerson,
    Reminder,
    SamePerson,
)
from bridge.domain.policy.yamltext import MAX_BYTES, did_you_mean
from bridge.errors import EXIT_USAGE, PolicyError

SMALL = """\
policy: 1
name: small
language: en
guide: https://example.org/guide
appeal: "#appeal"
parties:
  staff:
    label: {fr: équipe, en: staff}
    roles: [Support]
    violations: reported
  client:
    label: {fr: client, en: client}
    roles: Client
    violations: reverted
statuses: [new, doing, done]
initial: new
closed: done
rules:
  new-by-nobody:
    into: new
    only-by: nobody
    mode: enforce
    sentence: {fr: non, en: no}
    source: a test
  doing-by-staff:
    into: doing
    only-by: staff
    mode: enforce
    sentence: {fr: non, en: no}
    source: a test
  done-by-both:
    into: done
    only-by: [staff, client]
    mode: enforce
    sentence: {fr: non, en: no}
    source: a test
"""


def complaints(text: str | bytes) -> list[str]:
    with pytest.raises(PolicyError) as raised:
        load(text, "p.yaml")
    assert raised.value.exit_code == EXIT_USAGE
    return [str(one) for one in raised.value.complaints]


def with_line(after: str, line: str, text: str = SMALL) -> str:
    assert after in text
    return text.replace(after, f"{after}\n{line}", 1)


def test_a_small_policy_says_what_it_says() -> None:
    policy = load(SMALL, "p.yaml")
    assert policy.statuses == ("new", "doing", "done")
    assert policy.closed == {"done"}
    assert policy.initial == "new"
    assert [rule.id for rule in policy.rules] == ["new-by-nobody", "doing-by-staff", "done-by-both"]
    assert policy.party_of(["Client"]) == "client"
    assert policy.limits == Limits()
    assert policy.language("any") == "en"
    assert policy.appeal_word == "#appeal"
    assert policy.hash == hashlib.sha256(SMALL.encode()).hexdigest()


NO_COLON = "a key without ':' (write it as 'key: value', with a space behind the ':')"
INDENTED = "this is not indented like its neighbours (move it below the key it belongs to)"
TEXT_AFTER_QUOTE = (
    "text after a closing quote, or a line that is not indented like its neighbours "
    "(put the whole text in quotes, and double a quote inside it)"
)


EVERY_WORD = """\
  every-selector:
    into: [doing, done]
    from: new
    by: client
    types: [Bug, Feature]
    projects: [alpha, 12]
    fields: {Risk: High, Size: [1, 2]}
    after: done
    mode: enforce
    mode-for:
      - {projects: alpha, since: 2026-12-01, until: 2026-12-31, mode: off}
      - {projects: beta, mode: observe}
    sentence: {fr: oui, en: yes and no}
    source: a test
  at-creation: {creation: true, only-into: new, mode: off, sentence: {fr: a, en: b}, source: s}
  with-a-comment:
    {into: done, comment: {by: [staff, client], within: 2 hours}, mode: off, sentence: {fr: a, en: b}, source: s}
  filled: {into: done, filled: [Reason, Risk], mode: off, sentence: {fr: a, en: b}, source: s}
  four-eyes: {into: done, other-person-than: [author, doing], mode: off, sentence: {fr: a, en: b}, source: s}
  assigned: {into: done, same-person-as: assignee, mode: off, sentence: {fr: a, en: b}, source: s}
languages: {alpha: fr}
reminders:
  waiting:
    status: [new, doing]
    after: 1 week
    types: Bug
    projects: beta
    mode: observe
    sentence: {fr: attend, en: waits}
    source: a wish
exemptions:
  - {id: all, rules: four-eyes, projects: alpha, people: [7, 8], tickets: 42, until: 2026-12-31, owner: me, reason: why}
  - {id: rest, people: 9, until: 2026-12-31, owner: you, reason: because}
limits:
  reverts-per-cycle: 1
  reverts-per-hour: 2
  reverts-per-person-per-hour: 3
  reverts-per-project-per-hour: 4
  reverts-per-ticket-per-hour: 5
  share-of-moves: 25 %
  cool-down: 6 minutes
"""


def test_every_word_of_a_policy_reaches_the_value_that_it_is_for() -> None:
    policy = load(SMALL + EVERY_WORD, "p.yaml")
    new, doing, done = policy.statuses
    staff, client = (party.name for party in policy.parties)
    assert policy.parties == (
        Party(staff, {"fr": "équipe", "en": "staff"}, frozenset({"Support"}), reverted=False),
        Party(client, {"fr": "client", "en": "client"}, frozenset({"Client"}), reverted=True),
    )
    words = {"sentence": {"fr": "a", "en": "b"}, "source": "s", "mode": Mode.OFF}
    into_done: dict[str, Any] = {"into": frozenset({done}), **words}
    year_end = {"since": datetime(2026, 12, 1, tzinfo=UTC), "until": datetime(2027, 1, 1, tzinfo=UTC)}
    assert policy.rules[3:] == (
        Rule(
            RuleId("every-selector"),
            {"fr": "oui", "en": "yes and no"},
            "a test",
            Mode.ENFORCE,
            After(frozenset({done})),
            into=frozenset({doing, done}),
            origin=frozenset({new}),
            by=frozenset({client}),
            types=frozenset({"Bug", "Feature"}),
            projects=frozenset({"alpha", "12"}),
            fields={"Risk": frozenset({"High"}), "Size": frozenset({"1", "2"})},
            mode_for=(
                ModeFor(Mode.OFF, frozenset({"alpha"}), **year_end),
                ModeFor(Mode.OBSERVE, frozenset({"beta"})),
            ),
        ),
        Rule(RuleId("at-creation"), demand=OnlyInto(frozenset({new})), creation=True, **words),  # type: ignore[arg-type]
        Rule(
            RuleId("with-a-comment"),
            demand=NeedsComment(frozenset({staff, client}), timedelta(hours=2)),
            **into_done,
        ),
        Rule(RuleId("filled"), demand=Filled(frozenset({"Reason", "Risk"})), **into_done),
        Rule(RuleId("four-eyes"), demand=OtherPerson(frozenset({"author", "doing"})), **into_done),
        Rule(RuleId("assigned"), demand=SamePerson(frozenset({"assignee"})), **into_done),
    )
    assert (policy.name, policy.guide_url) == ("small", "https://example.org/guide")
    assert (policy.language("alpha"), policy.language("beta")) == ("fr", "en")
    assert policy.reminders == (
        Reminder(
            RuleId("waiting"),
            {"fr": "attend", "en": "waits"},
            "a wish",
            Mode.OBSERVE,
            frozenset({new, doing}),
            timedelta(weeks=1),
            frozenset({"Bug"}),
            frozenset({"beta"}),
        ),
    )
    end = datetime(2027, 1, 1, tzinfo=UTC)
    scope = (frozenset({RuleId("four-eyes")}), frozenset({"alpha"}), frozenset({"7", "8"}), frozenset({42}))
    assert policy.exemptions == (
        Exemption("all", "me", "why", end, *scope),
        Exemption("rest", "you", "because", end, people=frozenset({"9"})),
    )
    assert policy.limits == Limits(1, 2, 3, 4, 5, 0.25, timedelta(minutes=6))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "p.yaml:1:1: the file is empty (a policy begins with 'policy: 1')"),
        ("# nothing yet\n", "p.yaml:1:1: the file is empty (a policy begins with 'policy: 1')"),
        ("~", "p.yaml:1:1: the file is empty (a policy begins with 'policy: 1')"),
        ("just words", "p.yaml:1:1: expected the policy as keys with values, found 'just words'"),
        ("- a\n- b\n", "p.yaml:1:1: expected the policy as keys with values, found a list"),
        ("policy: 1\n\tname: x\n", "p.yaml:2:1: a tab (indent with spaces)"),
        ("policy:\t1\n", "p.yaml:1:8: a tab (indent with spaces)"),
        ("policy: 1\nname: 'x\n", "p.yaml:2:7: a quote that is never closed"),
        ("policy: 1: 2\n", "p.yaml:1:10: a ':' out of place (indent this under its key, or put the text in quotes)"),
        ("rules: [a, b\n", "p.yaml:1:8: a ',' is missing in this, or the closing ']'"),
        ("a: {b: 1, c\n", "p.yaml:1:4: a ',' is missing in this, or the closing '}'"),
        ("policy 1\nname: x\n", f"p.yaml:1:1: {NO_COLON}"),
        ("a: {}\nb:1\nname: x\n", f"p.yaml:2:1: {NO_COLON}"),
        ('a: "x\nb: c\nd: "y"\n', "p.yaml:1:4: a quote that is never closed"),
        ("a: 'c'est'\n", f"p.yaml:1:7: {TEXT_AFTER_QUOTE}"),
        ("a:\n  b: 1\n c: 2\n", f"p.yaml:3:2: {INDENTED}"),
        ("a: - b\n", "p.yaml:1:4: a '-' out of place (begin the list on a line of its own)"),
        ('a: "\\#x"\n', "p.yaml:1:6: a \\ before # means nothing in double quotes (use single quotes)"),
        ("policy: @1\n", "p.yaml:1:9: no text begins with '@' (put it in quotes)"),
        ("policy: \x07\n", "p.yaml:1:9: the character U+0007 is not allowed in YAML"),
        ("\ufeffpolicy: \x07\n", "p.yaml:1:9: the character U+0007 is not allowed in YAML"),
        ("\n\x07", "p.yaml:2:1: the character U+0007 is not allowed in YAML"),
        ("é: ok\npolicy: é\x00", "p.yaml:2:10: the character U+0000 is not allowed in YAML"),
        (b"name: CEGAPE\nguide: \xe9t\xe9\n", "p.yaml:2:8: the file is not in UTF-8 (save it as UTF-8)"),
        (b"\xfe\xff" + "policy: 1\n".encode("utf-16-be"), "p.yaml:1:1: the file is in UTF-16 (save it as UTF-8)"),
        ("a: b\nc: d\ne: \x07\n", "p.yaml:3:4: the character U+0007 is not allowed in YAML"),
        ("policy: 1\n".encode("utf-16"), "p.yaml:1:1: the file is in UTF-16 (save it as UTF-8)"),
        ("[[], " * 25, "p.yaml:1:97: this nests deeper than 20 levels"),
        ("[" * 400, "p.yaml:1:21: this nests deeper than 20 levels"),
        ("#" * (MAX_BYTES + 1), "p.yaml:1:1: the file is larger than 512 KiB: this is no policy"),
        (b"\x00" * 1_000_000, "p.yaml:1:1: the file is larger than 512 KiB: this is no policy"),
    ],
)  # fmt: skip
def test_what_is_no_yaml_is_refused_at_its_place(text: str | bytes, complaint: str) -> None:
    assert complaints(text) == [complaint]


def test_a_space_that_is_none_is_found_where_it_stands() -> None:
    assert complaints("a:\n  b: 1\n\u00a0\u00a0c:\u202f2\n  d:\u202f3\n  e: 4\n") == [
        "p.yaml:3:1: the character U+00A0, which looks like a space (type a space)",
        "p.yaml:4:5: the character U+202F, which looks like a space (type a space)",
    ]


@pytest.mark.parametrize(
    ("name", "known", "says"),
    [
        ("dooing", ("new", "doing"), "did you mean 'doing'?"),
        ("DOING", ("new", "Doing"), "did you mean 'Doing'?"),
        ("zzz", ("new",), "known: new"),
        ("zzz", ("new", "doing"), "known: new, doing"),
        ("zzz", tuple("abcdefghijkl"), "known: a, b, c, d, e, f, g, h, i, j, k, l"),
        ("zzz", tuple("abcdefghijklm"), None),
        ("zzz", (), None),
    ],
)
def test_for_an_unknown_name_the_nearest_is_offered_or_all_where_they_are_few(
    name: str, known: tuple[str, ...], says: str | None
) -> None:
    assert did_you_mean(name, known) == says


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert load(b"\xef\xbb\xbf" + SMALL.encode(), "p.yaml").name == "small"
    assert load("\ufeff" + SMALL, "p.yaml").name == "small"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("name: small", "name: &n small", "2:7: the anchor &n: anchors are not part of a policy (remove it)"),
        ("name: small", "name: *n", "2:7: the alias *n: aliases are not part of a policy (write it out)"),
        ("name: small", "name: !!str 7", "2:7: the tag tag:yaml.org,2002:str: tags are not part"),
        ("name: small", "<<: {name: small}", "2:1: merge keys are not part of a policy (write the keys out)"),
        ("name: small", "? [a]\n: b", "2:3: expected a key of the policy, found a list"),
        ("policy: 1", "policy: 2", "1:9: expected policy format 1, found '2'"),
        ("name: small", "name: 12", "2:7: expected a text, found a number (put it in quotes)"),
        ("name: small", "name: 2026-11-24", "2:7: expected a text, found a date (put it in quotes)"),
        ("name: small", "name: true", "2:7: expected a text, found true or false (put it in quotes)"),
        ("name: small", "name:", "2:5: expected a text, found nothing"),
        ("language: en", "language: fra", "3:11: unknown language 'fra' (did you mean 'fr'?)"),
        ("language: en", "language: Latin", "3:11: unknown language 'Latin' (known: fr, en)"),
        ("https://example.org/guide", "ask Jean", "4:8: expected a web address, found 'ask Jean'"),
        (
            '"#appeal"',
            "#appeal",
            "5:7: expected a word that begins with '#', found nothing (in quotes, since a bare '#' begins a remark)",
        ),
        ('"#appeal"', "appeal", "5:9: expected a word that begins with '#', found 'appeal'"),
        ("  staff:\n", "  nobody:\n", "7:3: expected a name of small letters, digits and '-', found 'nobody'"),
        (
            "  staff:\n",
            "  Équipe 1:\n",
            "7:3: expected a name of small letters, digits and '-', found 'Équipe 1' (such as 'equipe-1')",
        ),
        ("violations: reverted", "violations: revert", "14:17: unknown treatment 'revert' (did you mean 'reverted'?)"),
        ("[new, doing, done]", "[new, doing, done, new]", "15:30: this stands in the list twice (remove one)"),
        ("initial: new", "initial: open", "16:10: unknown status 'open' (known: new, doing, done)"),
        ("initial: new", "initial: done", "16:10: tickets begin in 'done', which closes them"),
        ("closed: done", "closed: []", "17:9: an empty list (leave the key out)"),
        ("closed: done", "closed: [done, done]", "17:16: done stands here twice (remove one)"),
        ("roles: [Support]", "roles: [Client, Support]", "13:12: the role 'Client' is 'staff' already (name it once)"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_words(old: str, new: str, complaint: str) -> None:
    assert old in SMALL
    told = complaints(SMALL.replace(old, new, 1))
    assert any(one.startswith(f"p.yaml:{complaint}") for one in told), told


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("name: small", "name:", "2:5: expected a text, found nothing"),
        ("name: small", "name: ''", "2:7: expected a text, found ''"),
        ("name: small", "name: [a]", "2:7: expected a text, found a list"),
        ("guide: https://example.org/guide", "guide:", "4:6: expected a web address, found nothing"),
        ("guide: https://example.org/guide", "guide: 12", "4:8: expected a text, found a number (put it in quotes)"),
        ("policy: 1", "policy: [1]", "1:9: expected policy format 1, found a list"),
        ("policy: 1", "policy: '1'", "1:9: expected policy format 1, found '1'"),
        ("language: en", "language: [en]", "3:11: expected language: fr or en, found a list"),
        ("language: en", "language:", "3:9: expected language: fr or en, found nothing"),
        ("initial: new", "initial: 12", "16:10: expected a status, which is a text, found a number (put it in quotes)"),
        ("initial: new", "initial:", "16:8: expected a status, found nothing"),
        ("initial: new", "initial: {a: b}", "16:10: expected a status, which is a text, found keys with values"),
        ("closed: done", "closed: []", "17:9: an empty list (leave the key out)"),
        ("statuses: [new, doing, done]", "statuses: new", "15:11: expected a list of statuses, found 'new'"),
        ("statuses: [new, doing, done]", "statuses: []", "15:11: expected a list of statuses, found a list"),
        ("language: en", "language: en\nlanguages: {}", "4:12: expected languages by project, found keys with values"),
        ("language: en", "language: en\nreminders: []", "4:12: expected reminders by name, found a list"),
        ("language: en", "language: en\n? [a]\n: b", "4:3: expected a key of the policy, found a list"),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_told_with_what_was_expected_and_found(old: str, new: str, complaint: str) -> None:
    assert f"p.yaml:{complaint}" in complaints(SMALL.replace(old, new, 1))


def test_what_no_policy_needs_from_yaml_is_told_once_and_taken_for_nothing() -> None:
    assert complaints(SMALL + "---\npolicy: 1\n") == [
        "p.yaml:37:1: a second document begins here (a policy is one document)"
    ]
    assert complaints(SMALL.replace("name: small", "name: *n")) == [
        "p.yaml:2:5: expected a text, found nothing",
        "p.yaml:2:7: the alias *n: aliases are not part of a policy (write it out)",
    ]
    assert complaints(SMALL.replace("name: small", "name: |\n  12").replace("guide: https", "guide: >\n  https")) == [
        "p.yaml:5:8: expected a web address, found 'https://example.org/guide\\n'"
    ]


def test_a_key_without_a_colon_is_told_in_words() -> None:
    assert complaints("policy: 1\nname small\nlanguage: en\n") == [f"p.yaml:2:1: {NO_COLON}"]


ENDLESS = "into: done, by: client, after: doing, "
TWICE = "mode-for: [{projects: a, mode: off}, {projects: a, mode: observe}]"


IN_VAIN = "into: done, by: staff, comment: {by: staff, within: 1 day}"


@pytest.mark.parametrize(
    ("rule", "place", "complaint"),
    [
        ("into: done, after: new, only-by: staff", "staff", "a rule asks for one thing, this one for after and"),
        ("into: done", "strange", "a rule asks for one thing, this one for nothing (add one of"),
        ("only-by: staff", "strange", "this rule looks at every move (say which: into, from or creation)"),
        ("creation: true, from: new, only-into: new", "new,", "a ticket that is created comes from no status"),
        ("creation: false, only-into: new", "false", "expected true, found 'false' (leave the key out when it is not"),
        ("into: done, only-by: client", "done", "the rule 'done-by-both' says already who may set 'done' (leave one"),
        ("into: doing, by: staff, only-by: staff", "staff, mode", "this rule never objects: it names every party that"),
        ("into: done, only-into: [done, new]", "[done", "this rule never objects: it names every status that it looks"),
        ("into: done, only-into: done", "done, mode", "this rule never objects: it names every status that it"),
        ("into: [done, new], only-into: done", "done, mode", "'into' and 'only-into' in one rule (remove 'into')"),
        ("from: new, into: done, after: new", "new, mode", "this rule never objects: 'from' is in 'after' already"),
        ("into: done, after: done", "done, mode", "'done' may come only after done, which need it first"),
        (ENDLESS + "mode-for: [{mode: off}]", "{mode", "this exception fits every move (give it projects, since or"),
        (
            ENDLESS + "mode-for: [{since: 2026-01-02, until: 2026-01-01, mode: off}]",
            "2026-01-01",
            "this ends before it begins",
        ),
        (ENDLESS + TWICE, "{projects: a, mode: observe", "an exception above fits all of this already (remove one)"),
        (IN_VAIN, "enforce,", "this can never be enforced: it only concerns staff, whose violations are reported"),
        (f"{IN_VAIN}, mode-for: [{{projects: a, mode: enforce}}]", "[{projects", "this can never be enforced: it only"),
        ("into: done, comment: {by: staff, within: 1 hr}", "1 hr", "expected a duration, found '1 hr' (such as '15 "),
        ("into: done, by: 'staff, client', only-by: nobody", "'staff", "unknown party 'staff, client' (write a list:"),
        ("into: done, other-person-than: autor", "autor", "unknown author or assignee or status 'autor' (did you mean"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_meant_is_told_in_words_at_its_place(rule: str, place: str, complaint: str) -> None:
    line = f"  strange: {{{rule}, mode: enforce, sentence: {{fr: non, en: no}}, source: a test}}\n"
    told = complaints(SMALL + line)
    assert any(one.startswith(f"p.yaml:37:{line.index(place) + 1}: {complaint}") for one in told), told
    assert all(one.startswith("p.yaml:37:") for one in told), told


RULE_HINTS = {
    "into: done, after: new, only-by: staff": "split it into two rules",
    "into: done": "add one of only-by, only-into, after, comment, filled, other-person-than, same-person-as",
    "only-by: staff": "say which: into, from or creation",
    "creation: true, from: new, only-into: new": "remove 'from' or 'creation'",
    "creation: false, only-into: new": "leave the key out when it is not so",
    "into: done, only-by: client": "leave one of the two",
    "into: [done, new], only-into: done": "remove 'into'",
    ENDLESS + "mode-for: [{mode: off}]": "give it projects, since or until, or change the rule's mode",
    ENDLESS + "mode-for: [{since: soon, mode: off}]": "such as 2026-12-31",
    ENDLESS + TWICE: "remove one",
    IN_VAIN: "write observe",
    "into: done, comment: {by: staff, within: 1 hr}": "such as '15 minutes', '2 hours' or '5 days'",
    "into: done, after: []": "leave the key out",
    "into: done, only-by: []": "nobody",
    "into: done, filled: [1]": "put it in quotes",
    "into: done, filled: []": "leave the key out",
}
TEXT_HINTS = {
    SMALL.replace("[new, doing, done]", "[new, doing, done, lost]"): "add a rule with 'into: lost' and 'only-by'",
    SMALL + "policy: 1\n": "it stands already in line 1",
    SMALL + "---\npolicy: 1\n": "a policy is one document",
    SMALL.replace("name: small", "name: !x small"): "remove it",
    SMALL + "limits: {share-of-moves: 12}\n": "such as '50 %'",
    SMALL + "limits: {cool-down: soon}\n": "such as '15 minutes', '2 hours' or '5 days'",
    SMALL + "exemptions: [{id: a, owner: b, reason: c, until: 2026-01-01}]\n": (
        "give it rules, projects, people or tickets"
    ),
}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        *(
            (SMALL + f"  strange: {{{rule}, mode: enforce, sentence: {{fr: non, en: no}}, source: a test}}\n", hint)
            for rule, hint in RULE_HINTS.items()
        ),
        *TEXT_HINTS.items(),
    ],
)
def test_a_mistake_comes_with_what_to_do_about_it(text: str, hint: str) -> None:
    with pytest.raises(PolicyError) as raised:
        load(text, "p.yaml")
    assert hint in [complaint.suggestion for complaint in raised.value.complaints]


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ("{reverts-per-hour: 100001}", "expected a number from 0 to 100000, found 100001"),
        ("{reverts-per-hour: -1}", "expected a whole number, found '-1'"),
        ("{reverts-per-hour: '1'}", "expected a whole number, found '1'"),
        ("{reverts-per-hour: [1]}", "expected a whole number, found a list"),
        ("{share-of-moves: 101 %}", "expected a share, found '101 %' (such as '50 %')"),
        ("{share-of-moves: [1]}", "expected a share, found a list (such as '50 %')"),
        (
            "{cool-down: {}}",
            "expected a duration, found keys with values (such as '15 minutes', '2 hours' or '5 days')",
        ),
        ("[]", "expected the limits as keys with values, found a list"),
        ("{}", None),
        ("{reverts-per-hour: 0, share-of-moves: 0%, cool-down: 1 minute}", None),
        ("{reverts-per-hour: 100000, share-of-moves: 100 %, cool-down: 99999 weeks}", None),
    ],
)
def test_a_limit_is_a_number_a_share_or_a_duration_within_bounds(limits: str, complaint: str | None) -> None:
    text = SMALL + f"limits: {limits}\n"
    if complaint is None:
        load(text, "p.yaml")
    else:
        assert [one.partition(": ")[2] for one in complaints(text)] == [complaint]


def test_what_refers_to_a_section_that_is_missing_is_told_like_everything_else() -> None:
    """No status, party or rule is known then: a word for one is a mistake at its place."""
    told = complaints("policy: 1\ninitial: new\nexemptions: [{rules: some, people: 1}]\n")
    assert "p.yaml:2:10: unknown status 'new'" in told
    assert "p.yaml:3:22: unknown rule 'some'" in told
    told = complaints("policy: 1\nrules: {some: {into: new, only-by: staff}}\n")
    assert "p.yaml:2:22: unknown status 'new'" in told
    assert "p.yaml:2:36: unknown party 'staff'" in told


def test_rules_that_wait_for_each_other_are_found() -> None:
    circle = "  {0}-after-{1}: {{into: {0}, after: {1}, mode: observe, sentence: {{fr: a, en: b}}, source: a test}}\n"
    told = complaints(SMALL + circle.format("doing", "done") + circle.format("done", "doing"))
    assert [one.split(" ")[0] for one in told] == ["p.yaml:37:42:", "p.yaml:38:41:"]
    load(SMALL + circle.format("done", "doing"), "p.yaml")


def test_a_status_of_which_no_rule_says_who_may_set_it_is_found_where_it_is_declared() -> None:
    (told,) = complaints(SMALL.replace("[new, doing, done]", "[new, doing, done, lost]"))
    assert told.startswith("p.yaml:15:30: no rule says who may set 'lost'")


def test_a_chain_of_statuses_that_each_follow_another_is_no_circle() -> None:
    follows = "  {0}-after-{1}: {{into: {0}, after: {1}, mode: observe, sentence: {{fr: a, en: b}}, source: a test}}\n"
    load(SMALL + follows.format("done", "doing") + follows.format("doing", "new"), "p.yaml")


def test_a_policy_in_which_no_ticket_can_be_created_is_found() -> None:
    born = "  born: {creation: true, only-into: doing, mode: enforce, sentence: {fr: a, en: b}, source: a test}\n"
    assert complaints(SMALL + born) == ["p.yaml:16:10: no party may create a ticket in 'new'"]


def test_who_may_create_a_ticket_in_a_status_is_no_second_word_on_who_may_set_it() -> None:
    born = "creation: true, into: doing, only-by: client, mode: observe, sentence: {fr: a, en: b}, source: a test"
    assert load(f"{SMALL}  born: {{{born}}}\n", "p.yaml").rules[-1].creation


@pytest.mark.parametrize("scope", ["from: new", "by: client", "types: Bug", "projects: alpha"])
def test_a_rule_for_some_moves_alone_is_no_second_word_on_who_may_set_a_status(scope: str) -> None:
    rule = f"into: doing, {scope}, only-by: staff, mode: observe, sentence: {{fr: a, en: b}}, source: a test"
    assert load(f"{SMALL}  some: {{{rule}}}\n", "p.yaml").rules[-1].id == "some"


def test_all_that_a_status_waits_for_in_a_circle_is_named() -> None:
    rest = "mode: observe, sentence: {fr: a, en: b}, source: a test}\n"
    told = complaints(
        f"{SMALL}  one: {{into: done, after: [doing, done], {rest}  two: {{into: doing, after: done, {rest}"
    )
    assert [one.partition(": ")[2] for one in told] == [
        "'done' may come only after doing, done, which need it first",
        "'doing' may come only after done, which need it first",
    ]


def test_every_party_that_is_only_reported_is_named_where_a_rule_is_enforced_in_vain() -> None:
    auditor = "  auditor: {label: {fr: a, en: b}, roles: Audit, violations: reported}\n"
    rule = "from: new, by: [staff, auditor], comment: {by: staff, within: 1 day}, mode: enforce"
    text = SMALL.replace("parties:\n", f"parties:\n{auditor}")
    told = complaints(f"{text}  vain: {{{rule}, sentence: {{fr: a, en: b}}, source: a test}}\n")
    assert any(
        one.endswith("it only concerns auditor and staff, whose violations are reported (write observe)")
        for one in told
    )


def test_an_exception_that_another_one_above_covers_is_found_however_it_does() -> None:
    what = "into: done, by: client, after: doing, mode: enforce, sentence: {{fr: a, en: b}}, source: s"
    rule = f"  again: {{{{{what}, mode-for: [{{}}, {{}}]}}}}\n"
    january, march = "since: 2026-01-01", "since: 2026-03-01"
    until_may, until_july = "until: 2026-05-31", "until: 2026-07-31"
    for above, below, covered in (
        (january, january, True),
        (january, march, True),
        (march, january, False),
        (until_may, until_may, True),
        (until_july, until_may, True),
        (until_may, until_july, False),
        (january, until_may, False),
        (f"{january}, {until_july}", f"{march}, {until_may}", True),
        (f"{march}, {until_may}", f"{january}, {until_july}", False),
        ("projects: [a, b]", "projects: b", True),
        ("projects: b", "projects: [a, b]", False),
        ("projects: a", january, False),
        (january, f"projects: a, {january}", True),
    ):
        text = SMALL + rule.format(f"{{{above}, mode: off}}", f"{{{below}, mode: observe}}")
        if covered:
            assert [one.partition(": ")[2] for one in complaints(text)] == [
                "an exception above fits all of this already (remove one)"
            ]
        else:
            load(text, "p.yaml")


def test_each_exception_that_is_covered_is_told() -> None:
    rest = "mode: enforce, sentence: {fr: a, en: b}, source: a test"
    three = "[{projects: a, mode: off}, {projects: a, mode: observe}, {projects: a, mode: enforce}]"
    told = complaints(f"{SMALL}  again: {{into: done, by: client, after: doing, mode-for: {three}, {rest}}}\n")
    assert [one.partition(": ")[2] for one in told] == ["an exception above fits all of this already (remove one)"] * 2


def test_a_second_exemption_of_one_name_is_told_at_its_name() -> None:
    line = "  - {{owner: me, tickets: {0}, reason: a test, until: 2026-12-31, id: a}}\n"
    told = complaints(SMALL + "exemptions:\n" + line.format(1) + line.format(2))
    assert told == [f"p.yaml:39:{line.format(2).index('id: a') + 5}: a second exemption 'a'"]


def test_a_status_that_nobody_may_ever_set_is_found() -> None:
    (told,) = complaints(SMALL.replace("only-by: staff", "only-by: nobody"))
    assert told == "p.yaml:27:14: nobody may ever set 'doing'"


def test_an_exemption_needs_a_scope_an_end_and_a_name_of_its_own() -> None:
    head = SMALL + "exemptions:\n"
    one = "  - {{id: {0}, {1}owner: me, reason: a test, until: 2026-12-31}}\n"
    assert load(head + one.format("a", "rules: doing-by-staff, "), "p.yaml").exemptions[0].owner == "me"
    (everything,) = complaints(head + one.format("a", ""))
    assert everything.endswith(": this exempts everything (give it rules, projects, people or tickets)")
    assert (
        "a second exemption 'a'"
        in complaints(head + one.format("a", "tickets: 1, ") + one.format("a", "tickets: 2, "))[0]
    )
    assert "did you mean 'doing-by-staff'" in complaints(head + one.format("a", "rules: doing-by-stafff, "))[0]


def test_days_begin_and_end_in_utc() -> None:
    text = with_line("    mode: enforce", "    mode-for: [{since: 2026-12-01, until: 2026-12-31, mode: off}]")
    (exception,) = load(text, "p.yaml").rules[0].mode_for
    assert (str(exception.since), str(exception.until)) == ("2026-12-01 00:00:00+00:00", "2027-01-01 00:00:00+00:00")
    assert exception.mode is Mode.OFF


def test_every_complaint_is_made_once_and_in_the_order_of_the_file() -> None:
    lines = SMALL.splitlines()
    random.Random(7).shuffle(lines)
    broken = SMALL.replace("only-by", "onlyby").replace("mode: enforce", "mode: enforced").replace("fr:", "fl:")
    told = complaints(broken)
    places = [tuple(map(int, one.split(":")[1:3])) for one in told]
    assert places == sorted(places)
    assert len(set(told)) == len(told) == 3 + 3 + 5 * 2


@settings(max_examples=60)
@given(
    st.text(alphabet=st.sampled_from("ab: -[]{}#'\"\n\t&*!|>%@`,?~é\x00\ufeff1"), max_size=60) | st.binary(max_size=60)
)
def test_no_text_makes_anything_but_complaints(text: str | bytes) -> None:
    assert complaints(text)


@settings(max_examples=60)
@given(st.data())
def test_no_damage_to_a_policy_makes_anything_but_complaints(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(SMALL)))
    end = data.draw(st.integers(start, min(len(SMALL), start + 40)))
    put = data.draw(
        st.sampled_from(["", " ", "\n", ":", "- ", "[", "}", "'", "0", "client", "\n  x: y\n", "&a ", "!!int "])
    )
    with suppress(PolicyError):
        load(SMALL[:start] + put + SMALL[end:], "p.yaml")
