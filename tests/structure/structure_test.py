#!/usr/bin/env python3
"""Runs every rule on this tree."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rules  # noqa: E402  # beside this file


def main():
    tree = rules.Tree(os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))
    complaints = 0
    for rule in rules.ALL:
        wrong = rule(tree)
        complaints += len(wrong)
        print(f"{'ok  ' if not wrong else 'FAIL'} {rule.__name__}: {rule.__doc__.splitlines()[0]}")
        for line in wrong:
            print(f"       {line}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
