"""The networks that predict a patch, by name in ``registry``."""
