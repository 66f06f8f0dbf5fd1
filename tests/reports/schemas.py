"""The published schemas: of ``reports.yaml`` for editors, and of reports as JSON for programs.

``python -m tests.reports.schemas`` writes them anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bridge.reports import conventions, render_json

ROOT = Path(__file__).parents[2]


def published() -> Mapping[Path, str]:
    """Each file with what it should say."""
    schemas = {
        ROOT / "config/reports.schema.json": conventions.schema(),
        ROOT / "docs/report.schema.json": render_json.schema(),
    }
    return {path: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for path, schema in schemas.items()}


def main() -> None:
    for path, text in published().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
