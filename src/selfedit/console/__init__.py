"""The command line's kit: what commands share. It does not know any command or domain."""
