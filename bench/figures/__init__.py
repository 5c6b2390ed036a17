"""One module per figure. A measurement is a function of `quick` (whether a rough result will do) to its metrics."""
