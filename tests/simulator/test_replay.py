"""The simulator is held against the recordings: every scenario of both versions, request by request.

Each scenario runs on an instance seeded from the recordings' own ``instance.json``, with the clock set from each
step's time. Status, content type, error identifiers and messages, and every field that the bridge reads must be the
same. Ids and times differ by nature: ids must correspond one to one, times must stand in the same order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests

from bridge.simulator import Api, Clock, Delivery, InProcess, Instance, Webhook, install_webhook, seed

RECORDINGS = Path(__file__).parents[1] / "recordings"
BASE = "http://127.0.0.1:3000"

NOT_REPLAYED: Mapping[str, str] = {
    "roles, principals, groups, priorities, users (list), emoji_reactions: body": "the bridge never reads them",
    "configuration: everything but page size and features": "the bridge never reads it",
    "instanceName": "the simulator says that it is one",
    "comment.html with tables, links or mentions": "the bridge reads raw; html only to see that a marker is hidden",
    "elements of tickets that other scenarios made (02, 21, 26)": "scenarios are replayed alone; totals, counts and "
    "paging are compared on an instance that holds as many others, elements that the scenario made itself in full",
    "ETag, cache-control, link, vary, x-request-id": "the bridge never reads them",
    "elapsed_ms": "a simulator does no work; transport.estimate has the measured costs",
}
"""What is not compared, and why. The whole list."""

# What instance.json does not say and the answers show.
SUPPLEMENT: Mapping[str, Mapping[str, Any]] = {
    "17.6": {
        "names": {"client-alpha-paie": "Client Alpha – Paie", "client-gamma": "Client Gamma (sans pont)"},
    },
    "15.4": {
        "names": {
            "client-alpha-paie": "Client Alpha – Paie",
            "client-gamma": "Client Gamma (sans pont)",
            "demo-project": "Projet de démonstration",
        },
        "projects": {"demo-project": {"id": 1, "public": True, "parent": None}},
    },
}


def recordings() -> Iterator[Any]:
    for path in sorted(RECORDINGS.glob("openproject-*/[0-9]*.json")):
        version = path.parent.name.removeprefix("openproject-")
        yield pytest.param(version, path.stem, id=f"{version}-{path.stem}")


@cache
def description(version: str) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads((RECORDINGS / f"openproject-{version}" / "instance.json").read_text())
    more = SUPPLEMENT[version]
    found["projects"] |= more.get("projects", {})
    for identifier, name in more["names"].items():
        found["projects"][identifier]["name"] = name
    found["applications"] = {"the-bridge": {"secret": "the-secret", "actor": "bridge"}}
    return found


# --- What was done outside the API ----------------------------------------------------------------------------------

Deed = Callable[[Instance], object]


def rename(old: str, new: str) -> Deed:
    return lambda instance: instance.rename_status(old, new)


def aggregate(minutes: int) -> Deed:
    return lambda instance: instance.set_aggregation(minutes)


def delete_the_leaver(instance: Instance) -> None:
    instance.rename_status("EN COURS (bis)", "EN COURS")
    instance.delete_person("gone")


def three_thousand(status: str, lock_version: int, first: str) -> Deed:
    """Volume 1…3000, updated seven minutes apart."""

    def plant(instance: Instance) -> None:
        at = datetime.fromisoformat(first)
        for number in range(1, 3001):
            ticket = instance.plant("ca", "client-alpha", f"Volume {number}", status=status, type="Anomalie", at=at)
            ticket.lock_version = lock_version
            at += timedelta(minutes=7)

    return plant


def others(counts: Mapping[str, int], evolution: int, boundaries: int = 0) -> Deed:
    """Tickets that other scenarios had left, as many as the recorded totals tell, all of that day."""

    def plant(instance: Instance) -> None:
        at = instance.now() - timedelta(minutes=6)
        left = evolution
        for status, count in counts.items():
            for number in range(count):
                kind = "Évolution" if left and number % 2 else "Anomalie"
                left -= kind == "Évolution"
                subject = "Bornes" if status == "NOUVEAU" and number < boundaries else "Ailleurs"
                instance.plant("ca", "client-alpha", subject, status=status, type=kind, at=at)
                at += timedelta(milliseconds=7)

    return plant


VOLUME_17 = three_thousand("RESOLU", 2, "2026-10-25T18:29:31.261432+00:00")
VOLUME_15 = three_thousand("NOUVEAU", 1, "2026-10-25T18:40:11.890432+00:00")
REST_17 = {"NECESSITE CLARIFICATION": 1, "EN COURS": 8, "EN COURS DE TEST": 3, "RESOLU": 7, "EN ATTENTE": 1}
REST_15 = {"NECESSITE CLARIFICATION": 1, "EN COURS": 5, "EN COURS DE TEST": 3, "RESOLU": 4, "REJETE": 1}

OUTSIDE: Mapping[tuple[str, str, int], tuple[Deed, ...]] = {
    ("17.6", "02-list", 0): (others({**REST_17, "REJETE": 3, "NOUVEAU": 15}, 6, boundaries=3), VOLUME_17),
    ("15.4", "02-list", 0): (others({**REST_15, "NOUVEAU": 10}, 3),),
    ("17.6", "14-no-aggregation", 0): (aggregate(0),),
    ("15.4", "14-no-aggregation", 0): (aggregate(0),),
    ("17.6", "19-renames", 4): (rename("EN COURS", "EN COURS (bis)"),),
    ("15.4", "19-renames", 4): (rename("EN COURS", "EN COURS (bis)"),),
    ("17.6", "19-renames", 5): (rename("EN COURS (bis)", "EN COURS"),),
    ("15.4", "19-renames", 5): (rename("EN COURS (bis)", "EN COURS"),),
    ("17.6", "20-webhooks", 0): (aggregate(0),),
    ("15.4", "20-webhooks", 0): (aggregate(0),),
    ("17.6", "21-volume", 0): (VOLUME_17, others({**REST_17, "REJETE": 3, "NOUVEAU": 14}, 6)),
    ("15.4", "21-volume", 0): (VOLUME_15, others({**REST_15, "NOUVEAU": 13}, 3)),
    ("17.6", "25-names", 5): (rename("EN COURS", "EN COURS (bis)"),),
    ("15.4", "25-names", 5): (rename("EN COURS", "EN COURS (bis)"),),
    ("17.6", "25-names", 7): (delete_the_leaver,),
    ("15.4", "25-names", 7): (delete_the_leaver,),
    ("15.4", "26-status-snapshot", 0): (
        others({**REST_15, "EN COURS": 8, "RESOLU": 6, "REJETE": 2, "EN ATTENTE": 1, "NOUVEAU": 16}, 3),
        VOLUME_15,
    ),
}
CROWDED = ("02-list", "21-volume", "26-status-snapshot")

CREDENTIALS: Mapping[tuple[str, int], Mapping[str, str]] = {
    ("12-errors", 3): {"Authorization": "Basic YXBpa2V5Ondyb25n"},
    ("12-errors", 4): {"Authorization": "Bearer wrong"},
}


# --- What the bridge reads ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Id:
    kind: str
    number: int


@dataclass(frozen=True)
class Time:
    printed: str


def reads(body: Any) -> Any:
    """The part of an answer that the bridge reads, with its ids and times marked as such."""
    if not isinstance(body, dict):
        return body
    kind = body.get("_type", "")
    if kind == "Error":
        return error(body)
    if "elements" in body.get("_embedded", {}):
        return {
            **{name: body[name] for name in ("total", "count", "pageSize", "offset") if name in body},
            **({"groups": [(g["value"], g["count"]) for g in body["groups"]]} if "groups" in body else {}),
            "elements": [reads(element) for element in body["_embedded"]["elements"]],
        }
    known: Mapping[str, Callable[[dict[str, Any]], Any]] = {
        "Activity": activity,
        "Activity::Comment": activity,
        "Membership": membership,
        "Form": form,
        "Schema": schema,
    }
    plain = {
        "Root": (),
        "Status": ("id", "name", "isClosed", "isDefault", "position"),
        "Type": ("id", "name"),
        "Project": ("id", "identifier", "name", "active"),
        "User": ("id", "name", "login", "language", "status", "admin", "firstName", "lastName"),
        "Configuration": ("maximumAPIV3PageSize", "perPageOptions", "availableFeatures"),
    }
    if kind in known:
        return known[kind](body)
    if kind in plain:
        return {name: body[name] for name in plain[kind] if name in body} | links(body, "user", "parent")
    return ticket(body)


def error(body: dict[str, Any]) -> Any:
    embedded = body.get("_embedded", {})
    return {
        "errorIdentifier": body["errorIdentifier"],
        "message": body["message"],
        "details": embedded.get("details"),
        "errors": sorted((error(one) for one in embedded.get("errors", ())), key=str),
    }


def links(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: linked(body["_links"][name]) for name in names if name in body.get("_links", {})}


def linked(link: Mapping[str, Any]) -> Any:
    return ids_in(link.get("href")), link.get("title")


def ids_in(text: str | None) -> Any:
    """A text with the ticket and activity ids in it marked."""
    parts = re.split(r"(work_packages|activities|journals)(?:/|%2F)(\d+)", text or "")
    if len(parts) == 1:
        return text
    found: list[Any] = [parts[0]]
    for name, number, rest in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        found += [Id("ticket" if name == "work_packages" else "activity", int(number)), rest]
    return found


def ticket(body: dict[str, Any]) -> Any:
    shown: dict[str, Any] = {name: body[name] for name in ("_type", "lockVersion", "subject") if name in body}
    if "id" in body:
        shown["id"] = Id("ticket", body["id"])
    if "displayId" in body:
        shown["displayId"] = Id("ticket", int(body["displayId"]))
    shown |= {name: Time(body[name]) for name in ("createdAt", "updatedAt") if name in body}
    shown |= links(body, "status", "type", "project", "author", "assignee", "schema")
    shown["writable"] = "updateImmediately" in body.get("_links", {})
    past = body.get("_embedded", {}).get("attributesByTimestamp")
    if past is not None:
        shown["past"] = [one["_meta"] | links(one, "status", "type", "project", "assignee") for one in past]
    return shown


def activity(body: dict[str, Any]) -> Any:
    return {
        "_type": body["_type"],
        "id": Id("activity", body["id"]),
        "version": body["version"],
        "internal": body.get("internal"),
        "raw": body["comment"]["raw"],
        "html": None if re.search(r"\||\]\(|<mention", body["comment"]["raw"]) else body["comment"]["html"],
        "details": [(ids_in(line["raw"]), ids_in(line["html"])) for line in body["details"]],
        "createdAt": Time(body["createdAt"]),
        "updatedAt": Time(body["updatedAt"]),
        "workPackage": linked(body["_links"]["workPackage"])[0],
        **links(body, "user"),
    }


def membership(body: dict[str, Any]) -> Any:
    roles = sorted(linked(role) for role in body["_links"]["roles"])
    return {"id": Id("membership", body["id"]), "roles": roles, **links(body, "project", "principal")}


def form(body: dict[str, Any]) -> Any:
    embedded = body["_embedded"]
    return {
        "lockVersion": embedded["payload"]["lockVersion"],
        "allowed": [linked(status) for status in embedded["schema"]["status"]["_links"]["allowedValues"]],
        "errors": {name: error(one) for name, one in embedded["validationErrors"].items()},
        "commits": "commit" in body["_links"],
    }


def schema(body: dict[str, Any]) -> Any:
    return {
        name: value["name"]
        for name, value in body.items()
        if isinstance(value, dict) and (name in ("status", "type", "project", "subject") or "customField" in name)
    }


UNREAD = re.compile(r"/(roles|principals|groups|priorities|users|emoji_reactions)(/\d+)?(\?.*)?$")


def unread(path: str) -> bool:
    """Whether the bridge never reads what is there (see NOT_REPLAYED)."""
    match = UNREAD.search(path)
    return match is not None and not (match[1] == "users" and match[2])


# --- Replaying ------------------------------------------------------------------------------------------------------


@dataclass
class Replay:
    version: str
    scenario: str
    clock: Clock
    instance: Instance
    deliveries: list[Delivery] = field(default_factory=list)
    ids: dict[Id, Id] = field(default_factory=dict)
    """Recorded to simulated."""
    times: dict[str, str] = field(default_factory=dict)
    """Recorded to simulated, as printed."""
    etags: dict[str, str] = field(default_factory=dict)
    bearer: str | None = None

    def __post_init__(self) -> None:
        self.instance.hosts = frozenset({"127.0.0.1"})
        install_webhook(
            self.instance, Webhook("http://receiver", "secret-webhook", EVENTS[self.version], self.deliveries.append)
        )
        self.session = requests.Session()
        self.session.mount("http://", InProcess(Api(self.instance, zipped=True)))

    def step(self, number: int, step: Mapping[str, Any]) -> None:
        for deed in OUTSIDE.get((self.version, self.scenario, number), ()):
            deed(self.instance)
        recorded = step["response"]
        answer = self.ask(number, step)
        assert answer.status_code == recorded["status"], answer.text
        expected = recorded["headers"].get("content-type")
        if expected is not None:
            assert answer.headers.get("content-type") == expected
        if "etag" in recorded["headers"] and "etag" in answer.headers:
            self.etags[recorded["headers"]["etag"]] = answer.headers["etag"]
        if "www-authenticate" in recorded["headers"]:
            challenge = recorded["headers"]["www-authenticate"].partition(", error_description")[0]
            assert answer.headers["www-authenticate"] == challenge
        if "body" not in recorded:  # the body was not kept
            assert answer.headers["content-encoding"] == "gzip"
            return
        if unread(step["request"]["path"]) and recorded["status"] < 400:
            return
        body = recorded["body"]
        if isinstance(body, dict):
            self.same(reads(body), reads(answer.json()), cut=bool(recorded.get("elements_kept")))
        else:
            assert answer.text == (body or "")

    def ask(self, number: int, step: Mapping[str, Any]) -> requests.Response:
        request = step["request"]
        headers = dict(request.get("headers", {}))
        if "If-None-Match" in headers:
            headers["If-None-Match"] = self.etags[headers["If-None-Match"]]
        data = json.dumps(request["body"]) if "body" in request else request.get("raw_body")
        if request["path"] == "/oauth/token":
            secret = "the-secret" if "client_secret" in data else "wrong"
            data = urlencode({"grant_type": "client_credentials", "client_id": "the-bridge", "client_secret": secret})
        if (self.scenario, number) in CREDENTIALS:
            headers |= CREDENTIALS[self.scenario, number]
        elif step["actor"] != "anonymous":
            person = self.instance.person(step["actor"])
            basic = requests.auth._basic_auth_str("apikey", self.instance.token(person.id))
            headers["Authorization"] = f"Bearer {self.bearer}" if self.bearer else basic
        answer = self.session.request(
            request["method"],
            BASE + self.translated(request["path"]),
            data=data,
            headers=headers,
            allow_redirects=False,
        )
        if request["path"] == "/oauth/token" and answer.ok:
            self.bearer = answer.json()["access_token"]
        return answer

    def translated(self, path: str) -> str:
        """A recorded path with the simulator's ids and times in it."""
        url = urlsplit(path) if not path.startswith("//") else urlsplit(BASE + path)
        where = re.sub(
            r"/(work_packages|activities)/(\d+)(?=/|$)",
            lambda match: f"/{match[1]}/{self.simulated(match[1], match[2])}",
            url.path,
        )
        query = []
        for name, value in parse_qsl(url.query, keep_blank_values=True):
            text = value
            if name == "filters" and value.startswith("["):
                filters = json.loads(value)
                for one in filters:
                    for attribute, condition in one.items():
                        condition["values"] = [self.value(attribute, v) for v in condition["values"]]
                text = json.dumps(filters)
            query.append((name, text))
        return where + ("?" + urlencode(query) if query else "")

    def simulated(self, kind: str, number: str) -> str:
        recorded = Id("ticket" if kind == "work_packages" else "activity", int(number))
        return str(self.ids.get(recorded, recorded).number)

    def value(self, attribute: str, value: str) -> str:
        if attribute == "id" and value.isdigit():
            return self.simulated("work_packages", value)
        if attribute in ("updatedAt", "createdAt"):
            printed = value[:23] + "Z"
            return self.times[printed][:23] + value[23:] if printed in self.times else value
        return value

    # Comparing

    def same(self, recorded: Any, simulated: Any, where: str = "", *, cut: bool = False) -> None:
        match recorded:
            case Id():
                assert isinstance(simulated, Id), where
                bound = self.ids.setdefault(recorded, simulated)
                assert bound == simulated, f"{where}: recorded {recorded} was {bound} before"
            case Time():
                assert isinstance(simulated, Time), where
                assert self.times.setdefault(recorded.printed, simulated.printed) == simulated.printed, where
            case dict():
                assert recorded.keys() == simulated.keys(), where
                for name, value in recorded.items():
                    if name == "elements" and cut:
                        self.same_elements(value, simulated[name], simulated.get("count"))
                    else:
                        self.same(value, simulated[name], f"{where}/{name}")
            case list() | tuple():
                assert len(recorded) == len(simulated), f"{where}: {recorded} / {simulated}"
                for index, (one, other) in enumerate(zip(recorded, simulated, strict=True)):
                    self.same(one, other, f"{where}/{index}")
            case _:
                assert recorded == simulated, where

    def same_elements(self, recorded: list[Any], simulated: list[Any], count: int | None) -> None:
        """The first elements of a list that the recorder cut."""
        assert count in (None, len(simulated))
        assert len(recorded) <= len(simulated)
        for one, other in zip(recorded, simulated, strict=False):
            known = one["id"] in self.ids or str(one.get("subject", "")).startswith("Volume")
            if known or self.scenario not in CROWDED:
                self.same(one, other)
            else:
                assert one.keys() == other.keys()

    def times_in_order(self) -> None:
        ordered = sorted(self.times.items())
        for (_, earlier), (_, later) in pairwise(ordered):
            assert earlier < later


EVENTS = {
    "17.6": frozenset({"work_package:created", "work_package:updated", "work_package_comment:comment"}),
    "15.4": frozenset({"work_package:created", "work_package:updated"}),
}


@pytest.mark.parametrize(("version", "scenario"), tuple(recordings()))
def test_a_recorded_scenario_is_answered_as_it_was_recorded(version: str, scenario: str) -> None:
    recorded = json.loads((RECORDINGS / f"openproject-{version}" / f"{scenario}.json").read_text())
    steps = recorded["steps"]
    clock = Clock(datetime.fromisoformat(steps[0]["at"]) - timedelta(minutes=3))
    replay = Replay(version, scenario, clock, seed(description(version), clock))
    for number, step in enumerate(steps):
        clock.set(datetime.fromisoformat(step["at"]).astimezone(UTC) + timedelta(microseconds=432))
        if "request" in step:
            try:
                replay.step(number, step)
            except AssertionError as failed:
                request = step["request"]
                failed.add_note(f"step {number}, {step['actor']}: {request['method']} {request['path']}")
                raise
        elif "deliveries" in step:
            same_deliveries(replay, step["deliveries"])
    replay.times_in_order()


def same_deliveries(replay: Replay, recorded: list[Mapping[str, Any]]) -> None:
    """The same events about the same states, each signed; their order is not promised (contract §10.3)."""

    def told(raw: bytes | str) -> tuple[Any, ...]:
        body = json.loads(raw)
        about = body.get("work_package") or body["activity"]["_embedded"]["workPackage"]
        comment = body["activity"]["comment"]["raw"] if "activity" in body else None
        status = about["_links"]["status"]["title"]
        return body["action"], about["lockVersion"], status, body.get("actor", {}).get("id"), comment

    assert sorted(map(str, (told(d["raw_body"]) for d in recorded))) == sorted(
        map(str, (told(d.body) for d in replay.deliveries))
    )
    for delivery in replay.deliveries:
        assert delivery.headers["X-Op-Signature"].startswith("sha1=")
