"""Models: the shared encoder with its adapters, the towers, the signals and their fusion."""
