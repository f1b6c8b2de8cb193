"""Pure decisions: no file, socket, clock, loop, randomness or logging in here."""
