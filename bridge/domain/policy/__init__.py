"""The policy: a text that its owner can read, made into verdicts. Pure; knows no clock, no file and no network.

``yamltext`` reads YAML with places, ``shapes`` and ``reading`` the vocabulary, ``contradictions`` what words alone do
not show; ``rules`` and ``policy`` are what a file says, ``judging`` is what follows from it for a move, ``survey`` for
all moves. ``cases`` are what its owner expects, ``picture`` and ``advice`` what they look at.
"""

from bridge.domain.policy.judging import judge
from bridge.domain.policy.policy import Policy
from bridge.domain.policy.reading import load, schema
from bridge.domain.policy.rules import Exemption, Limits, Party, Rule

__all__ = ["Exemption", "Limits", "Party", "Policy", "Rule", "judge", "load", "schema"]
