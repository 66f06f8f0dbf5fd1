"""Every recorded answer is read without loss, and every damaged one is refused by name."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.model import Listed, ProjectId, Status, StatusId, TypeId, UserId, WorkPackageId
from bridge.errors import SkipItem
from bridge.openproject import activity_text, resources
from bridge.openproject.resources import Malformed

RECORDINGS = Path(__file__).parents[1] / "recordings"


class Recorded(NamedTuple):
    """One HAL object of a recorded answer."""

    where: str
    hal: Any


def answers() -> Iterator[Recorded]:
    """Every body of every 2xx answer of every scenario of both versions, which the tracker may have to read."""
    for file in sorted(RECORDINGS.glob("openproject-*/[0-9]*.json")):
        for number, step in enumerate(json.loads(file.read_text())["steps"]):
            response = step.get("response")
            if response and 200 <= response["status"] < 300 and isinstance(response.get("body"), dict):
                request = step["request"]
                path = request["path"].split("?")[0].replace("//", "/").rstrip("/")
                query = request["path"].partition("?")[2]
                where = f"{file.parent.name}/{file.stem}/{number} {request['method']} {path}?{query}"
                yield Recorded(where, response["body"])


ANSWERS = list(answers())


def matching(pattern: str) -> list[Recorded]:
    found = [one for one in ANSWERS if re.search(pattern, one.where)]
    assert found, f"no recorded answer matches {pattern}"
    return found


def in_lists(pattern: str) -> list[Recorded]:
    return [Recorded(one.where, element) for one in matching(pattern) for element in one.hal["_embedded"]["elements"]]


SELECTS = in_lists(r" GET /api/v3/work_packages\?.*select=.*elements%2Fproject")
FULL_LISTS = [
    one for one in in_lists(r" GET /api/v3/(projects/[^/]+/|workspaces/[^/]+/)?work_packages\?(?!.*select=)") if one.hal
]
TICKETS = [
    *matching(r" (GET|PATCH) /api/v3/work_packages/\d+\?(?!timestamps=[^,%]*Z$)"),
    *matching(r" POST /api/v3/(projects/\d+/)?work_packages\?"),
    *FULL_LISTS,
]
ACTIVITIES = [
    *in_lists(r" GET /api/v3/work_packages/\d+/activities\?"),
    *matching(r" POST /api/v3/work_packages/\d+/activities\?"),
    *matching(r" (GET|PATCH) /api/v3/activities/\d+\?"),
]
STATUSES = [*in_lists(r" GET /api/v3/statuses\?"), *matching(r" GET /api/v3/statuses/\d+\?")]
TYPES = in_lists(r" GET /api/v3/types\?")
PROJECTS = [*in_lists(r" GET /api/v3/(projects|workspaces)\?"), *matching(r" GET /api/v3/projects/\d+\?")]
PEOPLE = [*matching(r" GET /api/v3/users/(me|\d+)\?"), *in_lists(r" GET /api/v3/users\?")]
MEMBERSHIPS = in_lists(r" GET /api/v3/memberships\?")
SCHEMAS = matching(r" GET /api/v3/work_packages/schemas/[\d-]+\?")


def listed(hal: Any) -> Listed:
    """One element, read twice: the first time strictly, then the quick way."""
    strictly, quickly = resources.listing({"_embedded": {"elements": [hal, hal]}})
    assert strictly == quickly
    return strictly


def last(hal: Any, link: str) -> int | None:
    """The id in a link, read in another way than the reader's: the digits at the end."""
    href = hal["_links"][link]["href"] if link in hal["_links"] else None
    return None if href is None else int(re.search(r"(\d+)$", href)[1])  # type: ignore[index]


def printed(time: datetime) -> str:
    assert time.utcoffset() == timedelta(0)
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"


def test_recorded_activities_are_read_without_loss() -> None:
    for where, hal in ACTIVITIES:
        received = resources.trim_activity(hal)
        assert json.loads(json.dumps(received)) == received, where
        assert received == {
            "_type": hal["_type"],
            "id": hal["id"],
            "version": hal["version"],
            "workPackage": last(hal, "workPackage"),
            "user": last(hal, "user"),
            "createdAt": hal["createdAt"],
            "updatedAt": hal["updatedAt"],
            "comment": hal["comment"]["raw"],
            "details": [[detail["raw"], detail["html"]] for detail in hal["details"]],
            "internal": hal.get("internal", False),
        }, where
        activity = resources.activity(received)
        assert (activity.id, activity.version) == (hal["id"], hal["version"]), where
        assert (activity.work_package, activity.user) == (last(hal, "workPackage"), last(hal, "user")), where
        assert printed(activity.created_at) == hal["createdAt"], where
        assert printed(activity.updated_at) == hal["updatedAt"], where
        assert activity.comment == hal["comment"]["raw"], where
        assert activity.retracted == (not hal["details"] and "retirées" in hal["comment"]["raw"]), where
        labelled = [d for d in hal["details"] if re.match(r"<strong>(Statut|Status)</strong>.*<i>", d["html"])]
        assert len(activity.status_lines) == len(labelled), where
        assert activity.project_changed == any(d["raw"].startswith("Projet changé") for d in hal["details"]), where


def test_recorded_select_answers_are_read_without_loss() -> None:
    assert any(one.hal["_links"].get("status") for one in SELECTS)
    for where, hal in SELECTS:
        ticket = listed(hal)
        assert (ticket.id, ticket.project) == (hal["id"], last(hal, "project")), where
        assert (ticket.status, ticket.type) == (last(hal, "status"), last(hal, "type")), where


def test_recorded_id_lists_are_read_without_loss() -> None:
    for one in matching(r" GET /api/v3/work_packages\?.*select=.*elements%2Fid"):
        assert resources.total(one.hal) == one.hal["total"], one.where
        assert resources.listed_ids(one.hal) == [element["id"] for element in one.hal["_embedded"]["elements"]], (
            one.where
        )


def test_recorded_tickets_are_read_without_loss() -> None:
    for where, hal in TICKETS:
        ticket = resources.ticket(hal)
        assert (ticket.id, ticket.lock_version, ticket.subject) == (hal["id"], hal["lockVersion"], hal["subject"]), (
            where
        )
        assert ticket.display_id == hal.get("displayId", str(hal["id"])), where
        assert (ticket.project, ticket.type, ticket.status, ticket.author, ticket.assignee) == tuple(
            last(hal, link) for link in ("project", "type", "status", "author", "assignee")
        ), where
        assert ticket.schema == f"{ticket.project}-{ticket.type}", where
        assert (printed(ticket.created_at), printed(ticket.updated_at)) == (hal["createdAt"], hal["updatedAt"]), where


def test_past_statuses_are_told_by_id() -> None:
    """Recording 17: created at 23.072 s and so not there at second 23, EN COURS at second 26, RESOLU since."""
    (one,) = matching(r"17\.6/17-baseline/3 GET")
    ids = {
        name: StatusId(status["id"])
        for name, status in json.loads((RECORDINGS / "openproject-17.6" / "instance.json").read_text())[
            "statuses"
        ].items()
    }
    at = [
        datetime(2026, 11, 24, 18, 19, 23, 217000, tzinfo=UTC),
        datetime(2026, 11, 24, 18, 19, 26, 179000, tzinfo=UTC),
    ]
    ticket = resources.ticket(one.hal, at)
    assert ticket.status == ids["RESOLU"]
    assert ticket.status_at == {at[0]: None, at[1]: ids["EN COURS"]}


def test_a_past_status_that_equals_the_present_one_is_told_as_well() -> None:
    (one,) = matching(r"17\.6/17-baseline/3 GET")
    hal = copy.deepcopy(one.hal)
    del hal["_embedded"]["attributesByTimestamp"][1]["_links"]["status"]
    at = datetime(2026, 11, 24, 18, 19, 26, 179000, tzinfo=UTC)
    ticket = resources.ticket(hal, [at])
    assert ticket.status_at == {at: ticket.status}


def test_an_instant_that_is_not_answered_is_no_answer() -> None:
    (one,) = matching(r"17\.6/17-baseline/3 GET")
    with pytest.raises(Malformed, match="attributesByTimestamp"):
        resources.ticket(one.hal, [datetime(2026, 11, 24, tzinfo=UTC)])


def test_recorded_statuses_types_and_projects_are_read_without_loss() -> None:
    for where, hal in STATUSES:
        assert resources.status(hal) == Status(hal["id"], hal["name"], hal["isClosed"], hal["isDefault"]), where
    for where, hal in TYPES:
        assert resources.type_name(hal) == (TypeId(hal["id"]), hal["name"]), where
    for where, hal in PROJECTS:
        expected = resources.Project(ProjectId(hal["id"]), hal["identifier"], hal["name"], hal["active"])
        assert resources.project(hal) == expected, where


def test_recorded_people_are_read_without_loss() -> None:
    assert {one.hal.get("language") for one in PEOPLE} >= {"fr", None}
    for where, hal in PEOPLE:
        expected = resources.Person(UserId(hal["id"]), hal["name"], hal.get("language") or "")
        assert resources.person(hal) == expected, where
    for where, hal in matching(r" GET /api/v3\?"):
        assert resources.root_user(hal) == last(hal, "user"), where


def test_an_anonymous_visitor_is_nobody() -> None:
    (one,) = matching(r"17\.6/01-discovery/0 GET")
    del (hal := copy.deepcopy(one.hal))["_links"]["user"]
    assert resources.root_user(hal) is None


def test_recorded_memberships_are_read_without_loss() -> None:
    people = groups = 0
    for where, hal in MEMBERSHIPS:
        membership = resources.membership(hal)
        if "/users/" not in hal["_links"]["principal"]["href"]:
            groups += 1
            assert membership is None, where
            continue
        people += 1
        assert membership is not None, where
        assert (membership.project, membership.user) == (last(hal, "project"), last(hal, "principal")), where
        assert membership.user_name == hal["_links"]["principal"]["title"], where
        assert list(membership.roles) == sorted(role["title"] for role in hal["_links"]["roles"]), where
        assert printed(membership.updated_at) == hal["updatedAt"], where
    assert people
    assert groups


def test_the_schema_tells_of_the_custom_field_that_carries_the_status_label() -> None:
    for where, hal in SCHEMAS:
        names = list(resources.custom_field_labels(hal).values())
        assert names == ["Statut", "Motif de rejet", "Notes internes"], where
        assert [name for name in names if activity_text.is_status_label(name)] == ["Statut"], where


def errors() -> Iterator[tuple[str, Any]]:
    for file in sorted(RECORDINGS.glob("openproject-*/[0-9]*.json")):
        for number, step in enumerate(json.loads(file.read_text())["steps"]):
            if step.get("response", {}).get("status", 0) >= 400:
                yield f"{file.parent.name}/{file.stem}/{number}", step["response"].get("body")


def test_recorded_errors_are_read_by_identifier_and_attribute() -> None:
    found = {where: resources.error(body) for where, body in errors()}
    assert found["openproject-17.6/09-native-workflow/1"].attribute == "status"
    assert found["openproject-17.6/12-errors/22"].identifier == "PropertyConstraintViolation"
    assert "Sujet" in found["openproject-17.6/12-errors/22"].message
    assert found["openproject-17.6/12-errors/24"] == resources.ApiError("", "", "")
    for where, body in errors():
        if isinstance(body, dict) and "errorIdentifier" in body and "errors" not in body.get("_embedded", {}):
            assert body["errorIdentifier"].endswith(f":{found[where].identifier}"), where
            assert found[where].message == body["message"], where


# --- Damage ---------------------------------------------------------------------------------------------------------

READERS: list[tuple[Callable[[Any], object], list[Recorded]]] = [
    (lambda hal: resources.activity(resources.trim_activity(hal)), ACTIVITIES),
    (listed, SELECTS),
    (resources.ticket, TICKETS),
    (resources.status, STATUSES),
    (resources.type_name, TYPES),
    (resources.project, PROJECTS),
    (resources.person, PEOPLE),
    (resources.membership, MEMBERSHIPS),
    (resources.custom_field_labels, SCHEMAS),
    (resources.elements, matching(r"/activities\?")),
    (resources.root_user, matching(r" GET /api/v3\?")),
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=3,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))


@given(st.data())
def test_whatever_is_damaged_the_reader_refuses_by_name_or_reads(data: st.DataObject) -> None:
    read, recorded = data.draw(st.sampled_from(READERS))
    hal = copy.deepcopy(data.draw(st.sampled_from(recorded)).hal)
    *path, key = data.draw(st.sampled_from(list(places(hal))))
    inner = hal
    for step in path:
        inner = inner[step]
    if data.draw(st.booleans()):
        del inner[key]
    else:
        inner[key] = data.draw(json_values)
    complaint = "'everything' is there"
    try:
        read(hal)
    except Malformed as error:
        complaint = str(error)
    assert re.search(r"'\w+'", complaint)


@given(json_values)
def test_anything_else_than_hal_is_refused(value: object) -> None:
    for read, _ in READERS:
        with pytest.raises(Malformed):
            read(value)
    assert isinstance(resources.error(value), resources.ApiError)


@pytest.mark.parametrize("field", ["_type", "id", "version", "comment", "details", "createdAt", "updatedAt", "_links"])
def test_every_field_of_an_activity_that_is_read_is_missed_by_name(field: str) -> None:
    hal = copy.deepcopy(ACTIVITIES[0].hal)
    del hal[field]
    with pytest.raises(SkipItem, match=f"'{field}'"):
        resources.activity(resources.trim_activity(hal))


@pytest.mark.parametrize("time", ["yesterday", "2026-11-24T18:00:00", "2026-13-24T18:00:00Z", ""])
def test_a_time_without_a_zone_or_sense_is_refused(time: str) -> None:
    received = resources.trim_activity(ACTIVITIES[0].hal) | {"updatedAt": time}
    with pytest.raises(Malformed, match="'updatedAt'"):
        resources.activity(received)


def test_a_stored_activity_with_damaged_lines_is_refused() -> None:
    received = resources.trim_activity(ACTIVITIES[0].hal) | {"details": [["only one"]]}
    with pytest.raises(Malformed, match="'details'"):
        resources.activity(received)


@given(st.datetimes(timezones=st.timezones()))
def test_an_instant_is_printed_as_the_server_prints_it(time: datetime) -> None:
    text = resources.instant(time)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    back = datetime.fromisoformat(text)
    assert timedelta(0) <= time.astimezone(UTC) - back < timedelta(milliseconds=1)


@pytest.mark.parametrize("kind", ["projects", "programs", "portfolios", "workspaces"])
def test_a_project_is_its_number_whatever_the_collection_and_the_prefix(kind: str) -> None:
    """17 names projects by their kind (contract §12), and a relative root stands before every address (§13.2)."""
    hal = {"id": 5, "_links": {"project": {"href": f"/openproject/api/v3/{kind}/3"}}}
    assert listed(hal).project == ProjectId(3)
    assert listed(hal).id == WorkPackageId(5)


def test_an_undisclosed_reference_is_no_id() -> None:
    hal = {"id": 5, "_links": {"project": {"href": "urn:openproject-org:api:v3:undisclosed"}}}
    with pytest.raises(Malformed, match="'project'"):
        listed(hal)
