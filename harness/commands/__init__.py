"""The commands, a file a group: each parses its options, calls the package, and prints what came of it."""
