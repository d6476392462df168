"""Tests, mirroring the tree; `tests/servers` starts the real servers they talk to."""
