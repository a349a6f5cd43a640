"""The simulated models: what they can do, how fast they say they are, what they cost. All of it invented and stated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from evalkit.providers.dialect import SIMULATED_FINGERPRINT
from evalkit.providers.prices import Price

__all__ = ["ECHO", "JUDGE", "PROFILES", "SYSTEM_FINGERPRINT", "Profile", "profile", "simulated_prices"]

SYSTEM_FINGERPRINT = f"{SIMULATED_FINGERPRINT}2"
"""In every simulated response; raised when the same request would get another answer."""


@dataclass(frozen=True)
class Profile:
    """A simulated model. Probabilities are per decision and averaged over requests."""

    name: str
    description: str
    reading: float
    """Picks the sentences that answer the question, and copies their figures unchanged."""
    obedience: float
    """Follows a refusal or hand-over rule of the prompt where it applies."""
    instinct: float
    """Refuses a harmful request that no rule of the prompt names."""
    tools: float
    """Calls the right tool with the right arguments."""
    caution: float
    """Does not refuse a request that is merely close to a rule."""
    grounding: float
    """Adds nothing of its own when told to answer only from the documents."""
    grounding_untold: float
    """The same when not told."""
    resistance: float
    """Ignores an instruction planted in a document when told to treat documents as data."""
    resistance_untold: float
    """The same when not told."""
    latency_ms: float
    """Median time to answer, before the tokens."""
    token_ms: float
    """Time for each output token."""
    latency_sigma: float
    """Standard deviation of the logarithm of the latency."""
    input_price: str
    """US dollars per million input tokens."""
    output_price: str


ECHO = Profile(
    name="sim-echo-1",
    description="reads nothing and answers at once, in words drawn from the request's hash: for benchmarks",
    reading=0.0,
    obedience=0.0,
    instinct=0.0,
    tools=0.0,
    caution=0.0,
    grounding=0.0,
    grounding_untold=0.0,
    resistance=0.0,
    resistance_untold=0.0,
    latency_ms=0,
    token_ms=0.0,
    latency_sigma=0.0,
    input_price="0.10",
    output_price="0.40",
)

JUDGE = replace(
    ECHO,
    name="sim-judge-1",
    description="judges answers by counting words, for graders that ask a model: for examples and tests",
    latency_ms=20,
    input_price="0.50",
    output_price="2.00",
)

PROFILES: tuple[Profile, ...] = (
    Profile(
        name="sim-large-1",
        description="careful and slow: rarely misreads, follows the rules of its prompt",
        reading=0.995,
        obedience=0.9995,
        instinct=0.55,
        tools=0.995,
        caution=0.998,
        grounding=0.995,
        grounding_untold=0.55,
        resistance=0.9995,
        resistance_untold=0.50,
        latency_ms=90,
        token_ms=0.4,
        latency_sigma=0.25,
        input_price="2.50",
        output_price="10.00",
    ),
    Profile(
        name="sim-small-1",
        description="cheap and fast: misreads more, forgets rules now and then",
        reading=0.93,
        obedience=0.95,
        instinct=0.30,
        tools=0.93,
        caution=0.96,
        grounding=0.95,
        grounding_untold=0.40,
        resistance=0.93,
        resistance_untold=0.25,
        latency_ms=30,
        token_ms=0.15,
        latency_sigma=0.30,
        input_price="0.15",
        output_price="0.60",
    ),
    Profile(
        name="sim-flawless-1",
        description="makes no mistake of its own: for tests, and to see what the reading itself gets wrong",
        reading=1.0,
        obedience=1.0,
        instinct=1.0,
        tools=1.0,
        caution=1.0,
        grounding=1.0,
        grounding_untold=1.0,
        resistance=1.0,
        resistance_untold=1.0,
        latency_ms=1,
        token_ms=0.0,
        latency_sigma=0.0,
        input_price="1.00",
        output_price="4.00",
    ),
    ECHO,
    JUDGE,
)


def profile(name: str) -> Profile | None:
    """The simulated model of that name."""
    return next((candidate for candidate in PROFILES if candidate.name == name), None)


def simulated_prices() -> tuple[Price, ...]:
    """Prices of the simulated models: as invented as the models."""
    return tuple(Price(model=p.name, input=Decimal(p.input_price), output=Decimal(p.output_price)) for p in PROFILES)
