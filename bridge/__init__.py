"""bridge: judges the status moves of an OpenProject against a written policy, and puts illegal ones back."""

__version__ = "0.1.0"
