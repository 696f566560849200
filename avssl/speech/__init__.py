"""What is said in a recording: voice found in the sound, recognized, and what a recognizer makes up left out."""
