"""Speed of cnnlib against named peers; `python -m bench` runs everything here."""
