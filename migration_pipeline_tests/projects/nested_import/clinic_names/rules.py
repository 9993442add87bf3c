"""A piece of the application that a revision uses."""


def tidy(name):
    return " ".join(name.split())
