"""The sentences that a French or an English reader gets from OpenProject: activity lines and error messages.

The simulator's own, learnt from the recordings (contract §3.2); never shared with ``bridge.openproject``, so that one
checks the other.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import lru_cache

LANGUAGES = ("fr", "en")
LONG = 100
"""From this many characters on, a value gets a line break before it (contract §3.2)."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an activity, as ``details`` shows it."""

    raw: str
    html: str


@dataclass(frozen=True, slots=True)
class _Words:
    changed: str
    set_to: str
    deleted: str
    long_changed: str
    long_set: str
    long_deleted: str
    details: str
    retracted: str


_WORDS = {
    "fr": _Words(
        "{label} changé de {old} {linebreak}à {new}",
        "{label} mis à {value}",
        "{label} supprimé ({old})",
        "{label} changé ({link})",
        "{label} mis ({link})",
        "{label} supprimé ({link})",
        "Détails",
        "Les modifications ont été retirées.",
    ),
    "en": _Words(
        "{label} changed from {old} {linebreak}to {new}",
        "{label} set to {value}",
        "{label} deleted ({old})",
        "{label} changed ({link})",
        "{label} set ({link})",
        "{label} deleted ({link})",
        "Details",
        "The changes were retracted.",
    ),
}

_LABELS = {
    "fr": {
        "type": "Type",
        "project": "Projet",
        "subject": "Sujet",
        "description": "Description",
        "status": "Statut",
        "assignee": "Assigné à",
        "priority": "Priorité",
        "author": "Auteur",
        "responsible": "Responsable",
        "parent": "Parent",
        "id": "Id",
        "createdAt": "Créé le",
        "updatedAt": "Mis à jour le",
        "journalNotes": "Commentaire",
        "journalInternal": "Journal interne",
    },
    "en": {
        "type": "Type",
        "project": "Project",
        "subject": "Subject",
        "description": "Description",
        "status": "Status",
        "assignee": "Assignee",
        "priority": "Priority",
        "author": "Author",
        "responsible": "Accountable",
        "parent": "Parent",
        "id": "Id",
        "createdAt": "Created on",
        "updatedAt": "Updated on",
        "journalNotes": "Comment",
        "journalInternal": "Journal internal",
    },
}

# The two lines about scheduling that every creation carries (recording 03).
_CREATION_EXTRAS = {
    ("17.6", "fr"): (
        (
            "Mode de planification régler sur le mode manuel",
            "<strong>Mode de planification</strong> régler sur le mode manuel",
        ),
        (
            "Jours ouvrés mis à jours ouvrés seulement",
            "<strong>Jours ouvrés</strong> mis à <i>jours ouvrés seulement</i>",
        ),
    ),
    ("17.6", "en"): (
        ("Scheduling mode set to Manual", "<strong>Scheduling mode</strong> set to Manual"),
        ("Working days set to working days only", "<strong>Working days</strong> set to <i>working days only</i>"),
    ),
    ("15.4", "fr"): (
        ("Planification manuelle désactivé", "<strong>Planification manuelle</strong> désactivé"),
        (
            "Jours ouvrés mis à jours ouvrés seulement",
            "<strong>Jours ouvrés</strong> mis à <i>jours ouvrés seulement</i>",
        ),
    ),
    ("15.4", "en"): (
        ("Manual scheduling deactivated", "<strong>Manual scheduling</strong> deactivated"),
        ("Working days set to working days only", "<strong>Working days</strong> set to <i>working days only</i>"),
    ),
}


def language(wanted: str) -> str:
    """The language that is spoken to a reader who asked for this one."""
    return wanted if wanted in LANGUAGES else "en"


def label(attribute: str, lang: str) -> str:
    """An attribute's name, as activities and error messages call it."""
    return _LABELS[lang].get(attribute, attribute[:1].upper() + attribute[1:])


def escaped(text: str) -> str:
    """HTML-escaped as Rails does it (``&#39;``, not ``&#x27;``)."""
    return html.escape(text).replace("&#x27;", "&#39;")


@lru_cache(maxsize=4096)  # a world has few statuses and many moves
def change(name: str, old: str | None, new: str | None, lang: str) -> Line:
    """A value changed, set (``old`` None) or deleted (``new`` None). ``name`` is the label as shown."""
    words = _WORDS[lang]
    strong = f"<strong>{escaped(name)}</strong>"
    if old is not None and new is not None:
        old_html, new_html = escaped(old), escaped(new)
        raw_break = "\n" if max(len(old), len(new)) >= LONG else ""
        html_break = "<br/>" if max(len(old_html), len(new_html)) >= LONG else ""
        return Line(
            words.changed.format(label=name, old=old, linebreak=raw_break, new=new),
            words.changed.format(
                label=strong, old=f"<i>{old_html}</i>", linebreak=html_break, new=f"<i>{new_html}</i>"
            ),
        )
    if new is not None:
        return Line(
            words.set_to.format(label=name, value=new),
            words.set_to.format(label=strong, value=f"<i>{escaped(new)}</i>"),
        )
    return Line(
        words.deleted.format(label=name, old=old),
        words.deleted.format(label=strong, old=f"<strike><i>{escaped(old or '')}</i></strike>"),
    )


def long_text(name: str, old: bool, new: bool, journal: int, key: str, ticket: int, lang: str) -> Line:
    """A long text changed, was set or deleted: OpenProject shows a link to a page of differences, never the text."""
    words = _WORDS[lang]
    template = words.long_changed if old and new else words.long_set if new else words.long_deleted
    path = f"/journals/{journal}/diff/{key}"
    query = f"activity_page=work_packages%2F{ticket}"
    link = f'<a target="_top" class="diff-details" href="{path}?{query}">{words.details}</a>'
    strong = f"<strong>{escaped(name)}</strong>"
    return Line(template.format(label=name, link=path), template.format(label=strong, link=link))


@lru_cache
def creation_extras(version: str, lang: str) -> tuple[Line, ...]:
    """The lines of a first activity that say nothing about anything a person did."""
    return tuple(Line(raw, marked_up) for raw, marked_up in _CREATION_EXTRAS[version, lang])


def retraction(lang: str) -> str:
    """The note on an activity that is left without a change or a comment (contract §3.6), as Markdown."""
    return f"_{_WORDS[lang].retracted}_"


_MESSAGES = {
    "fr": {
        "unauthenticated": "Vous devez être authentifié pour accéder à cette ressource.",
        "wrong_credentials": "Vous n'avez pas fourni les informations d'identification correctes.",
        "missing_permission": "Vous n'êtes pas autorisé à accéder à cette ressource.",
        "not_found": "La ressource demandée est introuvable.",
        "ticket_not_found": "Le lot de travaux que vous cherchez est introuvable ou a été supprimé.",
        "conflict": "Impossible de mettre à jour la ressource en raison de modifications conflictuelles.",
        "several": "Plusieurs contraintes de champ n'ont pas été respectées.",
        "blank": "{label} ne peut pas être vide.",
        "no_transition": "{label} n'est pas valide, car aucune transition valide n'existe de l'ancien vers le nouveau "
        "statut pour les rôles de l'utilisateur actuel.",
        "invalid": "{label} n'est pas valide.",
        "read_only": "{label} a tenté d'être écrit mais n'est pas accessible en écriture.",
        "wrong_link": '"{href}" est invalide, car la propriété "{property}" requiert un lien de type "{expected}".',
        "not_json": "La demande n'a pas pu être analysée au format JSON.",
        "wrong_type": "CONTENT-TYPE attendu «application/json application/hal+json » , mais est à «{found} ».",
        "bad_request": "Mauvaise requête : {what}",
        "forbidden_timestamps": "Les horodatages contiennent des valeurs interdites : {what}",
        "enterprise": "{label} nécessite au minimum l'abonnement Abonnement Enterprise Professional.",
        "disabled_in_project": "{label} est désactivé pour ce projet.",
        "internal_error": "Une erreur interne s'est produite.{what}",
        "unknown_select": "Les requêtes demandée de {unknown} ne sont pas prises en charge. Les sélections prises en "
        "charge sont {known}.",
        "filter_values": "{label} Les valeurs du filtre sont invalides.",
        "filter_unknown": "{label} le filtre n'existe pas.",
        "filter_operator": "{label} {operator} ne correspond à aucune des valeurs autorisées. et Les valeurs du filtre "
        "sont invalides.",
        "filter_time": "{label} n'est pas une heure valide.",
        "sort_unknown": "Impossible de trier par colonne\xa0: {what}",
        "oauth_client": "L'authentification du client a échoué en raison d'un client inconnu, d'une authentification "
        "du client non supportée ou d'une méthode d'authentification non supportée.",
        "as_is": "{what}",
        "operator_17.6": "Opérateur",
        "operator_15.4": "Operator",
    },
    "en": {
        "unauthenticated": "You need to be authenticated to access this resource.",
        "wrong_credentials": "You did not provide the correct credentials.",
        "missing_permission": "You are not authorized to access this resource.",
        "not_found": "The requested resource could not be found.",
        "ticket_not_found": "The work package you are looking for cannot be found or has been deleted.",
        "conflict": "Could not update the resource because of conflicting modifications.",
        "several": "Multiple field constraints have been violated.",
        "blank": "{label} can't be blank.",
        "no_transition": "{label} is invalid because no valid transition exists from old to new status for the current "
        "user's roles.",
        "invalid": "{label} is invalid.",
        "read_only": "{label} was attempted to be written but is not writable.",
        "wrong_link": 'For property "{property}" a link like "{expected}" is expected, but got "{href}".',
        "not_json": "The request could not be parsed as JSON.",
        "wrong_type": "Expected CONTENT-TYPE to be 'application/json application/hal+json' but got '{found}'.",
        "bad_request": "Bad request: {what}",
        "forbidden_timestamps": "Timestamps contain forbidden values: {what}",
        "enterprise": "{label} requires at least the Professional enterprise plan.",
        "disabled_in_project": "{label} is disabled for this project.",
        "internal_error": "An internal error has occurred.{what}",
        "unknown_select": "Requested signaling of {unknown} is not supported. Supported signals are {known}.",
        "filter_values": "{label} filter has invalid values.",
        "filter_unknown": "{label} filter does not exist.",
        "filter_operator": "{label} {operator} is not set to one of the allowed values. and filter has invalid values.",
        "filter_time": "{label} is not a valid time.",
        "sort_unknown": "Can't sort by column: {what}",
        "oauth_client": "Client authentication failed due to unknown client, no client authentication included, or "
        "unsupported authentication method.",
        "as_is": "{what}",
        "operator_17.6": "Operator",
        "operator_15.4": "Operator",
    },
}


def message(key: str, lang: str, **values: object) -> str:
    """An error message. A value ``attribute`` is also offered to the template as its localised ``label``."""
    if "attribute" in values and "label" not in values:
        values["label"] = label(str(values["attribute"]), lang)
    return _MESSAGES[lang][key].format(**values)
