"""The commands of avssl, one file each."""
