"""The seeded world that drives the compiled core of numi-bypass, and the naive models that judge it."""
