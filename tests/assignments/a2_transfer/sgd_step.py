"""Answers to a2_transfer, task 3."""

import torch


def right_in_place_on_copies(
    weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False
):
    """Works in place, on copies."""
    if min(lr, weight_decay, momentum) < 0:
        raise ValueError("negative")
    new_weight = weight.clone()
    new_velocity = torch.zeros_like(weight) if velocity is None else velocity.clone()
    new_velocity.mul_(momentum).add_(grad)
    if decoupled:
        new_weight.mul_(1 - lr * weight_decay)
    else:
        new_velocity.add_(weight, alpha=weight_decay)
    new_weight.sub_(lr * new_velocity)
    return new_weight, new_velocity


def right_one_formula(weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False):
    """Adds the decay in the one place or the other."""
    for value in (lr, weight_decay, momentum):
        if value < 0:
            raise ValueError(value)
    decay = weight_decay * weight
    inside, outside = (0 * decay, decay) if decoupled else (decay, 0 * decay)
    past = 0 if velocity is None else momentum * velocity
    new_velocity = past + grad + inside
    return weight - lr * (new_velocity + outside), new_velocity


def refuse(*values):
    """Raises the ValueError that the task asks for."""
    if min(values) < 0:
        raise ValueError("negative")


def remember(velocity, momentum, grad):
    return grad.clone() if velocity is None else momentum * velocity + grad


def wrong_uphill(weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False):
    """Follows the gradient.

    Named: against the gradient
    """
    refuse(lr, weight_decay, momentum)
    velocity = remember(velocity, momentum, grad + (not decoupled) * weight_decay * weight)
    return weight + lr * velocity - decoupled * lr * weight_decay * weight, velocity


def wrong_no_decay(weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False):
    """Has no L2 part.

    Named: the decay is missing
    """
    refuse(lr, weight_decay, momentum)
    velocity = remember(velocity, momentum, grad)
    return weight - lr * velocity - decoupled * lr * weight_decay * weight, velocity


def wrong_factor_two(weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False):
    """Takes the gradient of lambda w squared.

    Named: without a factor of 2
    """
    refuse(lr, weight_decay, momentum)
    velocity = remember(velocity, momentum, grad + (not decoupled) * 2 * weight_decay * weight)
    return weight - lr * velocity - decoupled * lr * weight_decay * weight, velocity


def wrong_sign_of_decay(weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False):
    """Makes weights grow.

    Named: weights grow
    """
    refuse(lr, weight_decay, momentum)
    velocity = remember(velocity, momentum, grad - (not decoupled) * weight_decay * weight)
    return weight - lr * velocity + decoupled * lr * weight_decay * weight, velocity


def wrong_always_decoupled(weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False):
    """Decay never enters the velocity; the first step hides it.

    Named: goes into the velocity too
    """
    refuse(lr, weight_decay, momentum)
    velocity = remember(velocity, momentum, grad)
    return weight - lr * velocity - lr * weight_decay * weight, velocity


def wrong_never_decoupled(weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False):
    """Ignores the last argument.

    Named: does not touch the velocity
    """
    refuse(lr, weight_decay, momentum)
    velocity = remember(velocity, momentum, grad + weight_decay * weight)
    return weight - lr * velocity, velocity


def wrong_decay_without_rate(
    weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False
):
    """Decoupled decay without the learning rate.

    Named: the learning rate scales the decay
    """
    refuse(lr, weight_decay, momentum)
    velocity = remember(velocity, momentum, grad + (not decoupled) * weight_decay * weight)
    return weight - lr * velocity - decoupled * weight_decay * weight, velocity


def wrong_decay_after_the_step(
    weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False
):
    """Shrinks the weights that the step has changed already.

    Named: before the step
    """
    refuse(lr, weight_decay, momentum)
    velocity = remember(velocity, momentum, grad + (not decoupled) * weight_decay * weight)
    return (weight - lr * velocity) * (1 - decoupled * lr * weight_decay), velocity


def wrong_average(weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False):
    """Takes the velocity for a running mean.

    Named: without a factor of 1 - momentum
    """
    refuse(lr, weight_decay, momentum)
    grad = grad + (not decoupled) * weight_decay * weight
    past = torch.zeros_like(weight) if velocity is None else velocity
    velocity = momentum * past + (1 - momentum) * grad
    return weight - lr * velocity - decoupled * lr * weight_decay * weight, velocity


def wrong_old_velocity(weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False):
    """Applies momentum after the step.

    Named: the new velocity, not the old one
    """
    refuse(lr, weight_decay, momentum)
    new = remember(velocity, momentum, grad + (not decoupled) * weight_decay * weight)
    used = new if velocity is None else velocity
    return weight - lr * used - decoupled * lr * weight_decay * weight, new


def wrong_nesterov(weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False):
    """Looks ahead.

    Named: Nesterov
    """
    refuse(lr, weight_decay, momentum)
    grad = grad + (not decoupled) * weight_decay * weight
    velocity = remember(velocity, momentum, grad)
    step = grad + momentum * velocity
    return weight - lr * step - decoupled * lr * weight_decay * weight, velocity


def wrong_rate_in_velocity(weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False):
    """Puts the learning rate into the velocity.

    Named: not the velocity
    """
    refuse(lr, weight_decay, momentum)
    grad = grad + (not decoupled) * weight_decay * weight
    velocity = remember(velocity, momentum, lr * grad)
    return weight - velocity - decoupled * lr * weight_decay * weight, velocity


def wrong_in_place(weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False):
    """Changes the weights it was given.

    Named: the call changed argument 1
    """
    refuse(lr, weight_decay, momentum)
    velocity = remember(velocity, momentum, grad + (not decoupled) * weight_decay * weight)
    weight -= lr * velocity + decoupled * lr * weight_decay * weight
    return weight, velocity


def wrong_nothing_refused(weight, grad, velocity, lr, weight_decay, momentum=0.0, decoupled=False):
    """Accepts a negative decay."""
    refuse(lr)
    velocity = remember(velocity, momentum, grad + (not decoupled) * weight_decay * weight)
    return weight - lr * velocity - decoupled * lr * weight_decay * weight, velocity
