"""Runs whose processes are killed, and what must hold in the end."""
