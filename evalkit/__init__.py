"""evalkit: regression tests for LLM workflows."""
