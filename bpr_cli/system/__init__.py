"""The machine: atomic files, paths, locks, signals, threads, the environment."""
