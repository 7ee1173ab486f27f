"""Answers to a2_transfer, task 4."""


def right_by_splitting_names(model, part, trainable):
    """Compares the beginning of the list of names, and counts with sums."""
    wanted = part.split(".") if part else []
    chosen = [
        parameter
        for name, parameter in model.named_parameters()
        if name.split(".")[: len(wanted)] == wanted
    ]
    if not chosen:
        raise ValueError(part)
    for parameter in chosen:
        parameter.requires_grad = trainable
    numbers = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, on in numbers if on), sum(n for n, on in numbers if not on)


def right_by_submodule(model, part, trainable):
    """Finds the module or the parameter, and lets nn.Module do the rest."""
    parameters = dict(model.named_parameters())
    modules = dict(model.named_modules())
    if part in parameters:
        parameters[part].requires_grad_(trainable)
    elif part in modules and any(True for _ in modules[part].parameters()):
        modules[part].requires_grad_(trainable)
    else:
        raise ValueError(f"no parameters in {part}")
    total = sum(p.numel() for p in parameters.values())
    learning = sum(p.numel() for p in parameters.values() if p.requires_grad)
    return learning, total - learning


def counts(model):
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return learning, sum(p.numel() for p in model.parameters()) - learning


def wrong_prefix_without_dot(model, part, trainable):
    """Takes stem2 for a part of stem.

    Named: stem2 is another part
    """
    chosen = [p for n, p in model.named_parameters() if n.startswith(part)]
    if not chosen:
        raise ValueError
    for parameter in chosen:
        parameter.requires_grad_(trainable)
    return counts(model)


def wrong_anywhere_in_the_name(model, part, trainable):
    """Looks for the part anywhere in a name."""
    chosen = [p for n, p in model.named_parameters() if part in n.split(".") or part in ("", n)]
    chosen += [p for n, p in model.named_parameters() if "." in part and n.startswith(part + ".")]
    if not chosen:
        raise ValueError
    for parameter in chosen:
        parameter.requires_grad_(trainable)
    return counts(model)


def wrong_on_modules(model, part, trainable):
    """Sets requires_grad on modules, which is only an attribute of theirs.

    Named: belongs to each parameter
    """
    chosen = [m for n, m in model.named_modules() if part in ("", n) or n.startswith(part + ".")]
    if not chosen:
        raise ValueError
    for module in chosen:
        module.requires_grad = trainable
    return counts(model)


def wrong_on_state_dict(model, part, trainable):
    """Sets requires_grad on the detached copies in the state dict.

    Named: belongs to each parameter
    """
    chosen = [
        value
        for name, value in model.state_dict().items()
        if (part in ("", name) or name.startswith(part + ".")) and value.is_floating_point()
    ]
    if not chosen:
        raise ValueError
    for value in chosen:
        value.requires_grad = trainable
    return counts(model)


def wrong_counts_tensors(model, part, trainable):
    """Counts tensors, not the values in them.

    Named: numbers of tensors
    """
    chosen = [p for n, p in model.named_parameters() if part in ("", n) or n.startswith(part + ".")]
    if not chosen:
        raise ValueError
    for parameter in chosen:
        parameter.requires_grad_(trainable)
    flags = [p.requires_grad for p in model.parameters()]
    return flags.count(True), flags.count(False)


def wrong_rest_is_set_too(model, part, trainable):
    """Gives the rest of the model the opposite setting.

    Named: the rest of the stem stays frozen
    """
    names = [n for n, _ in model.named_parameters() if part in ("", n) or n.startswith(part + ".")]
    if not names:
        raise ValueError
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trainable if name in names else True)
    return counts(model)


def wrong_silent_about_typing_errors(model, part, trainable):
    """Freezes nothing and says nothing if the name is wrong."""
    for name, parameter in model.named_parameters():
        if part in ("", name) or name.startswith(part + "."):
            parameter.requires_grad_(trainable)
    return counts(model)


def wrong_counts_buffers(model, part, trainable):
    """Counts what does not learn as the rest of the state dict, buffers included.

    Named: buffers, not parameters
    """
    chosen = [p for n, p in model.named_parameters() if part in ("", n) or n.startswith(part + ".")]
    if not chosen:
        raise ValueError
    for parameter in chosen:
        parameter.requires_grad_(trainable)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return learning, sum(v.numel() for v in model.state_dict().values()) - learning


def wrong_counts_of_the_part(model, part, trainable):
    """Says how many numbers were frozen, and how many there are."""
    chosen = [p for n, p in model.named_parameters() if part in ("", n) or n.startswith(part + ".")]
    if not chosen:
        raise ValueError
    for parameter in chosen:
        parameter.requires_grad_(trainable)
    return sum(p.numel() for p in model.parameters()), sum(p.numel() for p in chosen)


def wrong_sets_eval_mode(model, part, trainable):
    """Puts the model into evaluation mode as well."""
    chosen = [p for n, p in model.named_parameters() if part in ("", n) or n.startswith(part + ".")]
    if not chosen:
        raise ValueError
    for parameter in chosen:
        parameter.requires_grad_(trainable)
    model.eval()
    return counts(model)


def wrong_key_error(model, part, trainable):
    """Raises what get_submodule raises."""
    parameters = dict(model.named_parameters())
    module = parameters[part] if part in parameters else model.get_submodule(part)
    module.requires_grad_(trainable)
    return counts(model)
