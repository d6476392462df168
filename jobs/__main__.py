"""``python -m jobs``: the command, where its script is not on the path."""

from jobs.cli import main

main()
