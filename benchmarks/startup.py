"""What `evalkit --help` costs against a bare click program."""

from __future__ import annotations

from benchmarks.common import Table, cpu_of_command, medians

BARE = "import click\n@click.group()\ndef cli():\n    'A group.'\ncli(['--help'])"


def measure() -> Table:
    """CPU seconds of both, in turn."""
    ours, bare = medians(9, lambda: cpu_of_command("-m", "evalkit", "--help"), lambda: cpu_of_command("-c", BARE))
    rows = [
        ["`evalkit --help`", f"{ours:.3f}"],
        ["bare click `--help`", f"{bare:.3f}"],
        ["ratio", f"{ours / bare:.2f}"],
    ]
    return "Start-up", ["what", "CPU s"], rows
