"""``evalkit schema``."""

from __future__ import annotations

import json
from typing import Any

import click

__all__ = ["SCHEMAS", "command", "schema_of"]

SCHEMAS = ("project", "workflow", "routes", "policies", "gate", "card", "case", "trace")


def schema_of(name: str) -> dict[str, Any]:
    """JSON Schema of a kind of file or record."""
    from pydantic import TypeAdapter

    from evalkit.goldens.card import Card
    from evalkit.records import Case, Trace
    from evalkit.workflow.gates import GateSpec
    from evalkit.workflow.policies import PolicyFile
    from evalkit.workflow.project import ProjectSpec
    from evalkit.workflow.spec import RoutesSpec, WorkflowSpec

    kinds: dict[str, Any] = {
        "project": ProjectSpec,
        "workflow": WorkflowSpec,
        "routes": RoutesSpec,
        "policies": PolicyFile,
        "gate": GateSpec,
        "card": Card,
        "case": Case,
        "trace": Trace,
    }
    schema: dict[str, Any] = TypeAdapter(kinds[name]).json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


@click.command("schema")
@click.argument("name", type=click.Choice(SCHEMAS))
def command(name: str) -> None:
    """Print the JSON Schema of NAME, for editors: `# yaml-language-server: $schema=…`."""
    click.echo(json.dumps(schema_of(name), indent=2))
