"""What the person who waits sees on standard error: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from evalkit.cli.common import note
from evalkit.text import log_safe

if TYPE_CHECKING:
    from evalkit.engine.execute import Progress

__all__ = ["ProgressDisplay"]

_LINE_SECONDS = 5.0
_BAR_SECONDS = 0.1
_WINDOW = 10.0
"""Seconds over which the rate is taken, so that the time left follows the target."""


@dataclass
class _Rate:
    """Trials a second, lately."""

    seen: list[tuple[float, int]] = field(default_factory=list)

    def add(self, now: float, done: int) -> float:
        """Trials a second; 0 where nothing is known yet."""
        self.seen.append((now, done))
        while len(self.seen) > 2 and self.seen[1][0] < now - _WINDOW:
            self.seen.pop(0)
        then, before = self.seen[0]
        return (done - before) / (now - then) if now > then else 0.0


class ProgressDisplay:
    """Shows progress. :meth:`tell` is the listener; call :meth:`stop` at the end.

    Args:
        quiet: Show nothing; what was done is remembered all the same.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._rates: dict[str, _Rate] = {}
        self._shown: dict[str, float] = {}
        self._last: dict[str, Progress] = {}
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        if not quiet and sys.stderr.isatty() and not os.environ.get("CI"):
            self._bar = _bar()
            self._bar.start()

    def tell(self, name: str, progress: Progress) -> None:
        """Take the progress of a workflow."""
        now = time.monotonic()
        known = self._last.get(name)
        first = known is None or progress.done < known.done
        self._last[name] = replace(progress)
        if self._quiet:
            return
        if first:  # also of a further round
            self._rates.pop(name, None)
        rate = self._rates.setdefault(name, _Rate()).add(now, progress.done)
        finished = progress.done >= progress.to_make
        pause = _LINE_SECONDS if self._bar is None else _BAR_SECONDS
        if not first and not finished and now - self._shown[name] < pause:
            return
        self._shown[name] = now
        if first:
            self._say(name, "plan", _begin(progress))
        if self._bar is not None:
            self._show_bar(name, progress, rate)
        elif not first and progress.to_make:
            self._say(name, "run", _made(progress, rate))
        if finished and not first and self._bar is None:
            self._grade(name, progress)

    def _say(self, name: str, step: str, text: str) -> None:
        line = log_safe(f"{name}: {step:<5}  {text}")
        if self._bar is None:
            note(line)
        else:  # above the bar
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _grade(self, name: str, progress: Progress) -> None:
        """Which graders could grade, while there is time to stop."""
        marks = [f"{grader} {f'! {count:,} errors' if count else '✔'}" for grader, count in
                 progress.grader_errors.items()]  # fmt: skip
        if marks:
            self._say(name, "grade", "  ".join(marks))

    def _show_bar(self, name: str, progress: Progress, rate: float) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, total=progress.total, info="")
        completed = progress.reused + progress.resumed + progress.done
        self._bar.update(self._tasks[name], total=progress.total, completed=completed, info=_state(progress, rate))

    def stop(self) -> None:
        """Take the bar away; what it ended with stays."""
        if self._bar is None:
            return
        self._bar.stop()
        self._bar = None
        for name, progress in self._last.items():
            if progress.to_make:
                self._say(name, "run", _made(progress, 0.0))
                self._grade(name, progress)

    def kept(self) -> str:
        """How much of what was begun is kept, for whoever interrupts it."""
        made = sum(progress.done + progress.resumed for progress in self._last.values())
        wanted = sum(progress.total - progress.reused for progress in self._last.values())
        return f"{made:,} of {wanted:,} trials are kept"


def _begin(progress: Progress) -> str:
    from evalkit.gate.words import count_of
    from evalkit.quantities import format_money

    resumed = f"{progress.resumed:,} made before, " if progress.resumed else ""
    text = f"{count_of(progress.total, 'trial')}, {progress.reused:,} reused, {resumed}{progress.to_make:,} to make"
    if progress.estimate_microusd is None:
        return text
    limit = f" (limit {format_money(progress.budget_microusd)})" if progress.budget_microusd is not None else ""
    return f"{text}, about {format_money(progress.estimate_microusd)}{limit}"


def _made(progress: Progress, rate: float) -> str:
    return f"{progress.done:,}/{progress.to_make:,} made, {_state(progress, rate)}"


def _state(progress: Progress, rate: float) -> str:
    """Rate, errors, spend against the budget, time left."""
    parts = [f"{rate:,.1f}/s" if rate < 100 else f"{rate:,.0f}/s"] if rate else []
    parts.append(f"{progress.errors:,} errors")
    limit = f" of ${progress.budget_microusd / 1e6:.2f}" if progress.budget_microusd is not None else ""
    parts.append(f"${progress.cost_microusd / 1e6:.4f}{limit} spent")
    left = progress.to_make - progress.done
    if rate and left:
        parts.append(f"{_duration(left / rate)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description:12}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[info]}"),
        console=Console(stderr=True),
        transient=True,
    )
