TIMES = 50


def run(*a):
    raise NotImplementedError
