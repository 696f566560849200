"""``python -m avssl``, which torchrun starts too."""

from avssl.cli import main

if __name__ == "__main__":  # loader workers are spawned, and a spawned process imports this file
    main()
