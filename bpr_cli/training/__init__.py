"""Training of networks on patch sets. ``settings`` and ``recipe`` import neither NumPy nor PyTorch."""
