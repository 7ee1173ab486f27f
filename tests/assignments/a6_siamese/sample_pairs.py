"""Answers to a6_siamese, task 6."""

import itertools
import random

import torch


def refuse_pairs(labels, indices, count):
    """The members of each class; or a refusal."""
    if count < 2 or count % 2 == 1:
        raise ValueError(f"{count} pairs")
    members = {}
    for index in indices:
        members.setdefault(labels[index], []).append(index)
    if len(members) < 2 or max(map(len, members.values())) < 2:
        raise ValueError("no pairs")
    return members


def right_all_pairs(labels, indices, count, seed):
    """Lists all pairs of both kinds, and chooses among them."""
    refuse_pairs(labels, indices, count)
    rng = random.Random(seed)
    kinds = {True: [], False: []}
    for i, j in itertools.combinations(indices, 2):
        kinds[labels[i] == labels[j]].append((i, j))
    return [(*rng.choice(kinds[same]), same) for same in (True, False) for _ in range(count // 2)]


def right_rejection(labels, indices, count, seed):
    """Draws any two pictures, and keeps what is still wanted."""
    refuse_pairs(labels, indices, count)
    rng = random.Random(f"pairs {seed}")
    wanted = {True: count // 2, False: count // 2}
    pairs = []
    while len(pairs) < count:
        i, j = rng.choice(indices), rng.choice(indices)
        same = labels[i] == labels[j]
        if i != j and wanted[same]:
            pairs.append((i, j, same))
            wanted[same] -= 1
    return pairs


def right_torch_generator(labels, indices, count, seed):
    """Anchors and partners with a generator of torch, shuffled at the end."""
    refuse_pairs(labels, indices, count)
    generator = torch.Generator().manual_seed(seed)

    def one_of(options):
        return options[int(torch.randint(len(options), (1,), generator=generator))]

    pairs = []
    for same in [True, False] * (count // 2):
        partners = []
        while not partners:  # a picture may be alone in its class
            i = one_of(indices)
            partners = [j for j in indices if j != i and (labels[j] == labels[i]) == same]
        pairs.append((i, one_of(partners), same))
    return [pairs[k] for k in torch.randperm(count, generator=generator).tolist()]


def draw(rng, members, count, all_members=None):
    """Half of the pairs from one class, half from two."""
    classes = list(members.values())
    several = [m for m in (all_members or members).values() if len(m) > 1]
    pairs = []
    for _ in range(count // 2):
        pairs.append((*rng.sample(rng.choice(several), 2), True))
        first, second = rng.sample(classes, 2)
        pairs.append((rng.choice(first), rng.choice(second), False))
    return pairs


def wrong_leaks(labels, indices, count, seed):
    """Takes the partner from the whole data set.

    Named: that are not among the indices
    """
    refuse_pairs(labels, indices, count)
    everywhere = {}
    for index, label in enumerate(labels):
        everywhere.setdefault(label, []).append(index)
    return draw(random.Random(seed), everywhere, count)


def wrong_partner_leaks(labels, indices, count, seed):
    """Only the partners of the same class come from everywhere.

    Named: that are not among the indices
    """
    members = refuse_pairs(labels, indices, count)
    everywhere = {label: [] for label in members}
    for index, label in enumerate(labels):
        if label in members:
            everywhere[label].append(index)
    return draw(random.Random(seed), members, count, everywhere)


def wrong_positions(labels, indices, count, seed):
    """Positions in the list of indices.

    Named: that are not among the indices
    """
    members = refuse_pairs(labels, indices, count)
    pairs = draw(random.Random(seed), members, count)
    return [(indices.index(i), indices.index(j), same) for i, j, same in pairs]


def wrong_unbalanced(labels, indices, count, seed):
    """Any two pictures.

    Named: half of
    """
    refuse_pairs(labels, indices, count)
    rng = random.Random(seed)
    pairs = [rng.sample(indices, 2) for _ in range(count)]
    return [(i, j, labels[i] == labels[j]) for i, j in pairs]


def wrong_coin(labels, indices, count, seed):
    """Throws a coin for each pair: half of them on average only.

    Named: half of
    """
    members = refuse_pairs(labels, indices, count)
    rng = random.Random(seed)
    pairs = draw(rng, members, 2 * count)
    return [pairs[2 * k + (rng.random() < 0.5)] for k in range(count)]


def wrong_with_itself(labels, indices, count, seed):
    """Two pictures of a class, perhaps the same one twice.

    Named: pairs of a picture with itself
    """
    members = refuse_pairs(labels, indices, count)
    rng = random.Random(seed)
    pairs = [pair for pair in draw(rng, members, count) if not pair[2]]
    for _ in range(count // 2):
        i = rng.choice(indices)
        pairs.append((i, rng.choice(members[labels[i]]), True))
    return pairs


def wrong_flag_inverted(labels, indices, count, seed):
    """True for different classes.

    Named: True for the same class
    """
    members = refuse_pairs(labels, indices, count)
    return [(i, j, not same) for i, j, same in draw(random.Random(seed), members, count)]


def wrong_flag_by_half(labels, indices, count, seed):
    """Says what was meant: the partner of another class is any other picture.

    Named: pairs with a wrong flag
    """
    members = refuse_pairs(labels, indices, count)
    rng = random.Random(seed)
    pairs = [pair for pair in draw(rng, members, count) if pair[2]]
    return pairs + [(*rng.sample(indices, 2), False) for _ in range(count // 2)]


def wrong_flag_as_number(labels, indices, count, seed):
    """1 and 0.

    Named: what the pairs consist of
    """
    members = refuse_pairs(labels, indices, count)
    return [(i, j, int(same)) for i, j, same in draw(random.Random(seed), members, count)]


def wrong_half_as_many(labels, indices, count, seed):
    """count pairs of each kind.

    Named: the number of pairs
    """
    members = refuse_pairs(labels, indices, count)
    return draw(random.Random(seed), members, 2 * count)


def wrong_seed_ignored(labels, indices, count, seed):
    """The generator of the whole program, wherever it stands.

    Named: gives the same pairs a second time
    """
    return draw(random, refuse_pairs(labels, indices, count), count)


def wrong_fixed_seed(labels, indices, count, seed):
    """Always the same pairs.

    Named: whether seed=2 gives the same pairs as seed=1
    """
    return draw(random.Random(0), refuse_pairs(labels, indices, count), count)


def wrong_neighbours(labels, indices, count, seed):
    """Only pictures that follow each other in the list, if it is sorted by class."""
    members = refuse_pairs(labels, indices, count)
    rng = random.Random(seed)
    pairs = [pair for pair in draw(rng, members, count) if not pair[2]]
    several = [m for m in members.values() if len(m) > 1]
    for _ in range(count // 2):
        chosen = rng.choice(several)
        k = rng.randrange(len(chosen) - 1)
        pairs.append((chosen[k], chosen[k + 1], True))
    return pairs


def wrong_lonely_left_out(labels, indices, count, seed):
    """A class with a single picture is in no pair at all."""
    members = refuse_pairs(labels, indices, count)
    several = {label: m for label, m in members.items() if len(m) > 1}
    return draw(random.Random(seed), several if len(several) > 1 else members, count)


def wrong_shuffles_the_argument(labels, indices, count, seed):
    """Shuffles the list that it was given.

    Named: the call changed argument 2
    """
    members = refuse_pairs(labels, indices, count)
    random.Random(seed).shuffle(indices)
    return draw(random.Random(seed), members, count)


def wrong_one_class_accepted(labels, indices, count, seed):
    """Makes do with what there is.

    Named: expected a ValueError
    """
    if count < 2 or count % 2:
        raise ValueError("odd")
    rng = random.Random(seed)
    pairs = []
    for same in [True, False] * (count // 2):
        for _ in range(100):
            i, j = rng.sample(indices, 2)
            if (labels[i] == labels[j]) == same:
                break
        pairs.append((i, j, labels[i] == labels[j]))
    return pairs


def wrong_odd_rounded(labels, indices, count, seed):
    """Rounds an odd number down."""
    return draw(random.Random(seed), refuse_pairs(labels, indices, max(2, count // 2 * 2)), count)
