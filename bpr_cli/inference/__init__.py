"""The inference engine: the network on a backend and its devices, batch by batch."""
