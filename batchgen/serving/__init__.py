"""What does a browser get? The page of a batch on loopback, followed live."""
