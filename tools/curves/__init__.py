"""Training curves that chapters show and do not compute again: one script for each page."""
