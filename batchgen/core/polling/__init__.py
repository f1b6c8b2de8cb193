"""The times of polls: forecasts of starts and ends, and the cheapest plans of polls."""
