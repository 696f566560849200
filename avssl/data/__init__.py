"""From files on disk to samples in memory."""
