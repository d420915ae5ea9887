"""The command line: parse, call, print."""

from selfedit.cli.app import app, main

__all__ = ["app", "main"]
