"""Providers from configuration: the ones declared in evalkit.yaml and the ones that need no declaration."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import ConfigError
from evalkit.providers import PriceTable, Provider, Replay
from evalkit.providers.deployment import CallPolicy, ResilientProvider
from evalkit.providers.http import Timeouts, is_header_value
from evalkit.providers.vendor import HttpVendor
from evalkit.redaction import Redactor
from evalkit.simulator import Simulator, simulated_prices
from evalkit.workflow.kinds import IN_PROCESS, needed_key, written_kind
from evalkit.workflow.project import Project, ProviderSpec

__all__ = ["Targets", "price_table"]

_BUILT_IN: Mapping[str, ProviderSpec] = {
    "simulator": ProviderSpec(kind="simulator"),
    "openai": ProviderSpec(kind="openai", base_url="https://api.openai.com/v1", api_key_env="OPENAI_API_KEY"),
    "openai-responses": ProviderSpec(
        kind="openai-responses", base_url="https://api.openai.com/v1", api_key_env="OPENAI_API_KEY"
    ),
    "anthropic": ProviderSpec(kind="anthropic", base_url="https://api.anthropic.com", api_key_env="ANTHROPIC_API_KEY"),
    "gemini": ProviderSpec(
        kind="gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        api_key_env="GEMINI_API_KEY",
    ),
}


class Targets:
    """The providers of a project, made when they are first needed. Use as an async context manager.

    Args:
        project: The project.
        connections: Most calls of one model at once.
    """

    def __init__(self, project: Project, connections: int = 64) -> None:
        self._project = project
        self._connections = connections
        self._made: dict[str, Provider] = {}
        self._resilient: dict[str, ResilientProvider] = {}
        self.secrets: list[str] = []

    async def __aenter__(self) -> Targets:  # noqa: PYI034 - not made to be subclassed
        return self

    async def __aexit__(self, *error: object) -> None:
        for provider in self._made.values():
            await provider.aclose()
        self._made.clear()
        self._resilient.clear()

    def identity(self, name: str) -> Mapping[str, Any]:
        """What makes the answers of a provider its own; part of the fingerprint of a model pin."""
        return self.provider(name).identity

    def identity_without_key(self, name: str) -> Mapping[str, Any]:
        """The same where the key need not be there, because nothing is asked.

        Raises:
            ConfigError: when it is not declared.
        """
        made = self._made.get(name) or self._make(name, self._spec(name).model_copy(update={"api_key_env": None}))
        return made.identity

    def kind(self, name: str) -> str:
        """The kind of a provider.

        Raises:
            ConfigError: when it is not declared.
        """
        return self._spec(name).kind

    def provider(self, name: str) -> Provider:
        """A provider, one attempt a call, by its name in ``provider:model``.

        Raises:
            ConfigError: when it is not declared, or its key is not in the environment.
        """
        if name not in self._made:
            self._made[name] = self._make(name, self._spec(name))
        return self._made[name]

    def providers(self, names: Iterable[str], *, wait_when_open: bool = True) -> dict[str, Provider]:
        """Several providers by name, each with its limits, retries and circuit breaker.

        Args:
            names: Their names.
            wait_when_open: Whether calls wait for a target that is left alone because it fails; else they fail at
                once, so that a fallback takes over.
        """
        return {name: self._with_policy(name, wait_when_open) for name in names}

    def needed_variables(self, name: str) -> Mapping[str, str]:
        """Variables that each case must have for a provider's template, with the place that needs them."""
        found: Mapping[str, str] = getattr(self.provider(name), "needed", {})
        return found

    def _with_policy(self, name: str, wait_when_open: bool) -> Provider:
        spec = self._spec(name)
        if spec.kind in IN_PROCESS:
            return self.provider(name)
        found = self._resilient.get(name)
        if found is None:
            policy = CallPolicy(
                attempts=spec.attempts,
                deadline=spec.deadline,
                concurrency=min(self._connections, spec.concurrency or self._connections),
                requests_per_minute=spec.requests_per_minute,
                tokens_per_minute=spec.tokens_per_minute,
            )
            found = self._resilient[name] = ResilientProvider(self.provider(name), policy)
        return found if wait_when_open else found.failing_fast()

    def _spec(self, name: str) -> ProviderSpec:
        spec = self._project.spec.providers.get(name) or _BUILT_IN.get(name) or _written(name)
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
        try:
            return self._of_kind(name, spec)
        except ConfigError as error:
            if error.file is None and name in self._project.spec.providers:
                error.file, error.line = str(self._project.source.path), self._line(name)
            raise

    def _of_kind(self, name: str, spec: ProviderSpec) -> Provider:
        root = self._project.root
        if spec.kind == "simulator":
            return Simulator(name)
        if spec.kind == "replay":
            return Replay(name, root / Path(spec.path or ""))
        if spec.kind == "python":
            from evalkit.providers.python_callable import PythonCallable

            return PythonCallable(
                name, spec.target or "", root, version=spec.version, timeout=spec.timeout, concurrency=self._connections
            )
        if spec.kind == "command":
            from evalkit.providers.app import AppSpec
            from evalkit.providers.command import Command

            mapping = AppSpec(request=spec.request, answer=spec.answer)
            return Command(
                name, spec.command or "", root, spec=mapping, version=spec.version, timeout=spec.timeout,
                concurrency=self._connections,
            )  # fmt: skip
        return HttpVendor(
            name,
            _dialect(spec),
            base_url=spec.base_url or "",
            key=self._key(name, spec),
            timeouts=Timeouts(spec.connect_timeout, spec.first_byte_timeout or spec.timeout, spec.timeout),
            stream=spec.stream,
            whole=spec.kind == "app",
            version=spec.version,
        )

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


def _written(target: str) -> ProviderSpec | None:
    """What is said of a target that is written straight into a workflow."""
    kind = written_kind(target)
    if kind is None:
        return None
    return ProviderSpec.model_validate({"kind": kind, needed_key(kind): target.removeprefix(f"{kind}:").strip()})


def _dialect(spec: ProviderSpec) -> Any:
    """The dialect of a kind; a vendor's module is imported when it is used."""
    if spec.kind == "openai":
        from evalkit.providers.openai_chat import OpenAIChatDialect

        return OpenAIChatDialect()
    if spec.kind == "azure":
        from evalkit.providers.azure import AzureDialect

        return AzureDialect(spec.api_version) if spec.api_version else AzureDialect()
    if spec.kind == "openai-responses":
        from evalkit.providers.openai_responses import OpenAIResponsesDialect

        return OpenAIResponsesDialect()
    if spec.kind == "anthropic":
        from evalkit.providers.anthropic import AnthropicMessages

        return AnthropicMessages()
    if spec.kind == "gemini":
        from evalkit.providers.gemini import GeminiGenerateContent

        return GeminiGenerateContent()
    from evalkit.providers.app import AppDialect, AppSpec

    return AppDialect(AppSpec(request=spec.request, answer=spec.answer))


def price_table(project: Project) -> PriceTable:
    """The project's prices, then those that ship with evalkit and those of the simulated models."""
    from evalkit.providers.prices import PriceList
    from evalkit.providers.prices_sources import read_prices, shipped_prices

    own = project.spec.prices
    prices = read_prices(project.root / own) if isinstance(own, str) else own
    return PriceTable(prices, behind=(PriceList("simulated", simulated_prices()), shipped_prices()))
