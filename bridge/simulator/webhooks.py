"""Outgoing webhooks: what a finished activity tells the world, signed (contract §10, recording 20).

The transport is the caller's: ``Webhook.deliver`` takes each call. Nothing is retried.
"""

from __future__ import annotations

import hashlib
import hmac

import orjson

from bridge.simulator import represent, texts
from bridge.simulator.instance import Instance
from bridge.simulator.journal import Journal
from bridge.simulator.nouns import Delivery, Webhook


def install(instance: Instance, webhook: Webhook) -> None:
    """Have the instance call the webhook when an activity can no longer change."""
    instance.webhook = webhook
    instance.on_due = lambda journal: _tell(instance, webhook, journal)


def _tell(instance: Instance, webhook: Webhook, journal: Journal) -> None:
    ticket = instance.tickets.get(journal.ticket)
    if ticket is None:
        return
    newer = instance.version == "17.6"
    lang = texts.language(instance.language)
    # Rendered for the system account: it sees everything, e-mail addresses included (A.8).
    shown = represent.ticket(instance, ticket, instance.system, embedded=True)
    if newer and journal.notes and "work_package_comment:comment" in webhook.events:
        activity = represent.activity(instance, ticket, journal, lang) | {"_embedded": {"workPackage": shown}}
        _send(webhook, {"action": "work_package_comment:comment", "activity": activity})
    action = "work_package:created" if journal.version == 1 else "work_package:updated"
    if action in webhook.events:
        body: represent.Json = {"action": action, "work_package": shown}
        if newer:
            body["actor"] = represent.person(instance.system, instance.people[journal.user])
        _send(webhook, body)


def _send(webhook: Webhook, body: represent.Json) -> None:
    raw = orjson.dumps(body)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if webhook.secret:
        headers["X-Op-Signature"] = "sha1=" + hmac.new(webhook.secret.encode(), raw, hashlib.sha1).hexdigest()
    webhook.deliver(Delivery(webhook.url, raw, headers))
