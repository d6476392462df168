"""Real servers on loopback for the test suite: S3, HTTP files, STAC, Ray clusters, and a proxy that injects faults.

Each is a context manager that starts processes of its own on free ports of 127.0.0.1 and ends exactly those. A server
whose packages cannot be had on this machine raises ``ServerUnavailable``, and the test that wanted it skips with that
reason.
"""
