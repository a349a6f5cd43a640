"""The version of evalkit, and nothing else."""

__version__ = "0.1.0"
