"""Zhida on Kubernetes: base, components, overlays; what is generated from code; the trial run."""
