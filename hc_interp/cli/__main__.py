"""`python -m hc_interp.cli` does the same as `hc-interp`."""

from hc_interp.cli import main

if __name__ == "__main__":
    main()
