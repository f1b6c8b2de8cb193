"""The fault language: `kinds` has its vocabulary, `table` all faults, `rules` the rules as text."""
