"""How Zhida is run: the local stack of a laptop here, the city's manifests beside it."""
