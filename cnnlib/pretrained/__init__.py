"""Networks that the course trained itself, with their weights, for use without a network."""

from cnnlib.pretrained.letters import DamagedWeightsError, LetterNet, letter_net, letters_card

__all__ = ["DamagedWeightsError", "LetterNet", "letter_net", "letters_card"]
