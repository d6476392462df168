"""The whole way through the command line, as a user walks it."""

import pytest

pytest.register_assert_rewrite("tests.flow.flow")
