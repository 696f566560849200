"""The flagship at a width for tests, and the inner product written out."""

WORDS = ("method.width=12", "method.moment_width=4", "method.within=0")


def dot(first, second):
    return sum(p * q for p, q in zip(first, second, strict=True))
