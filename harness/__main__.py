"""python -m harness"""

import signal


def main() -> None:
    """Run a command. Ctrl-C during the imports ends it without a traceback, as any program."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from harness import cli

    cli.main()


if __name__ == "__main__":
    main()
