"""How long it takes, side by side in one run: ``./dev bench``; the results are in docs/performance.md."""
