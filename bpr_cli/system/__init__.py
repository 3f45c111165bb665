"""Operating system: atomic files, paths, locks, journal, signals, threads, terminal and environment."""
