"""Providers from configuration: the ones declared in evalkit.yaml and the ones that need no declaration."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import ConfigError
from evalkit.providers import OpenAIChat, PriceTable, Provider, Replay
from evalkit.providers.http import is_header_value
from evalkit.redaction import Redactor
from evalkit.simulator import Simulator, simulated_prices
from evalkit.workflow.project import Project, ProviderSpec

__all__ = ["Targets", "price_table"]

_BUILT_IN: Mapping[str, ProviderSpec] = {
    "simulator": ProviderSpec(kind="simulator"),
    "openai": ProviderSpec(kind="openai", base_url="https://api.openai.com/v1", api_key_env="OPENAI_API_KEY"),
}


class Targets:
    """The providers of a project, made when they are first needed. Use as an async context manager.

    Args:
        project: The project.
        connections: Most connections of one provider at once.
    """

    def __init__(self, project: Project, connections: int = 64) -> None:
        self._project = project
        self._connections = connections
        self._made: dict[str, Provider] = {}
        self.secrets: list[str] = []

    async def __aenter__(self) -> Targets:  # noqa: PYI034 - not made to be subclassed
        return self

    async def __aexit__(self, *error: object) -> None:
        for provider in self._made.values():
            await provider.aclose()
        self._made.clear()

    def identity(self, name: str) -> Mapping[str, Any]:
        """What makes the answers of a provider its own; part of the fingerprint of a model pin."""
        return self.provider(name).identity

    def provider(self, name: str) -> Provider:
        """A provider by its name in ``provider:model``.

        Raises:
            ConfigError: when it is not declared, or its key is not in the environment.
        """
        if name not in self._made:
            self._made[name] = self._make(name, self._spec(name))
        return self._made[name]

    def providers(self, names: Iterable[str]) -> dict[str, Provider]:
        """Several providers by name."""
        return {name: self.provider(name) for name in names}

    def _spec(self, name: str) -> ProviderSpec:
        spec = self._project.spec.providers.get(name) or _BUILT_IN.get(name)
        if spec is None:
            known = sorted({*self._project.spec.providers, *_BUILT_IN})
            raise ConfigError(
                f"no provider `{name}`",
                file=self._project.source.path,
                key="providers",
                fix=f"declare it under `providers:`, or use one of {', '.join(known)}",
            )
        return spec

    def _make(self, name: str, spec: ProviderSpec) -> Provider:
        if spec.kind == "simulator":
            return Simulator(name)
        if spec.kind == "replay":
            return Replay(name, self._project.root / Path(spec.path or ""))
        key = self._key(name, spec)
        try:
            return OpenAIChat(name, spec.base_url or "", key, timeout=spec.timeout, connections=self._connections)
        except ConfigError as error:
            error.file, error.line = str(self._project.source.path), self._line(name)
            raise

    def _line(self, name: str) -> int | None:
        return self._project.source.line(("providers", name))

    def _key(self, name: str, spec: ProviderSpec) -> str | None:
        if spec.api_key_env is None:
            return None
        key = os.environ.get(spec.api_key_env, "").strip()
        if not key or not is_header_value(key):
            wrong = "holds characters that no key has" if key else "is not in the environment"
            raise ConfigError(
                f"the key of provider `{name}` {wrong}",
                file=self._project.source.path,
                line=self._line(name),
                key=f"providers.{name}.api_key_env",
                fix=f"export {spec.api_key_env}=…",
            )
        self.secrets.append(key)
        return key

    def redactor(self) -> Redactor:
        """Masks what the project says, and the keys in use."""
        rules = self._project.spec.redaction
        return Redactor(secrets=self.secrets, personal_data=rules.personal_data, keep=rules.keep)


def price_table(project: Project) -> PriceTable:
    """The project's prices, and those of the simulated models."""
    return PriceTable(simulated_prices()).with_prices(project.spec.prices)
