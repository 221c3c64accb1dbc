"""`python -m kubectl_vxtrace` and the console script."""


def main() -> None:
    """Run the command line; exits the process."""
    from kubectl_vxtrace.cli import run

    run()


if __name__ == "__main__":
    main()
