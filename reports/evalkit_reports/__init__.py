"""Renderers of verdicts: terminal, HTML, Markdown, JUnit and JSON, registered by entry point."""
