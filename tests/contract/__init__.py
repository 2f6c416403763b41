"""The published language: golden examples, generated papers, and what may not change."""
