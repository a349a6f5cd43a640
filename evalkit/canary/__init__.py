"""The canary: envelopes of both arms, sequential monitors, a decision."""

from evalkit.canary.decide import CanaryDecision, decide, run_hook
from evalkit.canary.envelope import Envelope, FolderSource, Violation
from evalkit.canary.monitor import Monitor, MonitorState

__all__ = ["CanaryDecision", "Envelope", "FolderSource", "Monitor", "MonitorState", "Violation", "decide", "run_hook"]
