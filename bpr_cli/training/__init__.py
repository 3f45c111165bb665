"""Training of networks on patch sets. ``settings`` and ``recipe`` do not import NumPy or PyTorch."""
