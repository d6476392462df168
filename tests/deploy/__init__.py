"""Checks of deploy/ without a cluster: the tools that will read the files read them here."""
