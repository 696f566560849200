"""Where in the picture the sound, or the word, is: scores, trivial baselines, heat maps and overlay videos."""
