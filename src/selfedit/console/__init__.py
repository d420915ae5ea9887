"""The command line's kit: what commands share. It knows no command and no domain."""
