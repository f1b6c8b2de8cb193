"""The Python interface: `Batch`, and the plain values that it returns."""
