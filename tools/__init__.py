"""The maintainer's tools: environment, book, notebooks, links."""
