"""The policy: a text that its owner can read, made into verdicts. Pure; knows no clock, no file and no network.

``yamltext`` reads YAML with places, ``shapes`` and ``reading`` the vocabulary, ``contradictions`` what words alone do
not show; ``rules`` is what a file says and ``judging`` what follows from it.
"""

from bridge.domain.policy.judging import Policy, judge
from bridge.domain.policy.reading import load, schema
from bridge.domain.policy.rules import Exemption, Limits, Party, Rule

__all__ = ["Exemption", "Limits", "Party", "Policy", "Rule", "judge", "load", "schema"]
