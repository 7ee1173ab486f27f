"""cnnlib: the readable PyTorch library that the chapters and assignments of the course run on."""

__version__ = "0.1.0"
