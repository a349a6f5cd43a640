"""``evalkit schema``."""

from __future__ import annotations

import json
from typing import Any

import click

__all__ = ["SCHEMAS", "command", "schema_of"]

SCHEMAS = ("project", "workflow", "routes", "policies", "gate", "card", "case", "trace")


def schema_of(name: str) -> dict[str, Any]:
    """JSON Schema of a kind of file or record, as people write it: unknown keys are refused.

    Args:
        name: One of :data:`SCHEMAS`. ``case`` is a line of a golden set's JSON lines, short forms included.
    """
    from pydantic import TypeAdapter

    from evalkit.goldens.card import Card
    from evalkit.records import Trace
    from evalkit.workflow.gates import GateSpec
    from evalkit.workflow.policies import PolicyFile
    from evalkit.workflow.spec import RoutesSpec, WorkflowSpec

    kinds: dict[str, Any] = {
        "workflow": WorkflowSpec,
        "routes": RoutesSpec,
        "policies": PolicyFile,
        "gate": GateSpec,
        "card": Card,
        "trace": Trace,
    }
    made = {"project": _project_schema, "case": _case_schema}
    schema: dict[str, Any] = made[name]() if name in made else TypeAdapter(kinds[name]).json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _project_schema() -> dict[str, Any]:
    """The project with its workflows spelled out: they are read one by one, so the model itself takes anything."""
    from pydantic import Field, create_model

    from evalkit.workflow.project import ProjectSpec
    from evalkit.workflow.spec import WorkflowSpec

    described = Field(min_length=1, description=ProjectSpec.model_fields["workflows"].description)
    workflows: Any = (dict[str, str | WorkflowSpec], described)
    return create_model("ProjectSpec", __base__=ProjectSpec, workflows=workflows).model_json_schema()


def _case_schema() -> dict[str, Any]:
    """A case with its short forms: a text for a single question, and for a fact with one wording."""
    from pydantic import ConfigDict, create_model

    from evalkit.records import Case

    around = create_model("Around", __config__=ConfigDict(extra="forbid"), case=(Case, ...)).model_json_schema()
    kinds = around["$defs"]
    schema: dict[str, Any] = kinds.pop("Case")
    text = {"type": "string"}
    schema["properties"]["input"] = {"anyOf": [text, schema["properties"]["input"]]}
    facts = kinds["Expectation"]["properties"]["facts"]
    facts["items"] = {"anyOf": [text, facts["items"]]}
    return {**schema, "$defs": kinds}


@click.command("schema")
@click.argument("name", type=click.Choice(SCHEMAS))
def command(name: str) -> None:
    """Print the JSON Schema of NAME, for editors: `# yaml-language-server: $schema=…`."""
    click.echo(json.dumps(schema_of(name), indent=2))
