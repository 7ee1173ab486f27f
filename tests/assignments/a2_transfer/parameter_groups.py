"""Answers to a2_transfer, task 6."""

import math


def check_stages(model, stages):
    """Raises the ValueErrors that the task asks for."""
    names = [name for name, _ in model.named_parameters()]
    for stage in stages:
        if not any(name.startswith(stage + ".") for name in names):
            raise ValueError(f"unknown stage {stage}")
    for name, parameter in model.named_parameters():
        in_stage = any(name.startswith(stage + ".") for stage in stages)
        if parameter.requires_grad and not in_stage:
            raise ValueError(f"{name} is in no stage")


def right_one_group_each(model, stages, lr, factor, weight_decay):
    """A group for each parameter."""
    check_stages(model, stages)
    groups = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        (stage,) = (i for i, s in enumerate(stages) if name.startswith(s + "."))
        groups.append(
            {
                "params": [parameter],
                "lr": lr * math.pow(factor, len(stages) - 1 - stage),
                "weight_decay": weight_decay if len(parameter.shape) > 1 else 0.0,
                "name": name,
            }
        )
    return groups


def right_walking_back_from_the_head(model, stages, lr, factor, weight_decay):
    """Goes through the modules of each stage, the head first."""
    check_stages(model, stages)
    groups = []
    for stage in reversed(stages):
        decay = {"params": [], "lr": lr, "weight_decay": weight_decay}
        no_decay = {"params": [], "lr": lr, "weight_decay": 0}
        for parameter in model.get_submodule(stage).parameters():
            if parameter.requires_grad:
                (no_decay if parameter.dim() < 2 else decay)["params"].append(parameter)
        groups += [decay, no_decay]
        lr *= factor
    return [group for group in groups if group["params"]]


def build(model, stages, rate_of, decay_of, frozen=False, dot="."):
    return [
        {"params": [parameter], "lr": rate_of(number), "weight_decay": decay_of(name, parameter)}
        for number, stage in enumerate(stages)
        for name, parameter in model.named_parameters()
        if name.startswith(stage + dot) and (parameter.requires_grad or frozen)
    ]


def wrong_biases_decay(model, stages, lr, factor, weight_decay):
    """Everything decays.

    Named: biases and norms get 0
    """
    check_stages(model, stages)
    last = len(stages) - 1
    return build(model, stages, lambda i: lr * factor ** (last - i), lambda n, p: weight_decay)


def wrong_norm_weights_decay(model, stages, lr, factor, weight_decay):
    """Only what is called bias does not decay.

    Named: batch norm layer has one dimension
    """
    check_stages(model, stages)
    last = len(stages) - 1
    return build(
        model,
        stages,
        lambda i: lr * factor ** (last - i),
        lambda n, p: 0.0 if n.endswith("bias") else weight_decay,
    )


def wrong_rates_reversed(model, stages, lr, factor, weight_decay):
    """The first stage gets the largest rate.

    Named: the last stage gets the full rate, the first one the smallest
    """
    check_stages(model, stages)
    return build(
        model,
        stages,
        lambda i: lr * factor**i,
        lambda n, p: weight_decay if p.ndim > 1 else 0.0,
    )


def wrong_head_scaled_too(model, stages, lr, factor, weight_decay):
    """Counts the steps from one behind the head.

    Named: without the factor
    """
    check_stages(model, stages)
    return build(
        model,
        stages,
        lambda i: lr * factor ** (len(stages) - i),
        lambda n, p: weight_decay if p.ndim > 1 else 0.0,
    )


def wrong_factor_once(model, stages, lr, factor, weight_decay):
    """All stages but the head get the same rate.

    Named: once for every stage
    """
    check_stages(model, stages)
    return build(
        model,
        stages,
        lambda i: lr if i == len(stages) - 1 else lr * factor,
        lambda n, p: weight_decay if p.ndim > 1 else 0.0,
    )


def wrong_frozen_included(model, stages, lr, factor, weight_decay):
    """Hands frozen parameters to the optimiser.

    Named: frozen parameters have no place
    """
    check_stages(model, stages)
    last = len(stages) - 1
    return build(
        model,
        stages,
        lambda i: lr * factor ** (last - i),
        lambda n, p: weight_decay if p.ndim > 1 else 0.0,
        frozen=True,
    )


def wrong_twice(model, stages, lr, factor, weight_decay):
    """A group with all parameters of a stage, and another one with those that do not decay."""
    check_stages(model, stages)
    last = len(stages) - 1
    groups = build(model, stages, lambda i: lr * factor ** (last - i), lambda n, p: weight_decay)
    flat = [p for group in groups for p in group["params"] if p.ndim < 2]
    return [*groups, {"params": flat, "lr": lr, "weight_decay": 0.0}]


def wrong_prefix_without_dot(model, stages, lr, factor, weight_decay):
    """Stage 1 takes the parameters of stages 10 and 11 as well."""
    check_stages(model, stages)
    last = len(stages) - 1
    return build(
        model,
        stages,
        lambda i: lr * factor ** (last - i),
        lambda n, p: weight_decay if p.ndim > 1 else 0.0,
        dot="",
    )


def wrong_forgets_silently(model, stages, lr, factor, weight_decay):
    """Says nothing about parameters that are in no stage."""
    check_stages(model, [*stages, *(name for name, _ in model.named_children())])
    last = len(stages) - 1
    return build(
        model,
        stages,
        lambda i: lr * factor ** (last - i),
        lambda n, p: weight_decay if p.ndim > 1 else 0.0,
    )


def wrong_no_rate(model, stages, lr, factor, weight_decay):
    """Leaves the learning rate to the optimiser's default.

    Named: what is missing in group 0
    """
    check_stages(model, stages)
    decaying = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    return [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def wrong_frozen_stage_refused(model, stages, lr, factor, weight_decay):
    """Takes a stage that is frozen for one that does not exist."""
    check_stages(model, stages)
    last = len(stages) - 1
    for stage in stages:
        if not any(p.requires_grad for p in model.get_submodule(stage).parameters()):
            raise ValueError(f"nothing in stage {stage}")
    return build(
        model,
        stages,
        lambda i: lr * factor ** (last - i),
        lambda n, p: weight_decay if p.ndim > 1 else 0.0,
    )
