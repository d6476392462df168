"""The whole way through the command line, as a user walks it."""
