"""One cycle, in reading order: poll, judge, act. It decides nothing itself, and speaks neither HTTP nor SQL."""
