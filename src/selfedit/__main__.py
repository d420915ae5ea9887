"""`python -m selfedit`."""

from selfedit.cli import main

main()
