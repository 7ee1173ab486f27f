"""Speed of cnnlib against named peers, and of the book; `python -m bench` runs everything here."""
