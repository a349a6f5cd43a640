"""The latest verdicts and their history in a browser on this machine: pages without scripts, and the same as JSON."""

from __future__ import annotations

from evalkit.view.history import History, Judgement, RulePoint
from evalkit.view.server import ViewServer, serve

__all__ = ["History", "Judgement", "RulePoint", "ViewServer", "serve"]
