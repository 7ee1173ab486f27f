"""Networks that the course trained itself, with their weights, for use without a network."""

from cnnlib.pretrained.letters import LetterNet, letter_net, letters_card
from cnnlib.pretrained.shipped import DamagedWeightsError

__all__ = ["DamagedWeightsError", "LetterNet", "letter_net", "letters_card"]
